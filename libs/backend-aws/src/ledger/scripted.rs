//! What an emulator never does: transactions in each other's way, throttling, lost answers, halves
//! of batches left undone. Said by a script in place of the network.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_events::EventType;
use waybill_messaging::{
    Clock, Commit, Context, Error, Expect, Handler as _, Key, Ledger, Meter, Write,
};

use super::{DynamoLedger, Swept, commit::ATTEMPTS};
use crate::{Names, OutboxSweep, script::Script};

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

fn published() -> (u16, String) {
    let body = "<PublishBatchResponse><PublishBatchResult>\
        <Successful><member><Id>0</Id><MessageId>m</MessageId></member></Successful>\
        <Failed/></PublishBatchResult></PublishBatchResponse>";
    (200, body.to_owned())
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

/// It must be published, however long SNS does not take it.
#[tokio::test]
async fn an_event_in_the_outbox_does_not_expire() {
    let (ledger, script) = scripted(vec![done(), published(), done()]).await;
    ledger.commit(emitting(1)).await.unwrap();
    ledger.drain().await;
    let commit: Value = serde_json::from_str(&script.asked()[0]).unwrap();
    let item = &commit["TransactItems"][0]["Put"]["Item"];
    assert!(item["committed_at"].is_object(), "{commit}");
    assert_eq!(item["ttl"], Value::Null);
}

/// A page of a shard with one event, committed at this time.
fn waiting(committed_at: i64) -> (u16, String) {
    let item = json!({
        "shard": { "N": "0" }, "event": { "S": "e" }, "type": { "S": "t" },
        "tenantid": { "S": "acme" }, "body": { "B": "e30=" },
        "committed_at": { "N": committed_at.to_string() },
    });
    (200, json!({ "Items": [item] }).to_string())
}

fn empty_pages(count: usize) -> Vec<(u16, String)> {
    vec![(200, json!({ "Items": [] }).to_string()); count]
}

/// All shards: the first that is looked at has an event, whose claim is answered so.
async fn swept(claim: &[(u16, String)]) -> (Swept, Vec<String>) {
    let long_ago = Clock::system().now().timestamp_millis() - 3_600_000;
    let answers = [&[waiting(long_ago)], claim, &empty_pages(15)].concat();
    let (ledger, script) = scripted(answers).await;
    let second = Duration::from_secs(1);
    let swept = ledger.sweep_outbox(second, second * 60).await.unwrap();
    (swept, script.asked())
}

#[tokio::test]
async fn what_another_sweep_has_claimed_is_left_to_it() {
    let taken = json!({ "__type": "ConditionalCheckFailedException" });
    let (swept, asked) = swept(&[(400, taken.to_string())]).await;
    assert_eq!((swept.published, asked.len()), (0, 17), "{asked:?}");
    assert!(swept.stopped.is_none());
    let claim: Value = serde_json::from_str(&asked[1]).unwrap();
    let shard: u32 = claim["Item"]["shard"]["N"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((16..32).contains(&shard), "beside those of events: {shard}");
    assert!(swept.oldest >= Duration::from_hours(1), "{swept:?}");
}

#[tokio::test]
async fn a_topic_that_is_down_ends_the_publishing_and_not_the_look() {
    let down = (503, String::new());
    let (swept, asked) = swept(&[done(), down.clone(), down.clone(), down]).await;
    assert!(swept.stopped.is_some());
    assert_eq!((swept.published, asked.len()), (0, 1 + 1 + 3 + 15));
    assert!(swept.oldest >= Duration::from_hours(1), "{swept:?}");
}

#[tokio::test]
async fn what_is_swept_is_published_and_deleted() {
    let (swept, asked) = swept(&[done(), published(), done()]).await;
    assert_eq!((swept.published, asked.len()), (1, 1 + 3 + 15));
}

#[tokio::test]
async fn a_tick_tells_how_long_the_oldest_has_waited() {
    let (ledger, script) = scripted(empty_pages(16)).await;
    let meter = Meter::default();
    let sweep = OutboxSweep::new(ledger, meter.clone());
    let tick = waybill_testkit::event(EventType::ScheduleTicked).build();
    let cx = Context {
        now: Clock::system().now(),
        receives: 1,
        shutdown: CancellationToken::new(),
    };
    let long_ago = cx.now.timestamp_millis() - 3_600_000;
    sweep.handle(&tick, &cx).await.unwrap();
    let told = meter.open_metrics().unwrap();
    assert!(
        told.contains("waybill_outbox_oldest_seconds_sum 0"),
        "{told}"
    );
    let taken = json!({ "__type": "ConditionalCheckFailedException" });
    script.say(vec![waiting(long_ago), (400, taken.to_string())]);
    script.say(empty_pages(15));
    sweep.handle(&tick, &cx).await.unwrap();
    let told = meter.open_metrics().unwrap();
    assert!(
        told.contains("waybill_outbox_oldest_seconds_sum 3600."),
        "{told}"
    );
    assert!(
        told.contains("waybill_outbox_oldest_seconds_count 2"),
        "{told}"
    );
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
