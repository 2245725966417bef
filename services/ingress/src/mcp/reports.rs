//! What a tool tells while it runs, passed on ahead of the answer on the stream of its response.

use rmcp::{
    Peer, RoleServer,
    model::{
        CustomNotification, ProgressNotificationParam, ProgressToken, RequestMetaObject,
        ServerNotification,
    },
    service::{RequestContext, ServiceError},
};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_calls::{Call, LogLine, Progress, Said};
use waybill_toolkit::LogLevel;

use super::asked::is_modern;

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// Sends each report once, in order: progress to a client that gave a token, log lines to one that
/// wants them.
pub(super) struct Reporter<'a> {
    peer: &'a Peer<RoleServer>,
    token: Option<ProgressToken>,
    /// The least level that is sent.
    level: Option<LogLevel>,
    /// The newest report that was sent or skipped.
    seen: u64,
    /// MCP: progress only grows.
    last: Option<f64>,
}

impl<'a> Reporter<'a> {
    /// For one request about `call`: what it told before an earlier request was answered is old.
    pub(super) fn new(cx: &'a RequestContext<RoleServer>, after: u64) -> Self {
        Self {
            peer: &cx.peer,
            token: cx.meta.get_progress_token(),
            level: level(&cx.meta, is_modern(cx)),
            seen: after,
            last: None,
        }
    }

    pub(super) async fn report(&mut self, call: &Call) {
        let seen = self.seen;
        for report in call.reports.iter().filter(|report| report.seq > seen) {
            self.seen = report.seq;
            let sent = match &report.said {
                Said::Progress(progress) => self.progress(progress).await,
                Said::Log(line) => self.log(line).await,
            };
            if sent.is_err() {
                // The client has left: nothing more to tell it.
                self.token = None;
                self.level = None;
            }
        }
    }

    async fn progress(&mut self, progress: &Progress) -> Result<(), ServiceError> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        if self.last.is_some_and(|last| progress.progress <= last) {
            return Ok(());
        }
        self.last = Some(progress.progress);
        let mut param = ProgressNotificationParam::new(token.clone(), progress.progress);
        param.total = progress.total;
        param.message.clone_from(&progress.message);
        self.peer.notify_progress(param).await
    }

    /// By its name: rmcp's own type is deprecated, as logging is.
    async fn log(&self, line: &LogLine) -> Result<(), ServiceError> {
        let wanted = |least| parse(&json!(line.level)).is_some_and(|level| level >= least);
        if !self.level.is_some_and(wanted) {
            return Ok(());
        }
        let line = CustomNotification::new("notifications/message", Some(json!(line)));
        let line = ServerNotification::CustomNotification(line);
        self.peer.send_notification(line).await
    }
}

/// The newest report of a call.
pub(super) fn newest(call: &Call) -> u64 {
    call.reports.last().map_or(0, |report| report.seq)
}

/// Since 2026-07-28 a client says on each request whether and what it wants. One of before sets a
/// level for its session, which nobody holds: it gets what is not for debugging.
fn level(meta: &RequestMetaObject, modern: bool) -> Option<LogLevel> {
    if modern {
        return meta.get(LOG_LEVEL).and_then(parse);
    }
    Some(LogLevel::Info)
}

fn parse(level: &Value) -> Option<LogLevel> {
    LogLevel::deserialize(level).ok()
}
