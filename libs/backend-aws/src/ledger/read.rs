//! Reading records: one by its key, pages by key or by index.

use aws_sdk_dynamodb::operation::query::QueryOutput;
use waybill_messaging::{Direction, Error, Key, Page, Range, Record, Result};

use super::{
    DynamoLedger,
    item::{self, Item, aliases, number, string, text},
    schema::{EXPIRES_AT, INDEX, INDEX_PARTITION, INDEX_SORT, PARTITION, SORT},
};
use crate::error::port_error;

/// Requests for one page. More than one is needed where expired records wait for their removal, or
/// a page is larger than 1 MB.
const MAX_REQUESTS: usize = 32;
const NOT_EXPIRED: &str = "attribute_not_exists(#expires_at) OR #expires_at > :now";

/// Where records are listed, and in which order.
pub(super) struct Order {
    index: Option<&'static str>,
    partition: &'static str,
    sort: &'static str,
    /// What a position is made of: all but the partition that is listed.
    position: &'static [&'static str],
}

/// Sees every commit that was answered.
pub(super) const BY_KEY: Order = Order {
    index: None,
    partition: PARTITION,
    sort: SORT,
    position: &[SORT],
};

/// Trails by a moment. The record's own key decides between equal entries.
pub(super) const BY_INDEX: Order = Order {
    index: Some(INDEX),
    partition: INDEX_PARTITION,
    sort: INDEX_SORT,
    position: &[INDEX_SORT, PARTITION, SORT],
};

/// Which part of a partition, in `DynamoDB`'s terms.
struct Bounds {
    from: Option<String>,
    to: Option<String>,
}

impl DynamoLedger {
    /// Expired or not.
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Record>> {
        let got = self
            .dynamodb
            .get_item()
            .table_name(&self.records)
            .set_key(Some(item::key(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| port_error("a record cannot be read", error))?;
        got.item.map(item::record).transpose()
    }

    pub(super) async fn page(&self, order: &Order, partition: &str, range: Range) -> Result<Page> {
        let limit = range.limit.clamp(1, Range::MAX_LIMIT);
        let Some(bounds) = Bounds::of(&range) else {
            return Ok(Page {
                records: Vec::new(),
                next: None,
            });
        };
        let mut start = match &range.after {
            Some(after) => Some(order.start(partition, after, &bounds)?),
            None => None,
        };
        let mut items: Vec<Item> = Vec::new();
        // Expired records count against a request's limit, so that only the first can be exact.
        let mut ask = limit;
        for _ in 0..MAX_REQUESTS {
            let found = self
                .ask(order, partition, &bounds, range.direction, start, ask)
                .await?;
            let room = limit - items.len();
            let more = found.last_evaluated_key.is_some() || found.items().len() > room;
            items.extend(found.items.unwrap_or_default().into_iter().take(room));
            if items.len() == limit || found.last_evaluated_key.is_none() {
                let last = items.last().filter(|_| more);
                let next = last.map(|item| order.position(item)).transpose()?;
                return page(items, next);
            }
            start = found.last_evaluated_key;
            ask = Range::MAX_LIMIT;
        }
        let next = start.map(|key| order.position(&key)).transpose()?;
        page(items, next)
    }

    async fn ask(
        &self,
        order: &Order,
        partition: &str,
        bounds: &Bounds,
        direction: Direction,
        start: Option<Item>,
        limit: usize,
    ) -> Result<QueryOutput> {
        let (condition, values) = bounds.condition(order);
        let mut names = vec![EXPIRES_AT, order.partition];
        if !values.is_empty() {
            names.push(order.sort);
        }
        self.dynamodb
            .query()
            .table_name(&self.records)
            .set_index_name(order.index.map(str::to_owned))
            .consistent_read(order.index.is_none())
            .key_condition_expression(condition)
            .filter_expression(NOT_EXPIRED)
            .set_expression_attribute_names(Some(aliases(&names)))
            .set_expression_attribute_values(Some(values))
            .expression_attribute_values(":partition", text(partition))
            .expression_attribute_values(":now", number(self.now()))
            .scan_index_forward(direction == Direction::Ascending)
            .set_exclusive_start_key(start)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| port_error("records cannot be listed", error))
    }
}

impl Order {
    /// Opaque to the caller: a JSON array.
    fn position(&self, item: &Item) -> Result<String> {
        let parts = self.position.iter().map(|name| string(item, name));
        let parts: Vec<&str> = parts.collect::<Result<_>>()?;
        Ok(serde_json::Value::from(parts).to_string())
    }

