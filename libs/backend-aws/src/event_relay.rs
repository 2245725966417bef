//! Events outward: onto an EventBridge bus, for whoever integrates with an installation.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_eventbridge::{
    primitives::DateTime,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use futures::future::join_all;
use waybill_events::{Event, EventId};
use waybill_messaging::{
    BatchHandler, Batching, BoxError, Context, Effects, Error, Events, Failure, Subscription,
};

use crate::{Clients, Names, error::port_error};

/// What a rule matches on as `source`.
const SOURCE: &str = "dev.waybill";
/// Quotas of `PutEvents`: entries, and bytes of them all.
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;
/// An entry's time, as EventBridge counts it, in bytes.
const TIME_BYTES: usize = 14;
/// Events that are on the bus while others of their batch are not.
const MOST_REMEMBERED: usize = 1_000;

/// Puts every event on the installation's bus: `source` is `dev.waybill`, `detail-type` the
/// event's type, `detail` the event as it is. At least once: `detail.id` tells repetitions.
///
/// Timeouts: those of [`Clients`]. The queue retries, and only what the bus has refused: a batch of
/// which some were refused is taken apart, and what is on the bus is not put there again (in this
/// process).
pub struct EventRelay {
    events: aws_sdk_eventbridge::Client,
    bus: String,
    put: Mutex<HashSet<EventId>>,
}

impl EventRelay {
    pub fn new(clients: &Clients, names: &Names) -> Self {
        Self {
            events: clients.eventbridge.clone(),
            bus: names.bus(),
            put: Mutex::default(),
        }
    }

    /// Why the first one that failed did so.
    async fn put(&self, events: &[&Event]) -> Result<(), Error> {
        let bodies: Vec<String> = events.iter().map(|event| body(event)).collect();
        let bodies: Vec<(&Event, String)> = events.iter().copied().zip(bodies).collect();
        let requests = chunks(&bodies).map(|some| self.request(some));
        join_all(requests).await.into_iter().collect()
    }

    async fn request(&self, some: &[(&Event, String)]) -> Result<(), Error> {
        let entries = some
            .iter()
            .map(|(event, body)| entry(&self.bus, event, body));
        let answer = self
            .events
            .put_events()
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| port_error("EventBridge takes no events", error))?;
        let results = answer.entries();
        let refused = |result: &&PutEventsResultEntry| result.event_id().is_none();
        let first = results.iter().find(refused);
        // Nobody knows which.
        if results.len() != some.len() || (first.is_none() && answer.failed_entry_count() > 0) {
            let what = "EventBridge did not say what it took";
            return Err(Error::unavailable(what, "its answer has other entries"));
        }
        let Some(first) = first else {
            self.remember(some, results);
            return Ok(());
        };
        self.remember(some, results);
        Err(refusal(first))
    }

    fn remember(&self, some: &[(&Event, String)], results: &[PutEventsResultEntry]) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        if put.len() > MOST_REMEMBERED {
            put.clear();
        }
        let taken = some.iter().zip(results);
        let taken = taken.filter(|(_, result)| result.event_id().is_some());
        put.extend(taken.map(|((event, _), _)| event.id.clone()));
    }

    /// Those that are not on the bus yet, as far as this process knows.
    fn left<'a>(&self, events: &[&'a Event]) -> Vec<&'a Event> {
        let put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        let left = events.iter().copied();
        left.filter(|event| !put.contains(&event.id)).collect()
    }

    fn forget(&self, events: &[&Event]) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            put.remove(&event.id);
        }
    }
}

impl BatchHandler for EventRelay {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            max: 90,
            window: Duration::from_millis(200),
        },
        concurrency: 90,
        ..Subscription::new("event-relay", Events::All)
    };

    async fn handle(&self, events: &[&Event], _cx: &Context) -> Result<Effects, Failure> {
        let failed = self.put(&self.left(events)).await.err();
        let left = self.left(events).len();
        match failed {
            None => {
                self.forget(events);
                Ok(Effects::default())
            }
            // Taken apart: each is handled alone, and those that are on the bus are done.
            Some(error) if left < events.len() => Err(Failure::Reject {
                source: BoxError::from(error),
            }),
            Some(error) => Err(error.into()),
        }
    }
}

/// By the codes of entries that the reference of `PutEvents` lists.
fn refusal(result: &PutEventsResultEntry) -> Error {
    let code = result.error_code().unwrap_or("no code");
    let said = format!("{code}: {}", result.error_message().unwrap_or_default());
    let what = "EventBridge refuses an event";
    match code {
        "InvalidArgument" | "MalformedDetail" | "RedactionFailure" => Error::broken(what, said),
        "AccessDeniedException"
        | "InvalidAccountIdException"
        | "NotAuthorizedForDetailTypeException"
        | "NotAuthorizedForSourceException" => Error::refused(what, said),
        _ => Error::unavailable(what, said),
    }
}

fn body(event: &Event) -> String {
    String::from_utf8(event.to_json()).expect("JSON is UTF-8")
}

