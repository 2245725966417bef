//! One upstream as the rest of the crate sees it: its link now, and its tools.

use std::{sync::Arc, time::Duration};

use rmcp::model::Tool as RemoteTool;
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;
use waybill_toolkit::{DuplicateTool, Registry, Tool, ToolContext, ToolError, Toolkit};

use crate::{config::Policy, outcome::unavailable, session::Session, tool::UpstreamTool};

/// How one server is, for `doctor` and readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Health {
    /// A connection is being made.
    Starting,
    Ready {
        tools: usize,
        protocol: String,
    },
    /// It will be tried again. Its last known tools stay listed.
    Failed {
        reason: String,
    },
    Stopped,
}

/// The connection, or why there is none.
#[derive(Clone)]
pub(crate) enum Link {
    Starting,
    Ready { session: Arc<Session>, tools: usize },
    Failed { reason: Arc<str>, retry_at: Instant },
    Stopped,
}

/// What its tools and its supervisor share.
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) link: watch::Sender<Link>,
    /// Last words to the server: cancellations that outlive the call.
    pub(crate) tasks: TaskTracker,
}

impl Upstream {
    pub(crate) fn new(name: String, policy: Policy, tasks: TaskTracker) -> Self {
        Self {
            name,
            policy,
            link: watch::Sender::new(Link::Starting),
            tasks,
        }
    }

    pub(crate) fn health(&self) -> Health {
        match &*self.link.borrow() {
            Link::Starting => Health::Starting,
            Link::Ready { session, tools } => Health::Ready {
                tools: *tools,
                protocol: session.info.protocol_version.to_string(),
            },
            Link::Failed { reason, .. } => Health::Failed {
                reason: reason.to_string(),
            },
            Link::Stopped => Health::Stopped,
        }
    }

    /// The session to send on. Waits while one is being made, never through a back-off: the queue
    /// has better things to do with its workers.
    pub(crate) async fn session(&self, cx: &ToolContext) -> Result<Arc<Session>, ToolError> {
        let mut link = self.link.subscribe();
        loop {
            match &*link.borrow_and_update() {
                Link::Ready { session, .. } => return Ok(session.clone()),
                Link::Failed { reason, retry_at } => {
                    let wait = retry_at.saturating_duration_since(Instant::now());
                    return Err(unavailable(&self.name, reason, Some(wait)));
                }
                Link::Stopped => return Err(unavailable(&self.name, "it was stopped", None)),
                Link::Starting => {}
            }
            tokio::select! {
                changed = link.changed() => {
                    if changed.is_err() {
                        return Err(unavailable(&self.name, "it was stopped", None));
                    }
                }
                () = cx.cancelled().cancelled() => return Err(ToolError::Cancelled),
                () = sleep_until(cx.deadline()) => {
                    let reason = "it was still starting at the deadline";
                    return Err(unavailable(&self.name, reason, Some(Duration::ZERO)));
                }
            }
        }
    }

    /// Replaces its tools in the registry; returns how many there are. A tool that cannot be
    /// offered is left out, so that it never takes the others with it.
    pub(crate) fn publish(self: &Arc<Self>, remote: Vec<RemoteTool>, registry: &Registry) -> usize {
        let mut offered = Offered {
            name: format!("upstream/{}", self.name),
            tools: Vec::new(),
        };
        for tool in remote {
            match UpstreamTool::new(self.clone(), tool) {
                Ok(tool) => offered.tools.push(Arc::new(tool)),
                Err(name) => tracing::warn!(
                    upstream = self.name,
                    tool = name,
                    "left out: with its server's name it is no valid tool name"
                ),
            }
        }
        while let Err(DuplicateTool { tool, .. }) = registry.set(&offered) {
            tracing::warn!(upstream = self.name, tool, "left out: the name is taken");
            offered.tools.retain(|other| other.spec().name != tool);
        }
        offered.tools.len()
    }
}

/// The tools of an upstream at one moment.
struct Offered {
    /// `upstream/NAME`: an operator may call a server as a toolkit of ours is called.
    name: String,
    tools: Vec<Arc<dyn Tool>>,
}

impl Toolkit for Offered {
    fn name(&self) -> &str {
        &self.name
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        self.tools.clone()
    }
}
