//! Third-party MCP clients against the binary.

use anyhow::{Context as _, Result};

use crate::{command::run, gateway::Gateway};

/// Without names, all of them.
pub(crate) fn run_clients(names: &[&str]) -> Result<()> {
    let gateway = Gateway::start()?;
    run("python3", ["tests/clients/run.py", "--url", &gateway.url()])
        .args(names)
        .env("WAYBILL_TEST_KEY", gateway.key()?)
        .run()
        .with_context(|| format!("the gateway's log:\n{}", gateway.log()))?;
    gateway.stop()
}
