//! Items of a table, and the records that they hold.

use std::collections::HashMap;

use aws_sdk_dynamodb::{error::BuildError, primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use chrono::DateTime;
use waybill_messaging::{Error, Key, Record, Result};

use super::schema::{BODY, EXPIRES_AT, PARTITION, SORT, VERSION};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

pub(super) fn bytes(value: &Bytes) -> AttributeValue {
    AttributeValue::B(Blob::from_maybe_shared(value.clone()))
}

pub(super) fn key(key: &Key) -> Item {
    HashMap::from([
        (PARTITION.to_owned(), text(&key.partition)),
        (SORT.to_owned(), text(&key.sort)),
    ])
}

/// `#NAME` for each name: many of them are reserved words.
pub(super) fn aliases(names: &[&str]) -> HashMap<String, String> {
    let alias = |name: &&str| (format!("#{name}"), (*name).to_owned());
    names.iter().map(alias).collect()
}

/// Expired or not.
pub(super) fn record(mut item: Item) -> Result<Record> {
    let expires_at = match item.get(EXPIRES_AT) {
        Some(_) => Some(integer::<i64>(&item, EXPIRES_AT)?),
        None => None,
    };
    let body = match item.remove(BODY) {
        Some(AttributeValue::B(blob)) => blob.into_bytes(),
        _ => return Err(unreadable(BODY)),
    };
    Ok(Record {
        key: Key::new(string(&item, PARTITION)?, string(&item, SORT)?),
        version: integer(&item, VERSION)?,
        body,
        expires_at: expires_at.and_then(DateTime::from_timestamp_millis),
    })
}

pub(super) fn string<'a>(item: &'a Item, name: &'static str) -> Result<&'a str> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.map(String::as_str).ok_or_else(|| unreadable(name))
}

pub(super) fn integer<T: std::str::FromStr>(item: &Item, name: &'static str) -> Result<T> {
    let value = item.get(name).and_then(|value| value.as_n().ok());
    let value = value.and_then(|digits| digits.parse().ok());
    value.ok_or_else(|| unreadable(name))
}

pub(super) fn unreadable(attribute: &'static str) -> Error {
    Error::broken("an item cannot be read", format!("its {attribute}"))
}

/// A request that lacks something it must have: a bug here.
pub(super) fn incomplete(error: BuildError) -> Error {
    Error::broken("a request is incomplete", error)
}
