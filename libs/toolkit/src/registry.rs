//! Finding a tool by its name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::Tool;

/// A family of tools: `files`, `code`, one upstream MCP server.
pub trait Toolkit: Send + Sync + 'static {
    /// `files`, `code`; an upstream's is `upstream/NAME`.
    fn name(&self) -> &str;

    /// Its tools now.
    fn tools(&self) -> Vec<Arc<dyn Tool>>;
}

/// Two toolkits offered the same name.
#[derive(Debug, thiserror::Error)]
#[error("toolkit {toolkit} offers {tool}, and another toolkit already does")]
pub struct DuplicateTool {
    pub toolkit: String,
    pub tool: String,
}

type Tools = BTreeMap<String, Arc<dyn Tool>>;

/// Every tool of this process, by name. Cheap to clone and to read; a toolkit that changes is
/// replaced whole.
#[derive(Clone, Default)]
pub struct Registry {
    toolkits: Arc<ArcSwap<BTreeMap<String, Tools>>>,
    /// Held while a new map is made, so that two toolkits that change at once both stay.
    changing: Arc<Mutex<()>>,
    changes: Arc<watch::Sender<()>>,
}

impl Registry {
    /// Adds a toolkit, or replaces the tools of the one with the same name.
    pub fn set(&self, toolkit: &dyn Toolkit) -> Result<(), DuplicateTool> {
        let tools: Tools = toolkit
            .tools()
            .into_iter()
            .map(|tool| (tool.spec().name.clone(), tool))
            .collect();
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::clone(&self.toolkits.load());
        next.remove(toolkit.name());
        if let Some(tool) = tools
            .keys()
            .find(|name| next.values().any(|t| t.contains_key(*name)))
        {
            let (toolkit, tool) = (toolkit.name().to_owned(), tool.clone());
            return Err(DuplicateTool { toolkit, tool });
        }
        next.insert(toolkit.name().to_owned(), tools);
        self.toolkits.store(Arc::new(next));
        self.changes.send_replace(());
        Ok(())
    }

    /// Changes at each [`Registry::set`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.toolkits
            .load()
            .values()
            .find_map(|tools| tools.get(name).cloned())
    }

    /// All tools, toolkit by toolkit, in the order of their names.
    pub fn list(&self) -> Vec<Arc<dyn Tool>> {
        self.toolkits
            .load()
            .values()
            .flat_map(|tools| tools.values().cloned())
            .collect()
    }
}
