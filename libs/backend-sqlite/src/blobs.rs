//! Blobs in a directory.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use rand::{TryRng, rngs::SysRng};
use waybill_events::TenantId;
use waybill_messaging::{BlobKey, Blobs, Clock, Error, Result};

/// Begins every blob's file; then its expiry, milliseconds since 1970 in 8 bytes.
const MAGIC: &[u8; 8] = b"wayblob1";
const HEADER_LEN: usize = MAGIC.len() + 8;
/// Where blobs are written before they get their name. Not a tenant: it begins with a dot.
const DRAFTS: &str = ".drafts";
/// The pause after a look, for each file seen: ten seconds for ten thousand.
const LOOK_PAUSE_MS: i64 = 1;
/// How long after its last write a draft counts as left by a crash.
const DRAFT_AGE: TimeDelta = TimeDelta::days(1);

/// [`Blobs`] as files, `DIRECTORY/TENANT/NAME`, readable by their owner only. The directory belongs
/// to one process.
#[derive(Clone)]
pub struct DirectoryBlobs(Arc<Shared>);

struct Shared {
    root: PathBuf,
    clock: Clock,
    /// Tenants whose directory is known to survive a crash.
    known: Mutex<HashSet<TenantId>>,
    /// Held while a name changes hands, so that `expire` never removes what was just put.
    names: Mutex<()>,
    /// When the next look for expired blobs is worth its while, in milliseconds since 1970.
    next_look: AtomicI64,
}

/// What became of a file.
enum Fate {
    Removed,
    /// Until then, in milliseconds since 1970.
    Lives(i64),
    /// It is not there any more, or no blob.
    None,
}

/// What one look through the directory has seen.
#[derive(Default)]
struct Look {
    files: i64,
    removed: usize,
    /// The next expiry of those that stay, in milliseconds since 1970.
    soonest: Option<i64>,
}

impl DirectoryBlobs {
    /// Opens `directory`, making it where needed.
    pub fn open(directory: &Path, clock: Clock) -> io::Result<Self> {
        make_directory(&directory.join(DRAFTS))?;
        Ok(Self(Arc::new(Shared {
            root: directory.to_owned(),
            clock,
            known: Mutex::default(),
            names: Mutex::default(),
            next_look: AtomicI64::new(i64::MIN),
        })))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|error| Error::unavailable(what, error))?
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidData => Error::broken(what, error),
                _ => Error::unavailable(what, error),
            })
    }
}

#[async_trait]
impl Blobs for DirectoryBlobs {
    async fn put(&self, key: &BlobKey, body: Bytes, expires_at: DateTime<Utc>) -> Result<()> {
        let key = checked(key)?;
        self.blocking("a blob cannot be written", move |shared| {
            shared.put(&key, &body, expires_at)
        })
        .await
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>> {
        let key = checked(key)?;
        self.blocking("a blob cannot be read", move |shared| shared.get(&key))
            .await
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let key = checked(key)?;
        self.blocking("a blob cannot be removed", move |shared| {
            missing_is_none(fs::remove_file(shared.path(&key))).map(|_| ())
        })
        .await
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.blocking("expired blobs cannot be removed", move |shared| {
            shared.expire(limit)
        })
        .await
    }
}

impl Shared {
    fn put(&self, key: &BlobKey, body: &[u8], expires_at: DateTime<Utc>) -> io::Result<()> {
        let mut random = [0; 16];
        SysRng.try_fill_bytes(&mut random)?;
        let name = format!("{:032x}", u128::from_be_bytes(random));
        let draft = self.root.join(DRAFTS).join(name);
        // Never in the past: a draft with an old time counts as left by a crash.
        let swept_from = expires_at.max(self.clock.now());
        let put = write_draft(&draft, body, expires_at, swept_from)
            .and_then(|()| self.name(&draft, key, expires_at));
        if put.is_err() {
            // The error that is told is the first one; a draft that stays is removed by `expire`.
            fs::remove_file(&draft).ok();
        }
        put
    }

    /// Gives a written draft its name, durably.
    fn name(&self, draft: &Path, key: &BlobKey, expires_at: DateTime<Utc>) -> io::Result<()> {
        let tenant = self.root.join(key.tenant.as_str());
        let known = || lock(&self.known);
        if !known().contains(&key.tenant) {
            make_directory(&tenant)?;
            File::open(&self.root)?.sync_all()?;
            known().insert(key.tenant.clone());
        }
        {
            let _held = lock(&self.names);
            fs::rename(draft, self.path(key))?;
        }
        self.next_look
            .fetch_min(expires_at.timestamp_millis(), Ordering::Relaxed);
        File::open(&tenant)?.sync_all()
    }

    fn get(&self, key: &BlobKey) -> io::Result<Option<Bytes>> {
        let Some(mut file) = missing_is_none(File::open(self.path(key)))? else {
            return Ok(None);
        };
        if read_expiry(&mut file)? <= self.now() {
            return Ok(None);
        }
        let mut body = Vec::new();
        file.read_to_end(&mut body)?;
        Ok(Some(body.into()))
    }

