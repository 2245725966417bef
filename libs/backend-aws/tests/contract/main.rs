//! The ports' contracts over an emulator, by HTTP. `cargo xtask test` starts it; so does
//! `cargo xtask emulator COMMAND...` for one command.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails its test"
)]

mod adopted;
mod emulator;
mod faults;
mod installation;
mod metrics;
mod outbox;
mod secrets;
mod topology;

use std::{sync::Arc, time::Duration};

use waybill_backend_aws::{
    CacheBounds, CachedKeyRing, DynamoLedger, KmsKeyRing, Place, S3Blobs, SecretsManager, SqsQueue,
    provision,
};
use waybill_messaging::Clock;
use waybill_testkit::contract::{
    BlobsFixture, Expiry, Fixture, KeyRingFixture, SecretsFixture, TOPOLOGY,
};

use crate::emulator::Account;

async fn ports() -> Fixture {
    let Account { clients, names, .. } = Account::fresh().await;
    provision::apply(&clients, &names, TOPOLOGY).await.unwrap();
    let queue = SqsQueue::open(&clients, &names, TOPOLOGY).await.unwrap();
    let ledger = DynamoLedger::open(&clients, &names, Clock::system())
        .await
        .unwrap();
    let injector = queue.clone();
    let inject = Box::new(move |subscription: &'static str, body: String| {
        let queue = injector.clone();
        let injected = async move { queue.inject(subscription, body).await.unwrap() };
        Box::pin(injected) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    });
    Fixture::new(Arc::new(ledger), Arc::new(queue), Clock::system(), inject)
        .expiring(Expiry::Native)
        .prompt(Duration::from_secs(4))
}

async fn key_ring() -> KeyRingFixture {
    key_rings(Account::fresh).await
}

async fn strict_key_ring() -> KeyRingFixture {
    key_rings(Account::with_strict_kms).await
}

async fn key_rings(account: impl AsyncFn() -> Account) -> KeyRingFixture {
    let ring = async || {
        let Account { clients, names, .. } = account().await;
        provision::keys(&clients, &names).await.unwrap();
        Arc::new(CachedKeyRing::new(
            KmsKeyRing::new(&clients, &names),
            CacheBounds::default(),
        ))
    };
    KeyRingFixture {
        ring: ring().await,
        stranger: ring().await,
        guard: Box::new(()),
    }
}

async fn blobs() -> BlobsFixture {
    let Account { clients, names, .. } = Account::fresh().await;
    provision::bucket(&clients, &names).await.unwrap();
    let place = Place::find(&clients).await.unwrap();
    BlobsFixture {
        blobs: Arc::new(S3Blobs::new(&clients, &names, &place, Clock::system())),
        clock: Clock::system(),
        expiry: Expiry::Native,
        guard: Box::new(()),
    }
}

async fn secret_store() -> SecretsFixture {
    let Account { clients, names, .. } = Account::fresh().await;
    SecretsFixture {
        secrets: Arc::new(SecretsManager::new(&clients, &names)),
        clock: Clock::system(),
        guard: Box::new(()),
    }
}

mod ledger {
    waybill_testkit::ledger_contract!(crate::ports);
}

mod queue {
    waybill_testkit::queue_contract!(crate::ports);
}

mod keyring {
    waybill_testkit::contract_tests!(
        keyring,
        crate::key_ring,
        [
            a_key_comes_back,
            wrapping_twice_differs,
            the_key_is_not_in_the_clear,
            another_context_is_refused,
            another_length_is_refused,
        ]
    );
}

/// What the first emulator lets pass, in one that refuses it (and which mixes contexts up).
mod strict_keyring {
    waybill_testkit::contract_tests!(
        keyring,
        crate::strict_key_ring,
        [
            a_key_comes_back,
            any_altered_byte_is_refused,
            another_length_is_refused,
            another_master_key_is_refused,
        ]
    );
}

mod blob {
    waybill_testkit::blobs_contract!(crate::blobs);
}

mod secret {
    waybill_testkit::secrets_contract!(crate::secret_store);
}
