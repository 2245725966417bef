//! `waybill doctor`.

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;

use super::{Session, exit::Exit};

#[derive(Args)]
pub(super) struct DoctorArgs {}

#[derive(Deserialize)]
struct Checked {
    check: String,
    result: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    verdict: String,
    message: String,
}

pub(super) async fn run(session: &Session, _: DoctorArgs) -> Result<Exit> {
    let document = session.client.get_long("/admin/doctor").await?;
    let checks = Vec::<Checked>::deserialize(&document["checks"]);
    let checks = checks.context("the gateway sent no list of checks")?;
    let failed = checks
        .iter()
        .any(|checked| checked.result.verdict == "failed");
    if session.out.json {
        session.out.json(&document)?;
    } else {
        let rows = checks
            .into_iter()
            .map(|Checked { check, result }| vec![check, result.verdict, result.message]);
        session
            .out
            .table(&["CHECK", "VERDICT", ""], rows.collect())?;
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
