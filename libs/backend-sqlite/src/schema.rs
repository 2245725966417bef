//! The tables, and how an older file becomes today's.

use rusqlite::Connection;

use crate::OpenError;

/// "wayb": tells `file` and us that the database is ours.
const APPLICATION_ID: i32 = 0x7761_7962;

/// One entry per version; a released one is never edited.
const MIGRATIONS: &[&str] = &[include_str!("schema/001.sql")];

/// The file's schema version; refuses a file that is not ours to touch. Changes nothing.
pub(crate) fn version(connection: &Connection) -> Result<usize, OpenError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let (found, known) = (found as usize, MIGRATIONS.len());
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    let tables: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table'",
        [],
        |row| row.get(0),
    )?;
    if found == 0 && tables > 0 {
        return Err(OpenError::Foreign);
    }
    Ok(found)
}

/// Brings the file to the newest schema.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let (found, known) = (version(connection)?, MIGRATIONS.len());
    if found == known {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[found..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(
        None,
        "user_version",
        u32::try_from(known).unwrap_or(u32::MAX),
    )?;
    transaction.commit()?;
    Ok(())
}
