//! What an emulator never does: transactions in each other's way, throttling, lost answers, halves
//! of batches left undone. Said by a script in place of the network.

use serde_json::{Value, json};
use waybill_events::EventType;
use waybill_messaging::{Clock, Commit, Error, Expect, Key, Ledger, Write};

use super::{DynamoLedger, commit::ATTEMPTS};
use crate::{Names, script::Script};

/// The ledger, and the script that answers it from here on.
async fn scripted(answers: Vec<(u16, String)>) -> (DynamoLedger, Script) {
    let table = "arn:aws:dynamodb:eu-central-1:123456789012:table/t-records";
    let found = json!({ "Table": { "TableArn": table } });
    let (clients, script) = Script::clients(vec![(200, found.to_string())]).await;
    let ledger = DynamoLedger::open(&clients, &Names::new("t"), Clock::system()).await;
    script.asked();
    script.say(answers);
    (ledger.unwrap(), script)
}

fn done() -> (u16, String) {
    (200, "{}".to_owned())
}

fn cancelled(codes: &[&str]) -> (u16, String) {
    let reasons: Vec<Value> = codes.iter().map(|code| json!({ "Code": code })).collect();
    let body = json!({ "__type": "TransactionCanceledException", "CancellationReasons": reasons });
    (400, body.to_string())
}

/// Of a batch of two: the first is taken, the second is not.
fn half_published() -> (u16, String) {
    let body = "<PublishBatchResponse><PublishBatchResult>\
        <Successful><member><Id>0</Id><MessageId>m</MessageId></member></Successful>\
        <Failed><member><Id>1</Id><Code>InternalError</Code><SenderFault>false</SenderFault>\
        </member></Failed></PublishBatchResult></PublishBatchResponse>";
    (200, body.to_owned())
}

fn key() -> Key {
    Key::new("p", "a")
}

fn writing() -> Commit {
    Commit {
        writes: vec![Write::Put {
            key: key(),
            expect: Expect::Version(1),
            body: "x".into(),
            index: None,
            expires_at: None,
        }],
        ..Commit::default()
    }
}

fn emitting(count: usize) -> Commit {
    let event = |_| waybill_testkit::event(EventType::ScheduleTicked).build();
    Commit {
        events: (0..count).map(event).collect(),
        ..Commit::default()
    }
}

fn tokens(requests: &[Value]) -> Vec<&str> {
    let token = |request: &'_ Value| request["ClientRequestToken"].as_str().is_some();
    assert!(requests.iter().all(token));
    let tokens = requests
        .iter()
        .filter_map(|r| r["ClientRequestToken"].as_str());
    tokens.collect()
}

#[tokio::test]
async fn another_transaction_is_waited_out() {
    let busy = || cancelled(&["TransactionConflict"]);
    let (ledger, script) = scripted(vec![busy(), busy(), done()]).await;
    ledger.commit(writing()).await.unwrap();
    let asked = script.asked_json();
    let tokens = tokens(&asked);
    assert_eq!(tokens.len(), 3);
    assert!(
        tokens[0] != tokens[1] && tokens[1] != tokens[2],
        "{tokens:?}"
    );
}

#[tokio::test]
async fn a_record_that_is_always_in_other_hands_is_a_conflict() {
    let busy = cancelled(&["TransactionConflict"]);
    let answers = vec![busy; usize::try_from(ATTEMPTS).unwrap()];
    let (ledger, script) = scripted(answers).await;
    let refused = ledger.commit(writing()).await;
    assert!(
        matches!(&refused, Err(Error::Conflict { key: named }) if *named == key()),
        "{refused:?}"
    );
    script.asked();
}

#[tokio::test]
async fn throttling_is_no_conflict() {
    for code in ["ThrottlingError", "ProvisionedThroughputExceeded"] {
        let (ledger, script) = scripted(vec![cancelled(&[code])]).await;
        let refused = ledger.commit(writing()).await;
        assert!(
            matches!(refused, Err(Error::Unavailable { .. })),
            "{refused:?}"
        );
        assert_eq!(script.asked().len(), 1, "the queue retries");
    }
}

/// The first try may have been carried out: a new token would make it a conflict with itself.
#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_token() {
    let lost = || (500, json!({ "__type": "InternalServerError" }).to_string());
    let (ledger, script) = scripted(vec![lost(), lost(), done()]).await;
    ledger.commit(writing()).await.unwrap();
    let asked = script.asked_json();
    let tokens = tokens(&asked);
    assert_eq!(tokens.len(), 3);
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[tokio::test]
async fn what_the_topic_refuses_stays_in_the_outbox() {
    let (ledger, script) = scripted(vec![done(), half_published(), done()]).await;
    let commit = emitting(2);
    let first = commit.events[0].id.to_string();
    ledger.commit(commit).await.unwrap();
    ledger.drain().await;
    let asked = script.asked();
    let deletes: Value = serde_json::from_str(&asked[2]).unwrap();
    let deletes = deletes["RequestItems"]["t-outbox"].as_array().unwrap();
    assert_eq!(deletes.len(), 1);
    assert_eq!(
        deletes[0]["DeleteRequest"]["Key"]["event"]["S"],
        json!(first)
    );
}

#[tokio::test]
async fn deletes_left_undone_are_asked_for_again() {
    let key = json!({ "shard": { "N": "3" }, "event": { "S": "left" } });
    let undone = json!({ "UnprocessedItems": {
        "t-outbox": [{ "DeleteRequest": { "Key": key } }]
    } });
    let undone = (200, undone.to_string());
    let answers = vec![done(), half_published(), undone, done()];
    let (ledger, script) = scripted(answers).await;
    ledger.commit(emitting(2)).await.unwrap();
    ledger.drain().await;
    let asked = script.asked();
    let again: Value = serde_json::from_str(&asked[3]).unwrap();
    let again = &again["RequestItems"]["t-outbox"][0]["DeleteRequest"]["Key"];
    assert_eq!(*again, key);
}

/// It is committed: the caller must not do it again.
#[tokio::test]
async fn a_topic_that_is_down_fails_no_commit() {
    let down = (503, String::new());
    let answers = vec![done(), down.clone(), down.clone(), down];
    let (ledger, script) = scripted(answers).await;
    ledger.commit(emitting(2)).await.unwrap();
    ledger.drain().await;
    assert_eq!(script.asked().len(), 4, "nothing is deleted");
}
