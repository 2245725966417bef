//! Opening the store, and what its two ports share.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use rusqlite::Connection;
use waybill_messaging::{Clock, Result, Subscription};

use crate::{
    OpenError, engine::Engine, error::Outcome, reader::Readers, recent::Recent, schema,
    writer::Writer,
};

const DATABASE: &str = "waybill.db";
const LOCK: &str = "waybill.lock";
/// Pages of WAL before they are moved into the database file: 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_096;
/// KiB of pages that the writer keeps.
const WRITER_CACHE_KIB: i64 = 8_192;

/// `Ledger` and `Queue` on one SQLite file, or in memory. Cheap to clone.
#[derive(Clone)]
pub struct SqliteBackend(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) writer: Writer,
    pub(crate) recent: Arc<Recent>,
    pub(crate) clock: Clock,
    readers: Option<Readers>,
    /// Held as long as the store is open.
    _lock: Option<File>,
}

impl SqliteBackend {
    /// Opens `directory`/waybill.db, making both where needed, for this process alone.
    pub fn open(
        directory: &Path,
        topology: &[Subscription],
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        // Arguments and results are in here: for its owner only.
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io(directory))?;
        let lock = lock(directory)?;
        let path = directory.join(DATABASE);
        // SQLite gives its other files the mode of this one.
        File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path))?;
        let mut connection = Connection::open(&path)?;
        schema::version(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // On macOS an fsync leaves the data in the disk's cache; this one does not. No effect elsewhere.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        schema::migrate(&mut connection)?;
        let recent = Arc::new(Recent::new());
        let engine = Engine::new(connection, clock.clone(), topology)?;
        let writer = Writer::threaded(engine, recent.clone()).map_err(io(&path))?;
        let readers = Some(Readers::new(&path));
        Ok(Self(Arc::new(Shared {
            writer,
            recent,
            clock,
            readers,
            _lock: Some(lock),
        })))
    }

    /// A store that ends with its last clone. Runs in the caller's place, without threads.
    pub fn in_memory(topology: &[Subscription], clock: Clock) -> Result<Self, OpenError> {
        let mut connection = Connection::open_in_memory()?;
        schema::migrate(&mut connection)?;
        let recent = Arc::new(Recent::new());
        let engine = Engine::new(connection, clock.clone(), topology)?;
        let writer = Writer::inline(engine, recent.clone());
        Ok(Self(Arc::new(Shared {
            writer,
            recent,
            clock,
            readers: None,
            _lock: None,
        })))
    }

    /// Whether `directory` holds a store that a process has open.
    pub fn in_use(directory: &Path) -> bool {
        directory.join(LOCK).exists() && matches!(lock(directory), Err(OpenError::InUse { .. }))
    }

    /// Copies the store, as of one moment, into a new file while it is in use.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        let to: PathBuf = to.to_owned();
        self.0
            .read(move |connection| {
                connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
                Ok(())
            })
            .await
    }

    /// Puts a body that is no event of ours into a queue, as a foreign producer would: for tests of
    /// what happens then.
    #[doc(hidden)]
    pub async fn inject(&self, subscription: &'static str, body: String) -> Result<()> {
        self.0
            .writer
            .run(move |engine| engine.inject(subscription, &body))
            .await
    }

    /// Reads every page and index; the problems found, none when it is sound.
    pub async fn check(&self) -> Result<Vec<String>> {
        let problems = self.0.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            Ok(rows.collect::<std::result::Result<Vec<_>, _>>()?)
        });
        Ok(problems
            .await?
            .into_iter()
            .filter(|line| line != "ok")
            .collect())
    }
}

impl Shared {
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(readers) = &self.readers {
            return readers.run(read).await;
        }
        let engine = self
            .writer
            .inline_engine()
            .expect("without readers the engine is at hand");
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        read(engine.connection()).map_err(Into::into)
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let io = |source| OpenError::Io {
        path: path.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}
