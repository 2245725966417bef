#![doc = include_str!("../README.md")]

mod conventions;
mod definitions;
mod job;
mod kind;
mod language;
mod limits;
mod manifest;
mod outline;
mod references;
mod scope;
mod source;
mod structure;
mod symbols;
mod unread;
mod walk;

use std::sync::Arc;

use waybill_toolkit::{Tool, Toolkit, typed};
use waybill_workspace::Roots;

use language::Grammars;

/// The tools `code_outline`, `code_symbols`, `code_structure` and `code_references`.
pub struct CodeToolkit(Arc<Shared>);

/// What the tools have in common.
pub(crate) struct Shared {
    pub(crate) roots: Arc<Roots>,
    pub(crate) grammars: Grammars,
}

impl CodeToolkit {
    /// The first root is searched when a call names none.
    pub fn new(roots: Arc<Roots>) -> Self {
        Self(Arc::new(Shared {
            roots,
            grammars: Grammars::default(),
        }))
    }
}

impl Toolkit for CodeToolkit {
    fn name(&self) -> &'static str {
        "code"
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        vec![
            typed(outline::Outline(Arc::clone(&self.0))),
            typed(symbols::Symbols(Arc::clone(&self.0))),
            typed(structure::Structure(Arc::clone(&self.0))),
            typed(references::References(Arc::clone(&self.0))),
        ]
    }
}
