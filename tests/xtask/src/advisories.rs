//! Dependencies: licences, sources, bans, and known vulnerabilities.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{command::run, place, tools::DENY};

/// Where `cargo deny` looks for the `RustSec` database below `db-path` of `deny.toml`: the name
/// holds a hash of the database's address.
const DATABASE: &str = "advisory-db/advisory-db-3157b0e258782691";
/// A git bundle of the database beside the project, for machines without the network.
const BUNDLE: &str = "../shared/advisory-db.bundle";

pub(crate) fn check() -> Result<()> {
    let deny = DENY.program()?;
    run(&deny, ["check", "--hide-inclusion-graph"])
        .args(["licenses", "bans", "sources"])
        .run()?;
    let bundle = place::root().join(BUNDLE);
    if bundle.exists() {
        unpack(&bundle)?;
        return run(&deny, ["--offline", "check", "advisories"]).run();
    }
    run(&deny, ["check", "advisories"]).run()
}

fn unpack(bundle: &Path) -> Result<()> {
    let database = place::tools().join(DATABASE);
    if database.exists() {
        fs::remove_dir_all(&database).context("cannot replace the advisory database")?;
    }
    run("git", ["-c", "init.defaultBranch=main", "clone", "--quiet"])
        .args([bundle, &database])
        .run()?;
    // Its age is read from here.
    fs::write(database.join(".git/FETCH_HEAD"), "").context("cannot date the advisory database")
}