    /// The key behind which to continue. Always in `partition`, whoever made the position up.
    fn start(&self, partition: &str, after: &str, bounds: &Bounds) -> Result<Item> {
        let unknown = || Error::Unknown("this page position".to_owned());
        let parts: Vec<String> = serde_json::from_str(after).map_err(|_| unknown())?;
        let fits = parts.len() == self.position.len()
            && !parts.iter().any(String::is_empty)
            && bounds.hold(&parts[0]);
        if !fits {
            return Err(unknown());
        }
        let names = self.position.iter().copied().chain([self.partition]);
        let values = parts.iter().map(String::as_str).chain([partition]);
        Ok(names.map(str::to_owned).zip(values.map(text)).collect())
    }
}

impl Bounds {
    /// `None`: nothing can be between them, which `DynamoDB` refuses to look for.
    fn of(range: &Range) -> Option<Self> {
        let from = range.from.clone().filter(|from| !from.is_empty());
        let to = range.to.clone();
        let none = to
            .as_ref()
            .is_some_and(|to| to.is_empty() || from.as_ref().is_some_and(|from| from > to));
        (!none).then_some(Self { from, to })
    }

    fn hold(&self, sort: &str) -> bool {
        self.from.as_deref().is_none_or(|from| from <= sort)
            && self.to.as_deref().is_none_or(|to| sort <= to)
    }

    /// The key condition, and the values of its bounds.
    fn condition(&self, order: &Order) -> (String, Item) {
        let (partition, sort) = (order.partition, order.sort);
        let bounds = match (&self.from, &self.to) {
            (Some(_), Some(_)) => format!(" AND #{sort} BETWEEN :from AND :to"),
            (Some(_), None) => format!(" AND #{sort} >= :from"),
            (None, Some(_)) => format!(" AND #{sort} <= :to"),
            (None, None) => String::new(),
        };
        let values = [(":from", &self.from), (":to", &self.to)];
        let values = values.into_iter().filter_map(|(name, bound)| {
            let bound = bound.as_deref()?;
            Some((name.to_owned(), text(bound)))
        });
        (
            format!("#{partition} = :partition{bounds}"),
            values.collect(),
        )
    }
}

fn page(items: Vec<Item>, next: Option<String>) -> Result<Page> {
    let records = items.into_iter().map(item::record);
    Ok(Page {
        records: records.collect::<Result<_>>()?,
        next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_leads_back_to_its_key() {
        let item: Item = [
            (PARTITION, "calls/acme"),
            (SORT, "a\"b,🐎"),
            (INDEX_PARTITION, "open/acme"),
            (INDEX_SORT, "[1]"),
        ]
        .map(|(name, value)| (name.to_owned(), text(value)))
        .into();
        let open = Bounds::of(&Range::first(1)).unwrap();
        let position = BY_INDEX.position(&item).unwrap();
        assert_eq!(BY_INDEX.start("open/acme", &position, &open).unwrap(), item);
        let position = BY_KEY.position(&item).unwrap();
        let start = BY_KEY.start("calls/acme", &position, &open).unwrap();
        assert_eq!(start.len(), 2);
        assert_eq!(
            (&start[PARTITION], &start[SORT]),
            (&item[PARTITION], &item[SORT])
        );
    }

    #[test]
    fn a_position_from_elsewhere_is_unknown() {
        let bounds = Bounds::of(&Range::first(1).from("b").to("d")).unwrap();
        for wrong in [
            "",
            "7:b",
            "[]",
            r#"[""]"#,
            r#"["a"]"#,
            r#"["e"]"#,
            r#"["b","c"]"#,
        ] {
            let start = BY_KEY.start("p", wrong, &bounds);
            assert!(
                matches!(start, Err(Error::Unknown(_))),
                "{wrong}: {start:?}"
            );
        }
        BY_KEY.start("p", r#"["d"]"#, &bounds).unwrap();
    }

    #[test]
    fn bounds_that_hold_nothing_are_not_asked_for() {
        assert!(Bounds::of(&Range::first(1).from("d").to("b")).is_none());
        assert!(Bounds::of(&Range::first(1).to("")).is_none());
        assert!(Bounds::of(&Range::first(1).from("b").to("b")).is_some());
        assert_eq!(Bounds::of(&Range::first(1).from("")).unwrap().from, None);
    }
}
