//! The contract of the port, over one machine's ledger and key ring; and what only a look into the
//! ledger shows.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails its test"
)]

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tempfile::TempDir;
use waybill_backend_sqlite::{LocalKeyRing, SqliteBackend};
use waybill_messaging::{
    Clock, Commit, Error, Expect, Key, Ledger, SecretName, SecretValue, Secrets, Write,
};
use waybill_testkit::contract::SecretsFixture;
use waybill_vault::SealedSecrets;

struct Machine {
    ledger: Arc<SqliteBackend>,
    secrets: Arc<SealedSecrets>,
    directory: TempDir,
}

fn machine() -> Machine {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(SqliteBackend::in_memory(&[], Clock::system()).unwrap());
    let keyring = LocalKeyRing::open(&directory.path().join("master-key")).unwrap();
    let secrets = SealedSecrets::new(ledger.clone(), Arc::new(keyring), Clock::system());
    Machine {
        ledger,
        secrets: Arc::new(secrets),
        directory,
    }
}

async fn in_memory() -> SecretsFixture {
    let Machine {
        secrets, directory, ..
    } = machine();
    SecretsFixture {
        secrets,
        clock: Clock::system(),
        guard: Box::new(directory),
    }
}

async fn on_disk() -> SecretsFixture {
    let directory = tempfile::tempdir().unwrap();
    let ledger = SqliteBackend::open(directory.path(), &[], Clock::system()).unwrap();
    let keyring = LocalKeyRing::open(&directory.path().join("master-key")).unwrap();
    let secrets = SealedSecrets::new(Arc::new(ledger), Arc::new(keyring), Clock::system());
    SecretsFixture {
        secrets: Arc::new(secrets),
        clock: Clock::system(),
        guard: Box::new(directory),
    }
}

mod memory {
    waybill_testkit::secrets_contract!(crate::in_memory);
}

mod disk {
    waybill_testkit::secrets_contract!(crate::on_disk);
}

const TEXT: &str = "a secret of which no part may be seen";

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

impl Machine {
    async fn put(&self, at: &str) {
        let value = SecretValue::new(TEXT.to_owned()).unwrap();
        self.secrets.put(&name(at), &value).await.unwrap();
    }

    async fn body(&self, at: &str) -> Bytes {
        let record = self.ledger.get(&Key::new("secrets/all", at)).await;
        record.unwrap().unwrap().body
    }

    async fn write(&self, at: &str, body: Bytes) {
        let write = Write::Put {
            key: Key::new("secrets/all", at),
            expect: Expect::Any,
            body,
            index: None,
            expires_at: None,
        };
        let commit = Commit {
            writes: vec![write],
            ..Commit::default()
        };
        self.ledger.commit(commit).await.unwrap();
    }

    async fn refuses(&self, at: &str) {
        let got = self.secrets.get(&name(at)).await;
        assert!(matches!(got, Err(Error::Broken { .. })), "{got:?}");
    }
}

#[tokio::test]
async fn no_part_of_it_is_in_the_ledger_and_no_two_are_alike() {
    let machine = machine();
    machine.put("a").await;
    let first = machine.body("a").await;
    machine.put("a").await;
    let second = machine.body("a").await;
    let json: serde_json::Value = serde_json::from_slice(&first).unwrap();
    let again: serde_json::Value = serde_json::from_slice(&second).unwrap();
    assert!(json["key"] != again["key"] && json["value"] != again["value"]);
    for json in [json, again] {
        let sealed = STANDARD.decode(json["value"].as_str().unwrap()).unwrap();
        let shown = |part: &[u8]| sealed.windows(part.len()).any(|of| of == part);
        assert!(!TEXT.as_bytes().windows(4).any(shown));
    }
}

#[tokio::test]
async fn a_record_under_another_name_does_not_open() {
    let machine = machine();
    machine.put("a").await;
    machine.write("b", machine.body("a").await).await;
    machine.refuses("b").await;
    assert!(machine.secrets.get(&name("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_record_that_was_altered_does_not_open() {
    let machine = machine();
    machine.put("a").await;
    let body = machine.body("a").await;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    for part in ["key", "value"] {
        let text = json[part].as_str().unwrap();
        for at in [0, 4, text.len() / 2, text.len() - 5] {
            let mut altered = text.as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let mut json = json.clone();
            json[part] = String::from_utf8(altered).unwrap().into();
            machine.write("a", json.to_string().into()).await;
            machine.refuses("a").await;
        }
        let mut json = json.clone();
        json[part] = "".into();
        machine.write("a", json.to_string().into()).await;
        machine.refuses("a").await;
    }
    for body in ["", "{}", "[]"] {
        machine.write("a", body.into()).await;
        machine.refuses("a").await;
    }
}

#[tokio::test]
async fn another_master_key_does_not_open_it() {
    let machine = machine();
    machine.put("a").await;
    let other = machine.directory.path().join("another-key");
    let other = Arc::new(LocalKeyRing::open(&other).unwrap());
    let secrets = SealedSecrets::new(machine.ledger.clone(), other, Clock::system());
    let got = secrets.get(&name("a")).await;
    assert!(matches!(got, Err(Error::Broken { .. })), "{got:?}");
}
