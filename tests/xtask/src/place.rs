//! Where things are. Every command runs in the root of the workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this package lies two folders below the root")
}

/// What the commands install; ignored by git.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// The binary of a profile (`debug`, `release`), beside the folder that this program was built into.
pub(crate) fn waybill(profile: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    let target = own
        .ancestors()
        .nth(2)
        .context("this program is not in a target folder")?;
    Ok(target.join(profile).join("waybill"))
}
