//! Keeps every upstream connected, each on its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rmcp::service::ServiceError;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval_at, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;
use waybill_toolkit::Registry;

use crate::{
    config::{McpConfig, Policy, ServerConfig, Transport},
    connection::{Connection, Failure, Handshake, connect},
    outcome::is_lost,
    session::Session,
    upstream::{Health, Link, Upstream},
};

/// A broken pipe is seen this much before the end of the process behind it, at most.
const PROCESS_END: Duration = Duration::from_secs(1);

/// How servers are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The whole environment of a spawned server, besides what its entry configures: PATH, HOME,
    /// LANG, TMPDIR and nothing secret.
    pub base_env: BTreeMap<String, String>,
    /// From spawn or first byte to the first list of tools. `npx` may download in it.
    pub connect_timeout: Duration,
    /// First pause before a restart; doubles, with jitter.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Up for this long, the next failure starts again at `backoff_min`.
    pub healthy_after: Duration,
    /// Between closing a process's stdin, SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How often an HTTP server's tools are read again: it may be redeployed without a word.
    pub refresh: Duration,
    /// How often a broken response stream is resumed (after 0.5 s, 1 s, 2 s, ...) before its call
    /// ends as unknown.
    pub stream_resumes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_env: BTreeMap::new(),
            connect_timeout: Duration::from_mins(1),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_mins(1),
            healthy_after: Duration::from_mins(1),
            grace: Duration::from_secs(2),
            refresh: Duration::from_mins(1),
            stream_resumes: 5,
        }
    }
}

/// All upstreams of this process. Dropped without [`Supervisor::shutdown`], it kills them.
pub struct Supervisor {
    upstreams: Vec<Arc<Upstream>>,
    keepers: Mutex<JoinSet<()>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Supervisor {
    /// Returns at once; the servers connect in the background and their tools appear in `registry`
    /// as toolkits `upstream/NAME`. Call it inside a runtime.
    pub fn start(config: McpConfig, registry: &Registry, options: &Options) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut keepers = JoinSet::new();
        let mut upstreams = Vec::new();
        for (name, reason) in config.unusable {
            tracing::warn!(upstream = name, %reason, "upstream is not started");
            let upstream = Upstream::new(name, Policy::default(), tasks.clone());
            upstream.link.send_replace(Link::Failed {
                reason: reason.to_string().into(),
                retry_at: Instant::now(),
            });
            upstreams.push(Arc::new(upstream));
        }
        for (name, ServerConfig { transport, policy }) in config.servers {
            let span = tracing::info_span!("upstream", name);
            let upstream = Arc::new(Upstream::new(name, policy, tasks.clone()));
            let keeper = Keeper {
                upstream: upstream.clone(),
                transport,
                registry: registry.clone(),
                options: options.clone(),
                stop: stop.child_token(),
            };
            keepers.spawn(keeper.run().instrument(span));
            upstreams.push(upstream);
        }
        Self {
            upstreams,
            keepers: Mutex::new(keepers),
            tasks,
            stop,
        }
    }

    pub fn health(&self) -> BTreeMap<String, Health> {
        self.upstreams
            .iter()
            .map(|one| (one.name.clone(), one.health()))
            .collect()
    }

    /// Completes when every server has been tried once: what is going to be listed soon, is.
    pub async fn settled(&self) {
        for upstream in &self.upstreams {
            let mut link = upstream.link.subscribe();
            // An error means that its keeper has gone: it will not get more settled.
            drop(link.wait_for(|link| !matches!(link, Link::Starting)).await);
        }
    }

    /// Ends all sessions and processes, by force when `deadline` has passed. Afterwards no process
    /// of ours is left, and calls answer that the server was stopped.
    pub async fn shutdown(&self, deadline: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let mut keepers =
            std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        let gently = async {
            while keepers.join_next().await.is_some() {}
            self.tasks.wait().await;
        };
        if timeout(deadline, gently).await.is_err() {
            tracing::warn!("upstreams did not end in time and are killed");
            keepers.shutdown().await;
        }
        for upstream in &self.upstreams {
            upstream.link.send_replace(Link::Stopped);
        }
    }
}

/// Why there is no list of tools.
#[derive(Debug, thiserror::Error)]
enum Unlisted {
    #[error("its tools cannot be listed: {0}")]
    Failed(ServiceError),
    #[error("its tools were not listed in time")]
    Late,
}

