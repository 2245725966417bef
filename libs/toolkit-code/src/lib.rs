#![doc = include_str!("../README.md")]

mod conventions;
mod definitions;
mod hidden;
mod job;
mod kind;
mod language;
mod limits;
mod manifest;
mod outline;
mod references;
mod root;
mod scope;
mod source;
mod structure;
mod symbols;
mod walk;

use std::{path::PathBuf, sync::Arc};

use waybill_toolkit::{Tool, Toolkit, typed};

pub use root::{Error, Root};

use language::Grammars;
use root::Roots;

/// The tools `code_outline`, `code_symbols`, `code_structure` and `code_references`.
pub struct CodeToolkit(Arc<Shared>);

/// What the tools have in common.
pub(crate) struct Shared {
    pub(crate) roots: Roots,
    pub(crate) grammars: Grammars,
}

impl CodeToolkit {
    /// Opens the roots. The first one is searched when a call names none.
    pub fn open(roots: &[Root]) -> Result<Self, Error> {
        Self::open_without(roots, &[])
    }

    /// The same without these files and folders, wherever in a root they lie and by whatever link
    /// they are reached: the gateway's own data and configuration. They must exist; they are known
    /// by device and inode.
    pub fn open_without(roots: &[Root], hidden: &[PathBuf]) -> Result<Self, Error> {
        let roots = Roots::open(roots, hidden)?;
        Ok(Self(Arc::new(Shared {
            roots,
            grammars: Grammars::default(),
        })))
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