fn entry(bus: &str, event: &Event, body: &str) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(SOURCE)
        .detail_type(event.kind.as_str())
        .time(DateTime::from_millis(event.time.timestamp_millis()))
        .detail(body)
        .build()
}

/// As few as the quotas allow, in order.
fn chunks<'a, 'e>(
    mut entries: &'a [(&'e Event, String)],
) -> impl Iterator<Item = &'a [(&'e Event, String)]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(event, body): &&(&Event, String)| {
            bytes += body.len() + event.kind.as_str().len() + SOURCE.len() + TIME_BYTES;
            bytes <= MAX_BYTES
        };
        let count = entries.iter().take(MAX_ENTRIES).take_while(fits).count();
        let (some, rest) = entries.split_at_checked(count.max(1))?;
        entries = rest;
        Some(some)
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;
    use waybill_events::EventType;

    use super::*;
    use crate::script::Script;

    fn event() -> Event {
        waybill_testkit::event(EventType::CircuitOpened).build()
    }

    fn cx() -> Context {
        Context {
            now: DateTime::UNIX_EPOCH,
            receives: 1,
            shutdown: CancellationToken::new(),
        }
    }

    /// Takes the entries that have an id here, and refuses the others.
    fn answer(entries: &[Option<&str>]) -> (u16, String) {
        let entry = |id: Option<&str>| match id {
            Some(id) => json!({ "EventId": id }),
            None => json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "slower" }),
        };
        let failed = entries.iter().filter(|id| id.is_none()).count();
        let entries: Vec<Value> = entries.iter().copied().map(entry).collect();
        let body = json!({ "FailedEntryCount": failed, "Entries": entries });
        (200, body.to_string())
    }

    /// Which of the events were asked for, in each request.
    fn asked(script: &Script) -> Vec<Vec<String>> {
        let id = |entry: &Value| {
            let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
            detail["id"].as_str().unwrap().to_owned()
        };
        let ids = |body: &Value| body["Entries"].as_array().unwrap().iter().map(id).collect();
        script.asked_json().iter().map(ids).collect()
    }

    #[tokio::test]
    async fn only_what_the_bus_refused_is_put_again() {
        let half = answer(&[Some("1"), None, Some("3")]);
        let (clients, script) = Script::clients(vec![half]).await;
        let relay = EventRelay::new(&clients, &Names::new("t"));
        let events = [event(), event(), event()];
        let all: Vec<&Event> = events.iter().collect();
        let failed = relay.handle(&all, &cx()).await;
        assert!(matches!(failed, Err(Failure::Reject { .. })), "taken apart");
        assert_eq!(asked(&script)[0].len(), 3);

        script.say(vec![answer(&[None])]);
        for (event, done) in all.iter().zip([true, false, true]) {
            let alone = relay.handle(&[event], &cx()).await;
            match alone {
                Ok(_) => assert!(done),
                Err(Failure::Retry { .. }) => assert!(!done),
                Err(failure) => panic!("{failure:?}"),
            }
        }
        script.say(vec![answer(&[Some("2")])]);
        relay.handle(&[all[1]], &cx()).await.unwrap();
        assert_eq!(asked(&script), [[all[1].id.as_str()], [all[1].id.as_str()]]);
    }

    #[tokio::test]
    async fn an_answer_that_counts_a_failure_and_names_none_is_none() {
        let body = json!({ "FailedEntryCount": 1, "Entries": [{ "EventId": "1" }] });
        let (clients, script) = Script::clients(vec![(200, body.to_string())]).await;
        let relay = EventRelay::new(&clients, &Names::new("t"));
        let failed = relay.handle(&[&event()], &cx()).await;
        assert!(matches!(failed, Err(Failure::Retry { .. })));
        script.asked();
    }

    #[tokio::test]
    async fn an_event_that_the_bus_cannot_take_is_put_aside_and_a_refusal_waits() {
        for (code, waits) in [
            ("ThrottlingException", true),
            ("NotAuthorizedForSourceException", true),
            ("MalformedDetail", false),
        ] {
            let entry = json!({ "ErrorCode": code, "ErrorMessage": "no" });
            let body = json!({ "FailedEntryCount": 1, "Entries": [entry] });
            let (clients, _) = Script::clients(vec![(200, body.to_string())]).await;
            let relay = EventRelay::new(&clients, &Names::new("t"));
            let failed = relay.handle(&[&event()], &cx()).await.unwrap_err();
            let retried = matches!(failed, Failure::Retry { .. });
            assert_eq!(retried, waits, "{code}: {failed:?}");
        }
    }

    #[test]
    fn requests_keep_to_the_quotas() {
        let sizes = |bodies: &[usize]| {
            let event = event();
            let bodies: Vec<_> = bodies
                .iter()
                .map(|size| (&event, "x".repeat(*size)))
                .collect();
            chunks(&bodies).map(<[_]>::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[10; 25]), [10, 10, 5]);
        assert_eq!(sizes(&[100_000; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[255 * 1024, 10]), [2]);
    }
}