impl Unlisted {
    /// For a process, waits first: how it ended says more, and comes within moments if it did.
    async fn reason(self, remote: bool) -> String {
        if !remote {
            sleep(PROCESS_END).await;
        }
        self.to_string()
    }
}

/// Why a session ended; nothing when we were told to stop.
type Ended = Option<String>;

/// Connects one upstream again and again.
struct Keeper {
    upstream: Arc<Upstream>,
    transport: Transport,
    registry: Registry,
    options: Options,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self) {
        let stop = self.stop.clone();
        let mut backoff = self.backoff();
        loop {
            self.link().send_replace(Link::Starting);
            let started = Instant::now();
            let Some(reason) = self.once().await else {
                break;
            };
            if started.elapsed() >= self.options.healthy_after {
                backoff = self.backoff();
            }
            // Jitter may take it over its cap.
            let pause = backoff
                .next()
                .unwrap_or_default()
                .min(self.options.backoff_max);
            tracing::warn!(
                reason,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "upstream is down"
            );
            let retry_at = Instant::now() + pause;
            self.link().send_replace(Link::Failed {
                reason: reason.into(),
                retry_at,
            });
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
        self.link().send_replace(Link::Stopped);
    }

    /// One connection, from its making to its end.
    async fn once(&self) -> Ended {
        let mut made = self.connect(Handshake::EitherEra).await?;
        if let Err(Failure { choked: true, .. }) = made {
            made = self.connect(Handshake::OldEra).await?;
        }
        let mut connection = match made {
            Ok(connection) => connection,
            Err(failure) => return Some(failure.reason),
        };
        let ended = self.serve(&mut connection).await;
        connection.close(self.options.grace).await;
        ended
    }

    /// Nothing when we were told to stop.
    async fn connect(&self, handshake: Handshake) -> Option<Result<Connection, Failure>> {
        let Self {
            upstream,
            transport,
            options,
            stop,
            ..
        } = self;
        let made = connect(upstream, transport, handshake, options, stop);
        let made = stop
            .run_until_cancelled(timeout(options.connect_timeout, made))
            .await?;
        Some(made.unwrap_or_else(|_| {
            let reason = "no handshake within the connect timeout".to_owned();
            Err(Failure {
                reason,
                choked: false,
            })
        }))
    }

    /// Uses a connection until it ends.
    async fn serve(&self, connection: &mut Connection) -> Ended {
        let session = connection.session.clone();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            reason = connection.ended() => Some(reason),
            reason = self.keep_listed(&session) => Some(reason),
        }
    }

    /// Lists the tools, now and whenever they may have changed. Returns why it cannot go on.
    async fn keep_listed(&self, session: &Arc<Session>) -> String {
        let mut tools = match self.list(session).await {
            Ok(tools) => tools,
            Err(failure) => return failure.reason(self.is_remote()).await,
        };
        tracing::info!(tools, protocol = %session.info.protocol_version, "upstream is ready");
        let refresh = self.options.refresh;
        let mut refresh = interval_at(Instant::now() + refresh, refresh);
        let mut watching = std::pin::pin!(session.watch_changes());
        loop {
            self.link().send_replace(Link::Ready {
                session: session.clone(),
                tools,
            });
            tokio::select! {
                () = &mut watching => {}
                () = session.changed.notified() => {}
                _ = refresh.tick(), if self.is_remote() => {}
            }
            match self.list(session).await {
                Ok(now) => tools = now,
                Err(Unlisted::Failed(error)) if is_lost(&error) => {
                    return Unlisted::Failed(error).reason(self.is_remote()).await;
                }
                Err(failure) => tracing::warn!(%failure, "the old list of tools is kept"),
            }
        }
    }

    async fn list(&self, session: &Session) -> Result<usize, Unlisted> {
        let listed = timeout(self.options.connect_timeout, session.tools());
        let tools = listed
            .await
            .map_err(|_| Unlisted::Late)?
            .map_err(Unlisted::Failed)?;
        Ok(self.upstream.publish(tools, &self.registry))
    }

    fn is_remote(&self) -> bool {
        matches!(self.transport, Transport::Http(_))
    }

    fn link(&self) -> &watch::Sender<Link> {
        &self.upstream.link
    }

    fn backoff(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.options.backoff_min)
            .with_max_delay(self.options.backoff_max)
            .with_jitter()
            .without_max_times()
            .build()
    }
}
