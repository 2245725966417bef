//! A session together with what carries it: a process, or nothing.

use std::{sync::Arc, time::Duration};

use rmcp::{
    model::ProtocolVersion,
    service::{ClientInitializeError, ClientLifecycleMode},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{StdioConfig, Transport},
    http,
    outcome::{choked_on_discover, describe},
    process::Process,
    session::{Running, Session, shake_hands},
    supervisor::Options,
    upstream::Upstream,
};

/// For rmcp to read what a dead process had still said.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a handshake begins. rmcp probes with `server/discover` and falls back by itself when it is
/// refused; a server that dies of it, or is slow to start, needs `initialize` first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handshake {
    EitherEra,
    OldEra,
}

impl Handshake {
    fn mode(self) -> ClientLifecycleMode {
        match self {
            Self::EitherEra => ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::LATEST],
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
            Self::OldEra => ClientLifecycleMode::Initialize,
        }
    }
}

/// A connection that was not made.
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// The other handshake may fare better.
    pub(crate) choked: bool,
}

pub(crate) struct Connection {
    pub(crate) session: Arc<Session>,
    /// Ends the session when cancelled; a process's stdin is closed by it.
    open: CancellationToken,
    /// Cancelled when rmcp's loop has ended.
    closed: CancellationToken,
    process: Option<Process>,
}

/// Connects once. Cancel safe: a process that was started is killed with its group.
pub(crate) async fn connect(
    upstream: &Upstream,
    transport: &Transport,
    handshake: Handshake,
    options: &Options,
    stop: &CancellationToken,
) -> Result<Connection, Failure> {
    let open = stop.child_token();
    match transport {
        Transport::Stdio(config) => stdio(upstream, config, handshake, options, open).await,
        Transport::Http(config) => {
            let transport =
                http::transport(config, options.stream_resumes).map_err(|error| Failure {
                    reason: describe(&error),
                    choked: false,
                })?;
            match shake_hands(transport, handshake.mode(), open.clone()).await {
                Ok(shaken) => Ok(Connection::new(upstream, shaken, open, None)),
                Err(error) => Err(Failure::from(&error)),
            }
        }
    }
}

async fn stdio(
    upstream: &Upstream,
    config: &StdioConfig,
    handshake: Handshake,
    options: &Options,
    open: CancellationToken,
) -> Result<Connection, Failure> {
    let spawned = Process::spawn(&upstream.name, config, &options.base_env);
    let (mut process, stdout, stdin) = spawned.map_err(|error| Failure {
        reason: format!("\"{}\" cannot be started: {error}", config.command),
        choked: false,
    })?;
    let made = tokio::select! {
        made = shake_hands((stdout, stdin), handshake.mode(), open.clone()) => made,
        reason = process.exited() => return Err(Failure { reason, choked: true }),
    };
    match made {
        Ok(shaken) => Ok(Connection::new(upstream, shaken, open, Some(process))),
        Err(error) => {
            let mut failure = Failure::from(&error);
            // How it ended says more than that its pipe closed.
            if let Ok(exit) = timeout(LAST_WORDS, process.exited()).await {
                failure.reason = exit;
            }
            process.end(options.grace).await;
            Err(failure)
        }
    }
}

impl From<&ClientInitializeError> for Failure {
    fn from(error: &ClientInitializeError) -> Self {
        let reason = format!("no handshake: {}", describe(error));
        Self {
            reason,
            choked: choked_on_discover(error),
        }
    }
}

impl Connection {
    fn new(
        upstream: &Upstream,
        (session, running): (Session, Running),
        open: CancellationToken,
        process: Option<Process>,
    ) -> Self {
        let closed = CancellationToken::new();
        let done = closed.clone().drop_guard();
        upstream.tasks.spawn(async move {
            // However it ended, it has.
            drop(running.waiting().await);
            drop(done);
        });
        Self {
            session: Arc::new(session),
            open,
            closed,
            process,
        }
    }

    /// Why it ended. Cancel safe, and may be called again.
    pub(crate) async fn ended(&mut self) -> String {
        let Some(process) = &mut self.process else {
            self.closed.cancelled().await;
            return "the session was closed".to_owned();
        };
        tokio::select! {
            () = self.closed.cancelled() => match timeout(LAST_WORDS, process.exited()).await {
                Ok(exit) => exit,
                Err(_) => "it closed its stdout".to_owned(),
            },
            exit = process.exited() => {
                // Children of its own may hold the pipe open; what it wrote before is still read.
                process.kill();
                drop(timeout(LAST_WORDS, self.closed.cancelled()).await);
                exit
            }
        }
    }

    /// Ends the session and its process group. A remote session outlives this for the calls that
    /// are in flight on it, unless everything is being stopped.
    pub(crate) async fn close(mut self, grace: Duration) {
        if let Some(process) = self.process.take() {
            self.open.cancel();
            drop(timeout(grace, self.closed.cancelled()).await);
            process.end(grace).await;
        } else if self.open.is_cancelled() {
            drop(timeout(grace, self.closed.cancelled()).await);
        }
    }
}
