//! The tables, and how an older file becomes today's.

use rusqlite::Connection;

use crate::OpenError;

/// "wayb": tells `file` and us that the database is ours.
const APPLICATION_ID: i32 = 0x7761_7962;

/// One entry per version; a released one is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_first_version_keeps_its_deliveries() {
        let mut old = Connection::open_in_memory().unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let insert = "INSERT INTO delivery
            (subscription, visible_at, lease, receives, enqueued_at, body)
            VALUES (3, 10, 0, 2, 9, 'first'), (3, 20, 7, 1, 19, 'second')";
        old.execute_batch(insert).unwrap();
        migrate(&mut old).unwrap();
        assert_eq!(version(&old).unwrap(), MIGRATIONS.len());
        let kept = || -> Vec<String> {
            let columns = "id, subscription, visible_at, lease, receives, enqueued_at, body";
            let columns = columns.replace(", ", " || '/' || ");
            let sql = format!("SELECT {columns} FROM delivery ORDER BY id");
            let mut statement = old.prepare(&sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(kept(), ["1/3/10/0/2/9/first", "2/3/20/7/1/19/second"]);
        old.execute_batch("DELETE FROM delivery").unwrap();
        old.execute_batch(insert).unwrap();
        assert_eq!(kept(), ["3/3/10/0/2/9/first", "4/3/20/7/1/19/second"]);
    }
}
