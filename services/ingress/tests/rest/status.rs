use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use serde_json::json;
use tokio::time::{Instant, advance, sleep};
use waybill_identity::Scope;

use crate::rig::{make, rig};

#[tokio::test(start_paused = true)]
async fn unknown_foreign_malformed_and_expired_ids_look_the_same() {
    let rig = rig().await;
    let other = make(&rig.keys, "default", Scope::ToolsCall).await.secret;
    let mine = rig.place().await;
    let old = rig.place().await;
    advance(Duration::from_hours(72)).await;
    let foreign = rig.place().await;
    let unknown = format!("0{}", &mine[1..]);
    let mut answers = Vec::new();
    let nonsense = ["x", "..%2f..%2fetc", "%ff%fe", "a%00b"];
    for method in ["GET", "DELETE"] {
        for id in [unknown.as_str(), old.as_str()].into_iter().chain(nonsense) {
            let path = format!("/mcp/status/{id}?wait=5");
            answers.push(rig.send(&rig.key, method, &path, &[], Body::empty()).await);
        }
        let path = format!("/mcp/status/{foreign}");
        answers.push(rig.send(&other, method, &path, &[], Body::empty()).await);
        let stream = [("accept", "text/event-stream")];
        answers.push(
            rig.send(&other, method, &path, &stream, Body::empty())
                .await,
        );
    }
    for answer in &mut answers {
        answer.headers.remove("x-request-id");
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    }
    for answer in &answers {
        assert_eq!(
            (&answer.text, &answer.headers),
            (&answers[0].text, &answers[0].headers)
        );
    }
    let path = format!("/mcp/status/{foreign}");
    assert_eq!(
        rig.get(&path).await.status,
        StatusCode::OK,
        "its own tenant sees it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_known_version_is_not_told_again() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let first = rig.get(&path).await;
    assert_eq!(first.json()["state"], "accepted");
    assert_eq!(first.header("retry-after"), "1");
    let etag = first.header("etag").to_owned();
    let weak = format!("\"other\", W/{etag}");
    for known in [etag.as_str(), weak.as_str(), "*"] {
        let same = rig.get_with(&path, &[("if-none-match", known)]).await;
        assert_eq!(same.status, StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(
            (same.text.as_str(), same.header("etag")),
            ("", etag.as_str())
        );
    }
    let head = rig.send(&rig.key, "HEAD", &path, &[], Body::empty()).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));

    let call = rig.claim().await;
    rig.finish(&call, "done").await;
    let ended = rig.get_with(&path, &[("if-none-match", &etag)]).await;
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(ended.json()["result"]["content"][0]["text"], "done");
    assert_eq!(ended.header("retry-after"), "");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_the_call_or_with_its_time() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let began = Instant::now();
    let waited = rig.get(&format!("{path}?wait=20")).await;
    assert_eq!(
        (began.elapsed().as_secs(), waited.status),
        (20, StatusCode::OK)
    );
    let began = Instant::now();
    rig.get(&format!("{path}?wait=3600")).await;
    assert_eq!(began.elapsed().as_secs(), 28, "bounded");

    let call = rig.claim().await;
    let long = format!("{path}?wait=20");
    let began = Instant::now();
    let (ended, ()) = tokio::join!(rig.get(&long), async {
        sleep(Duration::from_secs(2)).await;
        rig.progress(&call, 1.0).await;
        sleep(Duration::from_secs(3)).await;
        rig.finish(&call, "done").await;
    });
    assert_eq!(
        (began.elapsed().as_secs(), ended.json()["status"].clone()),
        (5, json!("completed"))
    );

    for bad in ["?wait=soon", "?wait=-1", "?wait=1.5"] {
        let refused = rig.get(&format!("{path}{bad}")).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::BAD_REQUEST, "bad_request".into())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_a_version_waits_for_the_next_one() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let call = rig.claim().await;
    let etag = rig.get(&path).await.header("etag").to_owned();
    let long = format!("{path}?wait=20");
    let known = [("if-none-match", etag.as_str())];
    let began = Instant::now();
    let (told, ()) = tokio::join!(rig.get_with(&long, &known), async {
        sleep(Duration::from_secs(2)).await;
        rig.progress(&call, 4.0).await;
    });
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(told.json()["progress"]["progress"], 4.0);

    let known = [("if-none-match", told.header("etag"))];
    let began = Instant::now();
    let same = rig.get_with(&long, &known).await;
    assert_eq!(
        (began.elapsed().as_secs(), same.status),
        (20, StatusCode::NOT_MODIFIED)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_every_change_and_ends_with_the_call() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let call = rig.claim().await;
    let stream = [("accept", "text/event-stream")];
    let (told, ()) = tokio::join!(rig.get_with(&path, &stream), async {
        sleep(Duration::from_secs(40)).await;
        rig.progress(&call, 1.0).await;
        sleep(Duration::from_secs(1)).await;
        rig.finish(&call, "done").await;
    });
    assert_eq!(told.header("content-type"), "text/event-stream");
    let events = told.events();
    let states: Vec<_> = events
        .iter()
        .map(|(_, _, document)| document["state"].clone())
        .collect();
    assert_eq!(states, ["running", "running", "completed"]);
    assert!(
        events.iter().all(|(name, ..)| name == "status"),
        "{events:?}"
    );
    assert!(told.text.contains(": heartbeat"), "{}", told.text);

    // An `EventSource` comes back by itself until it gets 204.
    let last = [stream[0], ("last-event-id", events[2].1.as_str())];
    let again = rig.get_with(&path, &last).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    let middle = [stream[0], ("last-event-id", events[1].1.as_str())];
    let rest = rig.get_with(&path, &middle).await.events();
    assert_eq!(rest.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_cut_off_goes_on_without_repeating() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let version = rig
        .get(&path)
        .await
        .header("etag")
        .trim_matches('"')
        .to_owned();
    let headers = [
        ("accept", "text/event-stream"),
        ("last-event-id", version.as_str()),
    ];
    let (told, ()) = tokio::join!(rig.get_with(&path, &headers), async {
        let call = rig.claim().await;
        sleep(Duration::from_secs(1)).await;
        rig.finish(&call, "done").await;
    });
    let events = told.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].2["state"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_shutdown_after_an_hour_and_when_the_ledger_fails() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let stream = [("accept", "text/event-stream")];
    let began = Instant::now();
    rig.get_with(&path, &stream).await;
    assert_eq!(began.elapsed().as_secs(), 3_600);

    let (failed, ()) = tokio::join!(rig.get_with(&path, &stream), async {
        sleep(Duration::from_secs(1)).await;
        let call = rig.claim().await;
        rig.ledger.break_down();
        drop(call);
    });
    let events = failed.events();
    let (name, _, problem) = events.last().unwrap();
    assert_eq!(
        (name.as_str(), &problem["error"]["code"]),
        ("error", &json!("unavailable"))
    );
    assert!(!failed.text.contains("secret inside"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_process_does() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let stream = [("accept", "text/event-stream")];
    let began = Instant::now();
    tokio::join!(rig.get_with(&path, &stream), async {
        sleep(Duration::from_secs(3)).await;
        rig.shutdown.cancel();
    });
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_waiting_call_tells_a_running_one_and_repeats() {
    let rig = rig().await;
    let waiting = rig.place().await;
    let path = format!("/mcp/status/{waiting}");
    for _ in 0..2 {
        let cancelled = rig.delete(&path).await;
        assert_eq!(cancelled.status, StatusCode::OK);
        assert_eq!(cancelled.json()["status"], "cancelled");
    }
    let running = rig.place().await;
    // The first claim is the cancelled call's event: its worker finds it ended.
    let received = waybill_messaging::Queue::receive(&rig.queue, "worker", 1, Duration::ZERO);
    assert_eq!(received.await.unwrap()[0].event.subject, waiting);
    rig.claim().await;
    let told = rig.delete(&format!("/mcp/status/{running}")).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert_eq!(told.json()["state"], "running");
}