    /// Asked every second: looks only when something is due, and the longer one look takes, the
    /// more rarely.
    fn expire(&self, limit: usize) -> io::Result<usize> {
        let now = self.now();
        if now < self.next_look.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.remove_old_drafts()?;
        // What is put from here on makes it earlier again.
        self.next_look.store(i64::MAX, Ordering::Relaxed);
        let looked = self.look(limit);
        let next = match &looked {
            Ok(look) if look.removed < limit => {
                let soonest = look.soonest.unwrap_or(i64::MAX);
                soonest.max(now.saturating_add(look.files * LOOK_PAUSE_MS))
            }
            _ => now,
        };
        self.next_look.fetch_min(next, Ordering::Relaxed);
        looked.map(|look| look.removed)
    }

    fn look(&self, limit: usize) -> io::Result<Look> {
        let mut look = Look::default();
        for tenant in fs::read_dir(&self.root)? {
            let tenant = tenant?;
            if tenant.file_name() == DRAFTS || !tenant.file_type()?.is_dir() {
                continue;
            }
            for blob in fs::read_dir(tenant.path())? {
                if look.removed == limit {
                    return Ok(look);
                }
                look.files += 1;
                match self.expire_one(&blob?)? {
                    Fate::Removed => look.removed += 1,
                    Fate::Lives(until) => {
                        look.soonest = Some(look.soonest.map_or(until, |at| at.min(until)));
                    }
                    Fate::None => {}
                }
            }
        }
        Ok(look)
    }

    /// The modification time, set to the expiry by `put`, only spares opening what is still alive;
    /// the header decides, because a copied directory has other times.
    fn expire_one(&self, blob: &fs::DirEntry) -> io::Result<Fate> {
        let Some(metadata) = missing_is_none(blob.metadata())? else {
            return Ok(Fate::None);
        };
        let modified = metadata.modified()?;
        if !metadata.is_file() {
            return Ok(Fate::None);
        }
        if modified > system_time(self.clock.now()) {
            return Ok(Fate::Lives(
                DateTime::<Utc>::from(modified).timestamp_millis(),
            ));
        }
        let _held = lock(&self.names);
        let Some(mut file) = missing_is_none(File::open(blob.path()))? else {
            return Ok(Fate::None);
        };
        match read_expiry(&mut file) {
            Ok(expiry) if expiry <= self.now() => {
                let removed = missing_is_none(fs::remove_file(blob.path()))?;
                Ok(removed.map_or(Fate::None, |()| Fate::Removed))
            }
            Ok(expiry) => Ok(Fate::Lives(expiry)),
            // One damaged file must not keep the others from being swept.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                tracing::warn!(path = %blob.path().display(), "not a blob");
                Ok(Fate::None)
            }
            Err(error) => Err(error),
        }
    }

    fn remove_old_drafts(&self) -> io::Result<()> {
        let old = system_time(self.clock.now() - DRAFT_AGE);
        for draft in fs::read_dir(self.root.join(DRAFTS))? {
            let draft = draft?;
            // A put that is under way may rename it meanwhile.
            let metadata = missing_is_none(draft.metadata())?;
            if metadata.is_some_and(|metadata| metadata.modified().is_ok_and(|time| time < old)) {
                missing_is_none(fs::remove_file(draft.path()))?;
            }
        }
        Ok(())
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.tenant.as_str()).join(&key.name)
    }

    fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }
}

/// What is locked is whole at every moment; a panic of another thread does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key, once neither of its parts can be anything but one plain file name.
fn checked(key: &BlobKey) -> Result<BlobKey> {
    key.check()?;
    Ok(key.clone())
}

fn write_draft(
    draft: &Path,
    body: &[u8],
    expires_at: DateTime<Utc>,
    swept_from: DateTime<Utc>,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(MAGIC)?;
    file.write_all(&expires_at.timestamp_millis().to_be_bytes())?;
    file.write_all(body)?;
    file.set_modified(system_time(swept_from))?;
    file.sync_all()
}

