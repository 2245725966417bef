//! AWS on this machine: an emulator, for as long as a command runs.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{Run, run},
    place,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with this value.
pub(crate) struct Emulator {
    process: Child,
    address: SocketAddr,
}

impl Emulator {
    pub(crate) fn start() -> Result<Self> {
        let folder = install()?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let log = fs::File::create(folder.join("ministack.log"))?;
        let process = Command::new(folder.join("bin/ministack"))
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", address.port().to_string())
            .env("LOG_LEVEL", "WARNING")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the emulator")?;
        let mut emulator = Self { process, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if emulator.process.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                bail!("the emulator did not start; see .tools/aws/ministack.log");
            }
            #[expect(clippy::disallowed_methods, reason = "nothing else runs here")]
            thread::sleep(Duration::from_millis(50));
        }
        Ok(emulator)
    }

    /// Tells a command where it is.
    pub(crate) fn reached_by(&self, command: Run) -> Run {
        command.env("AWS_EMULATOR_URL", format!("http://{}", self.address))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// `cargo xtask emulator COMMAND...`
pub(crate) fn with_emulator(command: &[&str]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("name the command that needs the emulator");
    };
    let emulator = Emulator::start()?;
    emulator.reached_by(run(program, arguments)).run()
}

/// The pinned emulator, in `.tools/aws`.
fn install() -> Result<PathBuf> {
    let pins = place::root().join("tests/xtask/emulator/requirements.txt");
    let folder = place::tools().join("aws");
    let done = folder.join("requirements.txt");
    if fs::read(&done).ok() == Some(fs::read(&pins)?) {
        return Ok(folder);
    }
    println!("installing the AWS emulator, once");
    run("python3", ["-m", "venv", "--clear"]).args([&folder]).run()?;
    run(folder.join("bin/python"), ["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "-r"])
        .args([&pins])
        .run()?;
    fs::copy(&pins, &done).context("cannot note what is installed")?;
    Ok(folder)
}
