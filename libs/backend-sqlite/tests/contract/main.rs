//! The ports' contracts, in memory and on disk.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails its test"
)]

use std::sync::Arc;

use waybill_backend_sqlite::SqliteBackend;
use waybill_messaging::Clock;
use waybill_testkit::contract::{Fixture, TOPOLOGY};

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
