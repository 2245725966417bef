//! One directory on this machine, for this process alone.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use waybill_backend_sqlite::{DirectoryBlobs, LocalKeyRing, SqliteBackend};
use waybill_ingress::{Check, Verdict};
use waybill_messaging::{Clock, KeyRing, Subscription};
use waybill_vault::SealedSecrets;

use super::Backend;
use crate::{config::Config, doctor::check, files, observe::Exporter};

pub(super) fn open(config: &Config, clock: &Clock, topology: &[Subscription]) -> Result<Backend> {
    let directory = &config.data_dir;
    let store = SqliteBackend::open(directory, topology, clock.clone())
        .with_context(|| format!("cannot open the data directory {}", directory.display()))?;
    let master_key = files::master_key(directory);
    let keyring = LocalKeyRing::open(&master_key)
        .with_context(|| format!("cannot use {}", master_key.display()))?;
    let path = directory.join("blobs");
    let blobs = DirectoryBlobs::open(&path, clock.clone())
        .with_context(|| format!("cannot use {}", path.display()))?;
    let key_file = files::key_file(directory);
    let checks = vec![
        database_check(&store),
        private_check("master-key", &master_key),
        private_check("api-key", &key_file),
    ];
    let store = Arc::new(store);
    let keyring: Arc<dyn KeyRing> = Arc::new(keyring);
    let secrets = SealedSecrets::new(store.clone(), keyring.clone(), clock.clone());
    Ok(Backend {
        ledger: store.clone(),
        queue: store,
        keyring,
        blobs: Arc::new(blobs),
        secrets: Arc::new(secrets),
        checks,
        reconcilers: Vec::new(),
        exporter: Exporter::None,
        flush: Box::new(|| Box::pin(std::future::ready(()))),
        #[cfg(feature = "aws")]
        relay: None,
    })
}

fn database_check(store: &SqliteBackend) -> Check {
    let store = store.clone();
    check("database", move || {
        let store = store.clone();
        Box::pin(async move {
            match store.check().await {
                Ok(problems) if problems.is_empty() => {
                    Verdict::Ok("every page is sound".to_owned())
                }
                Ok(problems) => Verdict::Failed(problems.join("; ")),
                Err(error) => Verdict::Failed(error.to_string()),
            }
        })
    })
}

fn private_check(name: &str, path: &Path) -> Check {
    let path = path.to_owned();
    check(name, move || Box::pin(std::future::ready(private(&path))))
}

fn private(path: &Path) -> Verdict {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode().trailing_zeros() >= 6 => {
            Verdict::Ok("only its owner can read it".to_owned())
        }
        Ok(_) => Verdict::Failed(format!("others can read it: chmod 600 {}", path.display())),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}
