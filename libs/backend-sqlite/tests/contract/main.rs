//! The ports' contracts, in memory and on disk.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails its test"
)]

use std::{sync::Arc, time::Duration};

use waybill_backend_sqlite::SqliteBackend;
use waybill_events::EventType;
use waybill_messaging::{Clock, Commit, Delivery, Seen, Settlement};
use waybill_testkit::contract::{ALPHA, Fixture, TOPOLOGY, run};

fn fixture(backend: SqliteBackend) -> Fixture {
    let injector = backend.clone();
    let inject = Box::new(move |subscription, body| {
        let backend = injector.clone();
        let injected = async move { backend.inject(subscription, body).await.unwrap() };
        Box::pin(injected) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    });
    let backend = Arc::new(backend);
    Fixture::new(backend.clone(), backend, Clock::system(), inject)
}

async fn in_memory() -> Fixture {
    fixture(SqliteBackend::in_memory(TOPOLOGY, Clock::system()).unwrap())
}

async fn on_disk() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(directory.path(), TOPOLOGY, Clock::system()).unwrap();
    fixture(backend).keeping(directory)
}

mod memory {
    mod ledger {
        waybill_testkit::ledger_contract!(crate::in_memory);
    }
    mod queue {
        waybill_testkit::queue_contract!(crate::in_memory);
    }
}

mod disk {
    mod ledger {
        waybill_testkit::ledger_contract!(crate::on_disk);
    }
    mod queue {
        waybill_testkit::queue_contract!(crate::on_disk);
    }
}

/// The delivery of a new event.
async fn published(f: &Fixture) -> Delivery {
    let event = waybill_testkit::event(EventType::ToolCallRequested).build();
    let commit = Commit {
        events: vec![event],
        ..Commit::default()
    };
    f.ledger.commit(commit).await.unwrap();
    let received = f.queue.receive(ALPHA.name, 1, Duration::ZERO).await;
    received.unwrap().pop().unwrap()
}

/// Its worker commits although the delivery was put aside meanwhile.
#[test]
fn a_late_mark_settles_nobody_elses_delivery() {
    run(in_memory(), async |f: Fixture| {
        let late = published(&f).await;
        let reason = "too slow".to_owned();
        let aside = Settlement::DeadLetter { reason };
        f.queue.settle(&late.receipt, aside).await.unwrap();
        let other = published(&f).await;
        let commit = Commit {
            seen: vec![Seen {
                subscription: ALPHA.name,
                event: late.event.id.clone(),
                receipt: Some(late.receipt),
            }],
            ..Commit::default()
        };
        f.ledger.commit(commit).await.unwrap();
        let held = f.queue.extend(&other.receipt).await;
        held.expect("the other delivery is still there");
    });
}
