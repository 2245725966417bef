//! Telling open streams that a list has changed.

use tokio::sync::watch;

/// Cheap to clone. Whoever changes the prompts says so here, and who changes what a tool is without
/// setting its toolkit in the registry anew, which tells by itself.
#[derive(Clone, Debug)]
pub struct Changes {
    tools: watch::Sender<()>,
    prompts: watch::Sender<()>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            tools: watch::Sender::new(()),
            prompts: watch::Sender::new(()),
        }
    }
}

impl Changes {
    pub fn tools_changed(&self) {
        self.tools.send_replace(());
    }

    pub fn prompts_changed(&self) {
        self.prompts.send_replace(());
    }

    pub(super) fn tools(&self) -> watch::Receiver<()> {
        self.tools.subscribe()
    }

    pub(super) fn prompts(&self) -> watch::Receiver<()> {
        self.prompts.subscribe()
    }
}
