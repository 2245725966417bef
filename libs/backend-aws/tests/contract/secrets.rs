//! What the port does not promise of secrets, and operators rely on.

use waybill_backend_aws::{Names, SecretsManager};
use waybill_messaging::{SecretName, SecretValue, Secrets as _};

use crate::emulator::Account;

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).unwrap()
}

#[tokio::test]
async fn two_installations_of_an_account_do_not_see_each_other() {
    let Account { clients, .. } = Account::fresh().await;
    let store = |prefix: &str| SecretsManager::new(&clients, &Names::new(prefix));
    let (one, other) = (store("one"), store("one-more"));
    one.put(&name("a"), &value("of one")).await.unwrap();
    other.put(&name("one/b"), &value("of other")).await.unwrap();
    assert!(other.get(&name("a")).await.unwrap().is_none());
    for (store, its) in [(&one, "a"), (&other, "one/b")] {
        let listed = store.list().await.unwrap();
        let names: Vec<_> = listed.iter().map(|each| each.name.as_str()).collect();
        assert_eq!(names, [its]);
    }
}

#[tokio::test]
async fn a_secret_says_whose_it_is_and_can_be_restored() {
    let Account { clients, names, .. } = Account::fresh().await;
    let secrets = SecretsManager::new(&clients, &names);
    secrets.put(&name("a"), &value("x")).await.unwrap();
    secrets.remove(&name("a")).await.unwrap();
    let id = names.secret(&name("a"));
    let described = clients.secretsmanager.describe_secret().secret_id(id);
    let described = described.send().await.unwrap();
    let tag = described.tags().first().unwrap();
    let installation = (Some("waybill-installation"), Some(names.prefix()));
    assert_eq!((tag.key(), tag.value()), installation);
    let left = described.deleted_date().unwrap().secs() - described.created_date().unwrap().secs();
    assert!((6..=7).contains(&(left / 86_400)), "{left} s");
}

#[tokio::test]
async fn what_others_put_there_as_bytes_is_told_as_broken() {
    let Account { clients, names, .. } = Account::fresh().await;
    let bytes = aws_sdk_secretsmanager::primitives::Blob::new(*b"\xff");
    let made = clients.secretsmanager.create_secret();
    let made = made.name(names.secret(&name("a"))).secret_binary(bytes);
    made.send().await.unwrap();
    let got = SecretsManager::new(&clients, &names).get(&name("a")).await;
    assert!(matches!(got, Err(waybill_messaging::Error::Broken { .. })));
}
