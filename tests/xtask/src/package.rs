//! `cargo xtask package`: each service as Lambda takes it, in `target/lambda/SERVICE/bootstrap`.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{command::cargo, place};

const SERVICES: [&str; 4] = ["ingress", "tool-executor", "audit-sink", "event-relay"];
/// Of the runtime `provided.al2023`: 2.34.
const GLIBC_MINOR: u32 = 34;

pub(crate) fn package() -> Result<()> {
    cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "waybill",
        "--bins",
    ])
    .run()?;
    for service in SERVICES {
        let built = place::waybill("release")?.with_file_name(format!("waybill-{service}"));
        let binary =
            fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        let folder = place::root().join("target/lambda").join(service);
        let needed = newest_glibc(&binary);
        if needed > GLIBC_MINOR {
            bail!(
                "waybill-{service} needs glibc 2.{needed}, and provided.al2023 has 2.{GLIBC_MINOR}: \
                 build on an older system, or with `cargo lambda build`"
            );
        }
        fs::create_dir_all(&folder).context("cannot make target/lambda")?;
        fs::copy(&built, folder.join("bootstrap")).context("cannot write target/lambda")?;
        let size = binary.len() / 1024;
        println!("target/lambda/{service}/bootstrap  {size} KiB, glibc 2.{needed}");
    }
    Ok(())
}

/// The newest minor version of glibc 2 that a binary names: its symbols' versions are plain text.
fn newest_glibc(binary: &[u8]) -> u32 {
    const NAME: &[u8] = b"GLIBC_2.";
    let found = binary.windows(NAME.len() + 2).filter_map(|window| {
        let minor = window.strip_prefix(NAME)?;
        let digits = minor.iter().take_while(|byte| byte.is_ascii_digit());
        let digits: Vec<u8> = digits.copied().collect();
        str::from_utf8(&digits).ok()?.parse().ok()
    });
    found.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts() {
        assert_eq!(newest_glibc(b"..GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0.."), 34);
        assert_eq!(newest_glibc(b"nothing"), 0);
    }
}
