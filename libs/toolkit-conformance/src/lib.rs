#![doc = include_str!("../README.md")]

mod answers;
mod content;
mod fixture;
mod inputs;
pub mod jobs;
mod prompts;
mod schemas;
mod signals;

use std::sync::Arc;

use waybill_toolkit::{Tool, Toolkit};

pub use content::Fixtures;
pub use signals::{Change, OnChange};

/// The fixture tools. `on_change` is what the two trigger tools call: it must make the gateway tell
/// its listeners that a list changed. Without it these two tools are absent, and the gateway must
/// not advertise `listChanged`.
pub fn toolkits(on_change: Option<OnChange>) -> Vec<Arc<dyn Toolkit>> {
    let mut first = answers::tools();
    first.extend(signals::tools(on_change));
    let family = |name, tools| Arc::new(Family { name, tools }) as Arc<dyn Toolkit>;
    vec![
        family("conformance", first),
        family("conformance-input", inputs::tools()),
        family("conformance-schema", schemas::tools()),
        family("conformance-tasks", jobs::tools()),
    ]
}

struct Family {
    name: &'static str,
    tools: Vec<Arc<dyn Tool>>,
}

impl Toolkit for Family {
    fn name(&self) -> &str {
        self.name
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        self.tools.clone()
    }
}
