//! Running programs.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::place;

/// A program to run in the root of the workspace.
pub(crate) struct Run(Command);

pub(crate) fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Run {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place::root());
    // What cargo tells this program about itself: some build scripts look at it, and would run again
    // whenever a person builds without this program.
    let told = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in
        told.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    Run(command)
}

pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Run {
    run("cargo", arguments)
}

impl Run {
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end; anything but success is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self
            .0
            .status()
            .with_context(|| format!("cannot run {}", self.text()))?;
        if !status.success() {
            bail!("{} ended with {status}", self.text());
        }
        Ok(())
    }

    /// The same, and gives the last line of its standard error that contains `wanted`.
    pub(crate) fn run_and_find(mut self, wanted: &str) -> Result<Option<String>> {
        let mut child = self
            .0
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.text()))?;
        let pipe = child
            .stderr
            .take()
            .context("its standard error is a pipe")?;
        let mut found = None;
        for line in BufReader::new(pipe).lines() {
            let line = line.context("its output is not text")?;
            writeln!(std::io::stderr(), "{line}").context("cannot write to standard error")?;
            if line.contains(wanted) {
                found = Some(line.trim().to_owned());
            }
        }
        let status = child.wait().context("it cannot be waited for")?;
        if !status.success() {
            let seen = found.map(|line| format!(": {line}")).unwrap_or_default();
            bail!("{} ended with {status}{seen}", self.text());
        }
        Ok(found)
    }

    /// What it says on standard output, when it is there and succeeds.
    pub(crate) fn answer(mut self) -> Option<String> {
        let output = self.0.stderr(Stdio::null()).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn text(&self) -> String {
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args());
        words
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
