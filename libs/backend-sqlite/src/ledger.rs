//! The `Ledger` port.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Value};
use tokio::time::{Instant, timeout_at};
use waybill_messaging::{
    Commit, Committed, Direction, Error, Key, Ledger, Page, Range, Record, Result,
};

use crate::{SqliteBackend, engine::Prepared, error::Outcome};

#[async_trait]
impl Ledger for SqliteBackend {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let prepared = Prepared::new(commit)?;
        self.0
            .writer
            .run(move |engine| engine.commit(prepared))
            .await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.0.clock.now();
        if let Some(record) = self.0.recent.get(key) {
            return Ok(live(record, now));
        }
        let key = key.clone();
        let record = self.0.read(move |connection| get(connection, &key)).await?;
        Ok(record.and_then(|record| live(record, now)))
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        let table = "SELECT sort, id, partition, sort, version, expires_at, body FROM record
                     WHERE partition = ?1 AND (expires_at IS NULL OR expires_at > ?2)";
        self.page(table, "sort", partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        let table = "SELECT index_sort, id, partition, sort, version, expires_at, body FROM record
                     WHERE index_partition = ?1 AND (expires_at IS NULL OR expires_at > ?2)";
        self.page(table, "index_sort", partition, range).await
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        let end = Instant::now() + wait;
        loop {
            // Watch first, then look: a commit in between is not missed.
            let watch = self.0.recent.watch(key);
            let now = self.get(key).await?;
            let newer = match now.filter(|record| record.version > after) {
                Some(record) => Some(record),
                None => match timeout_at(end, watch).await {
                    Ok(Ok(record)) if record.version > after => Some(record),
                    Ok(_) => continue,
                    Err(_) => None,
                },
            };
            self.0.recent.sweep(key);
            return Ok(newer);
        }
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.0.writer.run(move |engine| engine.expire(limit)).await
    }
}

impl SqliteBackend {
    /// One page by the order of `sort`, a record's number deciding between equals.
    async fn page(
        &self,
        table: &'static str,
        sort: &'static str,
        partition: &str,
        range: Range,
    ) -> Result<Page> {
        let (order, beyond) = match range.direction {
            Direction::Ascending => ("ASC", ">"),
            Direction::Descending => ("DESC", "<"),
        };
        let limit = range.limit.clamp(1, Range::MAX_LIMIT);
        let mut sql = table.to_owned();
        let now = self.0.clock.now().timestamp_millis();
        let mut values = vec![Value::Text(partition.to_owned()), Value::Integer(now)];
        let mut condition = |text: String, value: Value| {
            values.push(value);
            sql.push_str(&text.replace('?', &format!("?{}", values.len())));
        };
        if let Some(from) = range.from {
            condition(format!(" AND {sort} >= ?"), Value::Text(from));
        }
        if let Some(to) = range.to {
            condition(format!(" AND {sort} <= ?"), Value::Text(to));
        }
        if let Some(after) = range.after {
            let (number, key) = position(&after)?;
            condition(format!(" AND ({sort}, id) {beyond} (?"), Value::Text(key));
            condition(", ?)".to_owned(), Value::Integer(number));
        }
        let order = format!(" ORDER BY {sort} {order}, id {order} LIMIT {limit}");
        sql.push_str(&order);
        self.0
            .read(move |connection| page(connection, &sql, values, limit))
            .await
    }
}

fn page(connection: &Connection, sql: &str, values: Vec<Value>, limit: usize) -> Outcome<Page> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut page = Page {
        records: Vec::new(),
        next: None,
    };
    let mut last = None;
    while let Some(row) = rows.next()? {
        last = Some(format!(
            "{}:{}",
            row.get::<_, i64>(1)?,
            row.get::<_, String>(0)?
        ));
        page.records.push(record(row, 2)?);
    }
    if page.records.len() == limit {
        page.next = last;
    }
    Ok(page)
}

fn position(after: &str) -> Result<(i64, String)> {
    let parsed = after
        .split_once(':')
        .and_then(|(id, key)| Some((id.parse().ok()?, key.to_owned())));
    parsed.ok_or_else(|| Error::Unknown("this page position".to_owned()))
}

fn get(connection: &Connection, key: &Key) -> Outcome<Option<Record>> {
    let mut statement = connection.prepare_cached(
        "SELECT partition, sort, version, expires_at, body FROM record
         WHERE partition = ?1 AND sort = ?2",
    )?;
    let found = statement.query_row(params![key.partition, key.sort], |row| record(row, 0));
    Ok(found.optional()?)
}

/// Columns from `at`: partition, sort, version, expiry, body.
fn record(row: &Row<'_>, at: usize) -> rusqlite::Result<Record> {
    let expires_at: Option<i64> = row.get(at + 3)?;
    Ok(Record {
        key: Key::new(row.get::<_, String>(at)?, row.get::<_, String>(at + 1)?),
        version: row.get::<_, i64>(at + 2)?.unsigned_abs(),
        body: row.get::<_, Vec<u8>>(at + 4)?.into(),
        expires_at: expires_at.and_then(DateTime::from_timestamp_millis),
    })
}

fn live(record: Record, now: DateTime<Utc>) -> Option<Record> {
    record
        .expires_at
        .is_none_or(|at| at > now)
        .then_some(record)
}
