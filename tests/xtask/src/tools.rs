//! The programs that the gate needs beside Rust, at pinned versions.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    command::{Run, cargo, run},
    place,
};

/// A cargo subcommand from the registry.
pub(crate) struct Subcommand {
    name: &'static str,
    version: [u32; 3],
}

pub(crate) const NEXTEST: Subcommand = Subcommand {
    name: "cargo-nextest",
    version: [0, 9, 143],
};
pub(crate) const DENY: Subcommand = Subcommand {
    name: "cargo-deny",
    version: [0, 20, 2],
};

/// Every test of the workspace; the caller says which of them. Dependencies are built with the
/// features that all packages ask for together: a command that names a package would build most of
/// them again.
pub(crate) fn nextest() -> Result<Run> {
    Ok(run(
        NEXTEST.program()?,
        ["nextest", "run", "--workspace", "--locked"],
    ))
}

/// `waybill` and its services' binaries as the tests use them: nothing is built twice. The path of
/// `waybill`; the others are beside it.
pub(crate) fn build_waybill() -> Result<PathBuf> {
    cargo(["test", "--quiet", "--workspace", "--locked", "--no-run"]).run()?;
    place::waybill("debug")
}

impl Subcommand {
    /// The program: from `.tools/bin`, else from the path, else installed now.
    pub(crate) fn program(&self) -> Result<OsString> {
        let installed = place::tools().join("bin").join(self.name).into_os_string();
        for program in [&installed, &OsString::from(self.name)] {
            let answer = run(program, ["--version"]).answer();
            if answer.is_some_and(|text| fits(&text, self.version)) {
                return Ok(program.clone());
            }
        }
        self.install()?;
        Ok(installed)
    }

    fn install(&self) -> Result<()> {
        let version = self.version.map(|part| part.to_string()).join(".");
        println!(
            "installing {} {version}, once; this takes some minutes",
            self.name
        );
        // Unoptimised: it builds in half the time, and waits for the compiler and the tests anyway.
        cargo([
            "install", "--locked", "--debug", "--force", "--root", ".tools",
        ])
        .args([self.name, "--version", &version])
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .run()
    }
}

/// `text` begins with a name and a version: the pinned one, or a later patch of it.
fn fits(text: &str, pinned: [u32; 3]) -> bool {
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = version.split('.').map(str::parse::<u32>);
    let mut next = || parts.next().and_then(Result::ok);
    next() == Some(pinned[0])
        && next() == Some(pinned[1])
        && next().is_some_and(|patch| patch >= pinned[2])
}

/// Python with the clients' packages, and Node with theirs, in `.tools/clients`.
pub(crate) fn install_clients() -> Result<PathBuf> {
    run("python3", ["tests/clients/install.py"]).run()?;
    Ok(place::tools().join("clients"))
}

/// The folder of the official MCP servers from npm.
pub(crate) fn install_servers(clients: &Path) -> Result<PathBuf> {
    let pins = place::root().join("tests/xtask/servers");
    let folder = place::tools().join("servers");
    let lock = folder.join("package-lock.json");
    let done = folder.join("node_modules/.package-lock.json");
    if done.exists() && fs::read(&lock).ok() == fs::read(pins.join("package-lock.json")).ok() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).context("cannot make the folder of the servers")?;
    for name in [".npmrc", "package.json", "package-lock.json"] {
        fs::copy(pins.join(name), folder.join(name))
            .with_context(|| format!("cannot copy {name}"))?;
    }
    let npm = find_npm(clients)?;
    with_node(run(clients.join("node"), [npm]), clients)?
        .args(["ci", "--ignore-scripts", "--prefix"])
        .args([&folder])
        .run()?;
    Ok(folder)
}

/// Puts the installed Node first on the program's path.
pub(crate) fn with_node(program: Run, clients: &Path) -> Result<Run> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the path is handed on, with one folder before it"
    )]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(clients.to_path_buf()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).context("the path cannot be extended")?;
    Ok(program.env("PATH", path))
}

/// npm comes with Node, in the Python package that brings both.
fn find_npm(clients: &Path) -> Result<PathBuf> {
    let node = fs::canonicalize(clients.join("node")).context("node is not installed")?;
    let package = node
        .ancestors()
        .nth(2)
        .context("node is not in a package")?;
    Ok(package.join("lib/node_modules/npm/bin/npm-cli.js"))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_later_patch_fits_and_another_minor_does_not() {
        let pinned = [0, 9, 143];
        assert!(fits(
            "cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143",
            pinned
        ));
        assert!(fits("cargo-nextest 0.9.150", pinned));
        assert!(!fits("cargo-nextest 0.9.142", pinned));
        assert!(!fits("cargo-nextest 0.10.0", pinned));
        assert!(!fits("", pinned));
    }
}
