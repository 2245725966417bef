//! `cargo xtask package`: each service as Lambda takes it, in `target/lambda/SERVICE/bootstrap`.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{command::cargo, place};

/// A file for each service.
const BINARIES: &str = "services/waybill/src/bin";
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
    for service in &services()? {
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

fn services() -> Result<Vec<String>> {
    let binaries = fs::read_dir(place::root().join(BINARIES));
    let mut services = Vec::new();
    for binary in binaries.with_context(|| format!("cannot read {BINARIES}"))? {
        let name = binary?.file_name();
        let service = name.to_str().and_then(|name| name.strip_prefix("waybill-"));
        services.extend(
            service
                .and_then(|name| name.strip_suffix(".rs"))
                .map(str::to_owned),
        );
    }
    services.sort();
    Ok(services)
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
    fn every_service_has_a_binary() {
        let blocks = fs::read_to_string(place::root().join("infra/services.toml")).unwrap();
        let mut named: Vec<_> = blocks
            .split("[[service]]")
            .skip(1)
            .filter_map(|block| block.split('"').nth(1))
            .collect();
        named.sort_unstable();
        assert_eq!(services().unwrap(), named);
    }

    #[test]
    fn the_newest_version_counts() {
        assert_eq!(newest_glibc(b"..GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0.."), 34);
        assert_eq!(newest_glibc(b"nothing"), 0);
    }
}
