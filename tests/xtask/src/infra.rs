//! `infra/` and the compose file: linted, and the template deployed to the emulator.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    command::run,
    emulator::{AWS, Emulators, install},
    tools::{build_waybill, nextest},
};

const TEMPLATES: [&str; 2] = ["infra/template.yaml", "infra/edge.yaml"];
const SCRIPTS: [&str; 3] = [
    "infra/scripts/deploy",
    "infra/scripts/undeploy",
    "infra/scripts/smoke",
];
/// Python, which shellcheck does not read.
const SETTING: &str = "infra/scripts/setting";
const COMPOSE: &str = "docker-compose.localstack.yml";

/// The templates, one with a service more, the scripts and the compose file.
pub(crate) fn lint() -> Result<()> {
    let cfn_lint = program("cfn-lint")?;
    run(&cfn_lint, TEMPLATES).run()?;
    nextest()?
        .args(["--run-ignored", "only", "-E", "test(passes_cfn_lint)"])
        .env("CFN_LINT", &cfn_lint)
        .run()?;
    run(program("shellcheck")?, SCRIPTS).run()?;
    for environment in ["dev", "prod"] {
        run(program("python")?, [SETTING, environment, "stack_name"]).run()?;
    }
    run(program("check-jsonschema")?, ["--builtin-schema"])
        .args(["vendor.compose-spec", COMPOSE])
        .run()
}

/// Deploys the template with the services' binaries, calls a tool through it, fires its alarms.
/// Then starts what the compose file says.
pub(crate) fn deploy() -> Result<()> {
    let built = build_waybill()?;
    let emulators = Emulators::start()?;
    let folder = built.parent().expect("a binary is in a folder");
    for script in ["tests/deployment/run.py", "tests/deployment/compose.py"] {
        let script = run(program("python")?, [script, "--bin"]).args([folder]);
        emulators.reached_by(script).run()?;
    }
    Ok(())
}

fn program(name: &str) -> Result<PathBuf> {
    Ok(install(AWS)?.join("bin").join(name))
}
