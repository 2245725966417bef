//! AWS on this machine: emulators, for as long as a command runs. None of them does all: ministack
//! has everything but a KMS that refuses altered bytes and other keys, which moto has.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
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
/// ministack, what expands SAM for it, and the linters of `infra/`: their dependencies agree.
pub(crate) const AWS: &str = "aws";

/// They end with this value.
pub(crate) struct Emulators {
    ministack: Emulator,
    moto: Emulator,
}

struct Emulator {
    process: Child,
    address: SocketAddr,
}

impl Emulators {
    pub(crate) fn start() -> Result<Self> {
        let port = |address: SocketAddr| address.port().to_string();
        Ok(Self {
            ministack: Emulator::start(AWS, |folder, address| {
                let mut command = Command::new(folder.join("bin/ministack"));
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", port(address))
                    .env("LOG_LEVEL", "WARNING");
                command
            })?,
            moto: Emulator::start("moto", |folder, address| {
                let mut command = Command::new(folder.join("bin/moto_server"));
                command.args(["-H", "127.0.0.1", "-p", &port(address)]);
                command
            })?,
        })
    }

    /// Tells a command where they are.
    pub(crate) fn reached_by(&self, command: Run) -> Run {
        let url = |emulator: &Emulator| format!("http://{}", emulator.address);
        command
            .env("AWS_EMULATOR_URL", url(&self.ministack))
            .env("KMS_EMULATOR_URL", url(&self.moto))
    }
}

impl Emulator {
    fn start(name: &str, command: impl Fn(&Path, SocketAddr) -> Command) -> Result<Self> {
        let folder = install(name)?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let log = fs::File::create(folder.join("log"))?;
        let process = command(&folder, address)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut emulator = Self { process, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if emulator.process.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                bail!("{name} did not start; see {}", folder.join("log").display());
            }
            #[expect(clippy::disallowed_methods, reason = "nothing else runs here")]
            thread::sleep(Duration::from_millis(50));
        }
        Ok(emulator)
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
pub(crate) fn with_emulators(command: &[&str]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("name the command that needs the emulator");
    };
    let emulators = Emulators::start()?;
    emulators.reached_by(run(program, arguments)).run()
}

/// Programs from the Python registry, pinned, in a folder of their own.
pub(crate) fn install(name: &str) -> Result<PathBuf> {
    let pins = place::root().join(format!("tests/xtask/emulator/{name}.txt"));
    let folder = place::tools().join(name);
    let done = folder.join("installed.txt");
    if fs::read(&done).ok() == Some(fs::read(&pins)?) {
        return Ok(folder);
    }
    println!("installing {name}, once");
    run("python3", ["-m", "venv", "--clear"])
        .args([&folder])
        .run()?;
    run(
        folder.join("bin/python"),
        ["-m", "pip", "install", "--quiet"],
    )
    .args(["--disable-pip-version-check", "-r"])
    .args([&pins])
    .run()?;
    fs::copy(&pins, &done).context("cannot note what is installed")?;
    Ok(folder)
}
