//! A server's process: its own group, its own environment, its stderr in our log.

use std::{collections::BTreeMap, io, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinSet,
    time::timeout,
};

use crate::config::StdioConfig;

/// A longer line of stderr is logged in pieces.
const MAX_LINE: u64 = 4096;
/// For reading the rest of stderr after the end.
const LAST_LINES: Duration = Duration::from_millis(200);

/// A running server. Dropping it kills its whole group at once; [`Process::end`] asks first.
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    /// Reads stderr; ends with the process.
    logging: JoinSet<()>,
}

impl Process {
    /// Starts it with exactly `base_env` and the configured variables. The caller speaks over the
    /// pipes; its stderr goes to `tracing`, target `upstream.stderr`, until it closes.
    pub(crate) fn spawn(
        server: &str,
        config: &StdioConfig,
        base_env: &BTreeMap<String, String>,
    ) -> io::Result<(Self, ChildStdout, ChildStdin)> {
        let mut command = Command::new(&config.command);
        command
            .args(&config.args)
            .env_clear()
            .envs(base_env)
            .envs(&config.env.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = &config.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn()?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut logging = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            logging.spawn(log_lines(server.to_owned(), stderr));
        }
        Ok((
            Self {
                child,
                group,
                logging,
            },
            stdout,
            stdin,
        ))
    }

    /// Completes when the process itself is gone; its children may live on until [`Process::end`].
    pub(crate) async fn exited(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("the process ended ({status})"),
            Err(error) => format!("the process cannot be waited for: {error}"),
        }
    }

    /// Ends the whole group, after the caller closed its stdin: waits `grace`, sends SIGTERM, waits
    /// again, kills. What the process left behind in its group is killed in any case.
    pub(crate) async fn end(mut self, grace: Duration) {
        if timeout(grace, self.child.wait()).await.is_err() {
            self.signal(Signal::TERM);
            // Whether it listened or not, the group is killed next.
            drop(timeout(grace, self.child.wait()).await);
        }
        self.kill();
        drop(self.child.wait().await);
        // A process that left the group may hold the pipe open for ever.
        drop(timeout(LAST_LINES, self.logging.join_next()).await);
    }

    /// Kills every process of the group. Safe after the leader was reaped: its id is not given to
    /// another process while a member of its group lives.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group is gone already: what was wanted.
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn log_lines(server: String, stderr: ChildStderr) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    // An unreadable pipe is a closed one: nothing more can come.
    while let Ok(1..) = (&mut stderr)
        .take(MAX_LINE)
        .read_until(b'\n', &mut line)
        .await
    {
        let text = String::from_utf8_lossy(&line);
        tracing::info!(target: "upstream.stderr", upstream = server, "{}", text.trim_end());
        line.clear();
    }
}
