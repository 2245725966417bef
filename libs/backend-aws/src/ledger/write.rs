//! One write of a commit as an item of a transaction.
//!
//! A put under [`Expect::Any`] counts on from the version that is there without reading it: an
//! update. Over an expired record, which counts as none, it is a plain put with version 1.
//! Conditions keep the two apart, so that a put in the wrong form fails and can be turned.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};
use waybill_messaging::{Expect, Result, Write};

use super::{
    item::{self, Item, aliases, bytes, incomplete, number, text},
    schema::{BODY, EXPIRES_AT, INDEX_PARTITION, INDEX_SORT, TTL, VERSION},
};

/// What a put under [`Expect::Any`] takes to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// A live record or none.
    Live,
    Expired,
}

/// What a record need not have.
const OPTIONAL: [&str; 4] = [EXPIRES_AT, TTL, INDEX_PARTITION, INDEX_SORT];

const ABSENT: &str = "attribute_not_exists(#version) OR #expires_at <= :now";
const AT_VERSION: &str =
    "#version = :version AND (attribute_not_exists(#expires_at) OR #expires_at > :now)";
const NOT_EXPIRED: &str = "attribute_not_exists(#expires_at) OR #expires_at > :now";
const EXPIRED: &str = "#expires_at <= :now";

pub(super) fn is_put_any(write: &Write) -> bool {
    let any = Expect::Any;
    matches!(write, Write::Put { expect, .. } if *expect == any)
}

/// `None`: a check that holds always.
pub(super) fn item(
    table: &str,
    write: &Write,
    over: Over,
    now: i64,
) -> Result<Option<TransactWriteItem>> {
    let item = TransactWriteItem::builder();
    let item = match write {
        Write::Put { expect, .. } => match (expect, over) {
            (Expect::Any, Over::Live) => item.update(update(table, write, now)?),
            (Expect::Any, Over::Expired) => item.put(put(
                table,
                write,
                1,
                Condition::new(EXPIRED, &[EXPIRES_AT], now),
            )?),
            (Expect::Absent, _) => item.put(put(table, write, 1, Condition::of(*expect, now))?),
            (Expect::Version(version), _) => {
                let next = version.saturating_add(1);
                item.put(put(table, write, next, Condition::of(*expect, now))?)
            }
        },
        Write::Delete { key, expect } => {
            let condition = Condition::of(*expect, now);
            let delete = Delete::builder()
                .table_name(table)
                .set_key(Some(item::key(key)))
                .set_condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names)
                .set_expression_attribute_values(condition.values)
                .build();
            item.delete(delete.map_err(incomplete)?)
        }
        Write::Check {
            expect: Expect::Any,
            ..
        } => return Ok(None),
        Write::Check { key, expect } => {
            let condition = Condition::of(*expect, now);
            let check = ConditionCheck::builder()
                .table_name(table)
                .set_key(Some(item::key(key)))
                .set_condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names)
                .set_expression_attribute_values(condition.values)
                .build();
            item.condition_check(check.map_err(incomplete)?)
        }
    };
    Ok(Some(item.build()))
}

fn put(table: &str, write: &Write, version: u64, condition: Condition) -> Result<Put> {
    let mut item = item::key(write.key());
    item.insert(VERSION.to_owned(), number(version));
    item.extend(attributes(write).map(|(name, value)| (name.to_owned(), value)));
    Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .set_condition_expression(condition.expression)
        .set_expression_attribute_names(condition.names)
        .set_expression_attribute_values(condition.values)
        .build()
        .map_err(incomplete)
}

fn update(table: &str, write: &Write, now: i64) -> Result<Update> {
    let mut values = Item::from([
        (":zero".to_owned(), number(0)),
        (":one".to_owned(), number(1)),
        (":now".to_owned(), number(now)),
    ]);
    let mut set = vec![format!(
        "#{VERSION} = if_not_exists(#{VERSION}, :zero) + :one"
    )];
    let mut remove = OPTIONAL.to_vec();
    for (name, value) in attributes(write) {
        set.push(format!("#{name} = :{name}"));
        values.insert(format!(":{name}"), value);
        remove.retain(|other| *other != name);
    }
    let mut update = format!("SET {}", set.join(", "));
    if !remove.is_empty() {
        update += " REMOVE #";
        update += &remove.join(", #");
    }
    let mut names = aliases(&OPTIONAL);
    names.extend(aliases(&[VERSION, BODY]));
    Update::builder()
        .table_name(table)
        .set_key(Some(item::key(write.key())))
        .update_expression(update)
        .condition_expression(NOT_EXPIRED)
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values))
        .build()
        .map_err(incomplete)
}

/// What a put stores beside key and version.
fn attributes(write: &Write) -> impl Iterator<Item = (&'static str, AttributeValue)> {
    let Write::Put {
        body,
        index,
        expires_at,
        ..
    } = write
    else {
        unreachable!("only puts store");
    };
    let expires_at = expires_at.map(|at| at.timestamp_millis());
    // A whole second later at most: what still lives must not be removed.
    let ttl = expires_at.map(|at| at.div_euclid(1_000) + 1);
    let index = index.as_ref();
    [
        Some((BODY, bytes(body))),
        expires_at.map(|at| (EXPIRES_AT, number(at))),
        ttl.map(|at| (TTL, number(at))),
        index.map(|entry| (INDEX_PARTITION, text(&entry.partition))),
        index.map(|entry| (INDEX_SORT, text(&entry.sort))),
    ]
    .into_iter()
    .flatten()
}

/// Three parts of a request; none of them where everything is fine.
#[derive(Default)]
struct Condition {
    expression: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<Item>,
}

impl Condition {
    fn of(expect: Expect, now: i64) -> Self {
        match expect {
            Expect::Any => Self::default(),
            Expect::Absent => Self::new(ABSENT, &[VERSION, EXPIRES_AT], now),
            Expect::Version(version) => {
                let mut condition = Self::new(AT_VERSION, &[VERSION, EXPIRES_AT], now);
                let values = condition.values.get_or_insert_default();
                values.insert(":version".to_owned(), number(version));
                condition
            }
        }
    }

    fn new(expression: &str, names: &[&str], now: i64) -> Self {
        Self {
            expression: Some(expression.to_owned()),
            names: Some(aliases(names)),
            values: Some(Item::from([(":now".to_owned(), number(now))])),
        }
    }
}