/// Milliseconds since 1970.
fn read_expiry(file: &mut File) -> io::Result<i64> {
    let mut header = [0; HEADER_LEN];
    let damaged = || io::Error::new(ErrorKind::InvalidData, "the header of the blob is damaged");
    file.read_exact(&mut header)
        .map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => damaged(),
            _ => error,
        })?;
    match header.split_first_chunk() {
        Some((MAGIC, expiry)) => Ok(i64::from_be_bytes(
            expiry.try_into().expect("the header ends with 8 bytes"),
        )),
        _ => Err(damaged()),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn missing_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Times before 1970 count as 1970.
fn system_time(time: DateTime<Utc>) -> SystemTime {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::mpsc};

    use waybill_testkit::contract::{BlobsFixture, Expiry};

    use super::*;

    fn open() -> (DirectoryBlobs, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let blobs = DirectoryBlobs::open(&directory.path().join("blobs"), Clock::system());
        (blobs.unwrap(), directory)
    }

    async fn fixture() -> BlobsFixture {
        let (blobs, directory) = open();
        BlobsFixture {
            blobs: Arc::new(blobs),
            clock: Clock::system(),
            expiry: Expiry::Swept,
            guard: Box::new(directory),
        }
    }

    mod contract {
        waybill_testkit::blobs_contract!(super::fixture);
    }

    fn key(name: &str) -> BlobKey {
        BlobKey {
            tenant: TenantId::parse("acme").unwrap(),
            name: name.to_owned(),
        }
    }

    fn later() -> DateTime<Utc> {
        Clock::system().now() + TimeDelta::hours(1)
    }

    #[tokio::test]
    async fn blobs_are_private_and_outlive_the_process() {
        let (blobs, directory) = open();
        let body = Bytes::from_static(b"secret");
        blobs.put(&key("a"), body.clone(), later()).await.unwrap();
        let path = directory.path().join("blobs/acme/a");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(blobs);
        let again = DirectoryBlobs::open(&directory.path().join("blobs"), Clock::system());
        assert_eq!(again.unwrap().get(&key("a")).await.unwrap(), Some(body));
    }

    #[tokio::test]
    async fn a_copy_with_other_times_keeps_its_blobs() {
        let (blobs, directory) = open();
        blobs.put(&key("a"), Bytes::new(), later()).await.unwrap();
        let file = File::options()
            .write(true)
            .open(directory.path().join("blobs/acme/a"));
        file.unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(blobs.expire(10).await.unwrap(), 0);
        assert!(blobs.get(&key("a")).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_damaged_blob_is_broken_and_hinders_no_sweep() {
        let (blobs, directory) = open();
        let past = Clock::system().now() - TimeDelta::seconds(1);
        for name in ["a", "b", "c"] {
            blobs.put(&key(name), Bytes::new(), past).await.unwrap();
        }
        for body in ["", "wayblob", "wayblob2........"] {
            let path = directory.path().join("blobs/acme/b");
            fs::write(&path, body).unwrap();
            let got = blobs.get(&key("b")).await;
            assert!(matches!(got, Err(Error::Broken { .. })), "{got:?}");
        }
        let file = File::options()
            .write(true)
            .open(directory.path().join("blobs/acme/b"));
        file.unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(blobs.expire(10).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn drafts_of_a_crash_are_removed_in_time() {
        let (blobs, directory) = open();
        let drafts = directory.path().join("blobs").join(DRAFTS);
        let (old, new) = (drafts.join("old"), drafts.join("new"));
        for draft in [&old, &new] {
            fs::write(draft, "half").unwrap();
        }
        let file = File::options().write(true).open(&old).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(blobs.expire(10).await.unwrap(), 0);
        assert!(!old.exists() && new.exists());
    }

    #[tokio::test]
    async fn what_has_expired_is_none_before_it_is_swept() {
        let (blobs, _directory) = open();
        let past = Clock::system().now() - TimeDelta::seconds(1);
        blobs.put(&key("a"), Bytes::new(), past).await.unwrap();
        assert_eq!(blobs.get(&key("a")).await.unwrap(), None);
        assert_eq!(blobs.expire(10).await.unwrap(), 1);
    }

    /// `expire` looks at a blob and removes it; a put in between must not be lost.
    #[test]
    fn a_sweep_and_a_put_wait_for_each_other() {
        const MOMENT: Duration = Duration::from_millis(100);
        let (blobs, _directory) = open();
        let shared = &*blobs.0;
        let past = Clock::system().now() - TimeDelta::seconds(1);
        shared.put(&key("a"), b"old", past).unwrap();
        let (done, waiting) = mpsc::channel();
        std::thread::scope(|scope| {
            let held = lock(&shared.names);
            scope.spawn(|| done.send(shared.expire(10).map(|_| ())));
            assert!(waiting.recv_timeout(MOMENT).is_err(), "expire did not wait");
            let draft = shared.root.join(DRAFTS).join("draft");
            write_draft(&draft, b"new", later(), later()).unwrap();
            fs::rename(draft, shared.path(&key("a"))).unwrap();
            drop(held);
            waiting.recv().unwrap().unwrap();
        });
        let body = shared.get(&key("a")).unwrap();
        assert_eq!(body.as_deref(), Some(&b"new"[..]));
        std::thread::scope(|scope| {
            let held = lock(&shared.names);
            scope.spawn(|| done.send(shared.put(&key("a"), b"newer", later())));
            assert!(waiting.recv_timeout(MOMENT).is_err(), "put did not wait");
            drop(held);
            waiting.recv().unwrap().unwrap();
        });
    }
}
