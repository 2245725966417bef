//! What a tool says, and what becomes of its call.

use std::time::Duration;

use futures::FutureExt;
use serde_json::json;
use tokio::time::sleep;
use waybill_calls::{Call, CallState, Error, Said};
use waybill_events::EventType::{
    ToolCallCancelRequested, ToolCallCancelled, ToolCallCompleted, ToolCallExpired, ToolCallFailed,
    ToolCallInputProvided, ToolCallInputRequired, ToolCallProgressed,
};
use waybill_messaging::Settlement;
use waybill_toolkit::{Effect, LogLevel, ToolError};

use super::world::{Fake, World, question, questions, tenant, text, unavailable};

fn tool(told: impl Fn(u32) -> Result<&'static str, ToolError> + Send + Sync + 'static) -> Fake {
    Fake::new(Effect::ReadOnly, move |nth, _| {
        let told = told(nth).map(text);
        async move { told }.boxed()
    })
}

fn hangs() -> Fake {
    Fake::new(Effect::ReadOnly, |_, _| std::future::pending().boxed())
}

#[tokio::test(start_paused = true)]
async fn a_quick_call_needs_one_commit() {
    let world = World::new(tool(|_| Ok("hello")));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    assert_eq!(worker.run(&delivery).await, Settlement::Done);
    assert_eq!(worker.commits(), 1);
    assert_eq!(world.version(&id).await, 2);
    assert_eq!(world.state(&id).await, CallState::Completed);
    assert_eq!(world.text(&id).await, "hello");
    assert_eq!(world.call(&id).await.attempt, 1);
    assert_eq!(world.told().await, [ToolCallCompleted]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_shows_that_it_runs() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        sleep(Duration::from_secs(3))
            .map(|()| Ok(text("slow")))
            .boxed()
    }));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    let look = async {
        sleep(Duration::from_millis(49)).await;
        assert_eq!(world.state(&id).await, CallState::Accepted);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(world.state(&id).await, CallState::Running);
    };
    tokio::join!(worker.run(&delivery), look);
    assert_eq!(worker.commits(), 2);
    assert_eq!(world.text(&id).await, "slow");
}

#[tokio::test(start_paused = true)]
async fn every_refusal_has_its_ending() {
    type Case = (
        fn() -> ToolError,
        Result<&'static str, (&'static str, Option<i32>)>,
    );
    let cases: [Case; 2] = [
        (
            || ToolError::Invalid("no such day".to_owned()),
            Ok("no such day"),
        ),
        (
            || ToolError::Protocol {
                code: -32_042,
                message: "nope".to_owned(),
                data: None,
            },
            Err(("protocol_error", Some(-32_042))),
        ),
    ];
    for (error, ending) in cases {
        let world = World::new(tool(move |_| Err(error())));
        let id = world.submit().await;
        world.drain().await;
        match ending {
            Ok(said) => {
                assert_eq!(world.state(&id).await, CallState::Completed);
                assert_eq!(world.text(&id).await, said);
                let call = world.call(&id).await;
                let result = world.calls.result(&call).await.unwrap().unwrap();
                assert_eq!(result["isError"], true);
            }
            Err((code, rpc)) => {
                let problem = world.problem(&id).await;
                assert_eq!((problem.code.as_str(), problem.rpc_code), (code, rpc));
            }
        }
        assert_eq!(world.tool.runs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_comes_back_is_asked_again_by_the_queue() {
    let world = World::new(tool(|nth| match nth {
        0 => Err(unavailable(Some(Duration::from_secs(7)))),
        1 => Err(ToolError::Unknown {
            message: "503".to_owned(),
            retry_after: Some(Duration::from_secs(9)),
            source: None,
        }),
        _ => Ok("back"),
    }));
    let id = world.submit().await;
    let after = Duration::from_secs(7);
    assert_eq!(world.step().await, Settlement::Retry { after });
    sleep(after).await;
    let after = Duration::from_secs(9);
    assert_eq!(world.step().await, Settlement::Retry { after });
    assert_eq!(world.state(&id).await, CallState::WaitingCapacity);
    world.drain().await;
    assert_eq!(world.text(&id).await, "back");
    assert_eq!(world.told().await, [ToolCallCompleted]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_says_too_much_still_gets_to_its_answer() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, cx| {
        async {
            let much = "\u{1}".repeat(300_000);
            let saved = cx.checkpoint(&much).await;
            for _ in 0..100 {
                cx.progress(1.0, None, Some(much.clone()));
                cx.log(LogLevel::Info, Some(much.clone()), json!(much));
                sleep(Duration::from_millis(100)).await;
            }
            Ok(text(&format!("{saved} {}", "x".repeat(60_000))))
        }
        .boxed()
    }));
    let id = world.submit().await;
    assert_eq!(world.step().await, Settlement::Done);
    assert!(world.text(&id).await.starts_with("false x"));
    let call = world.call(&id).await;
    assert_eq!(call.attempt, 1);
    assert!(
        call.reports.last().unwrap().seq > 100,
        "the newest are kept"
    );
    let problem = ToolError::Protocol {
        code: -32_000,
        message: "much ".repeat(100_000),
        data: Some(json!("x".repeat(300_000))),
    };
    let problem = std::sync::Mutex::new(Some(problem));
    let world = World::new(Fake::new(Effect::ReadOnly, move |_, _| {
        let problem = problem.lock().unwrap().take().unwrap();
        async move { Err(problem) }.boxed()
    }));
    let id = world.submit().await;
    assert_eq!(world.step().await, Settlement::Done);
    let message = world.problem(&id).await.message;
    assert!(message.ends_with("(Its data of 300002 bytes are left out.)"));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_asks_too_much_is_told_so_and_a_client_too() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        async { Err(questions(&[&"k".repeat(40_000)])) }.boxed()
    }));
    let id = world.submit().await;
    assert_eq!(world.step().await, Settlement::Done);
    let problem = world.problem(&id).await;
    assert!(problem.message.contains("at most 32768"), "{problem:?}");

    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        async { Err(question()) }.boxed()
    }));
    let id = world.submit().await;
    world.drain().await;
    let much = [("sure".to_owned(), json!("x".repeat(70_000)))].into();
    let refused = world.calls.answer(&tenant(), &id, "key", much).await;
    let limit = Call::MAX_ANSWERS;
    assert!(matches!(refused, Err(Error::TooLarge { limit: told, .. }) if told == limit));
    assert_eq!(world.state(&id).await, CallState::WaitingInput);
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_told_the_time() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, cx| {
        async {
            let began = cx.now();
            sleep(Duration::from_secs(5)).await;
            Ok(text(&format!(
                "{} {}",
                began.to_rfc3339(),
                cx.now() - began
            )))
        }
        .boxed()
    }));
    sleep(Duration::from_mins(1)).await;
    let (began, id) = (world.clock.now(), world.submit().await);
    world.drain().await;
    assert_eq!(
        world.text(&id).await,
        format!("{} PT5S", began.to_rfc3339())
    );
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stays_away_fails_the_call_after_its_attempts() {
    let world = World::new(tool(|_| Err(unavailable(None))));
    let id = world.submit().await;
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "upstream_unavailable");
    assert_eq!(world.tool.runs(), 5);
    assert_eq!(world.told().await, [ToolCallFailed]);
    assert_eq!(
        world.dead().await,
        0,
        "it has ended: nothing is left to look at"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_the_deadline_is_none() {
    let world = World::new(tool(|_| Err(unavailable(Some(Duration::from_mins(11))))));
    let id = world.submit().await;
    assert_eq!(world.step().await, Settlement::Done);
    assert_eq!(world.problem(&id).await.code, "upstream_unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_call_and_not_the_worker() {
    let world = World::new(Fake::new(Effect::Idempotent, |_, _| {
        async { panic!("at the disco") }.boxed()
    }));
    let id = world.submit().await;
    assert_eq!(world.step().await, Settlement::Done);
    let problem = world.problem(&id).await;
    assert_eq!(problem.code, "internal");
    assert!(!problem.message.contains("disco"));
    assert_eq!(world.tool.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_is_dropped_at_its_timeout_or_at_the_deadline() {
    let world = World::new(hangs().spec(|spec| spec.timeout = Duration::from_secs(20)));
    let (slow, late) = (
        world.submit().await,
        world.submit_for(Duration::from_secs(10)).await,
    );
    world.drain().await;
    assert_eq!(world.problem(&slow).await.code, "timeout");
    assert_eq!(world.state(&slow).await, CallState::Failed);
    assert_eq!(world.state(&late).await, CallState::Expired);
    assert_eq!(world.told().await, [ToolCallFailed, ToolCallExpired]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_past_its_deadline_is_not_run() {
    let world = World::new(tool(|_| Ok("late")));
    let id = world.submit_for(Duration::from_secs(5)).await;
    sleep(Duration::from_secs(5)).await;
    world.drain().await;
    assert_eq!(world.state(&id).await, CallState::Expired);
    assert_eq!(world.tool.runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_heeds_its_token_is_cancelled_at_once() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, cx| {
        cx.cancelled()
            .cancelled()
            .map(|()| Err(ToolError::Cancelled))
            .boxed()
    }));
    let id = world.submit().await;
    let began = tokio::time::Instant::now();
    let cancel = async {
        sleep(Duration::from_secs(1)).await;
        world.cancel(&id).await;
    };
    tokio::join!(world.step(), cancel);
    assert!(began.elapsed() < Duration::from_millis(1_100));
    assert_eq!(world.state(&id).await, CallState::Cancelled);
    assert_eq!(
        world.told().await,
        [ToolCallCancelRequested, ToolCallCancelled]
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_ignores_its_token_is_dropped_after_the_grace() {
    let world = World::new(hangs());
    let id = world.submit().await;
    let began = tokio::time::Instant::now();
    let cancel = async {
        sleep(Duration::from_secs(1)).await;
        world.cancel(&id).await;
    };
    tokio::join!(world.step(), cancel);
    assert!(began.elapsed() < Duration::from_millis(3_100));
    assert_eq!(world.state(&id).await, CallState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn an_answer_within_the_grace_beats_the_cancellation() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, cx| {
        cx.cancelled()
            .cancelled()
            .map(|()| Ok(text("done anyway")))
            .boxed()
    }));
    let id = world.submit().await;
    let cancel = async {
        sleep(Duration::from_secs(1)).await;
        world.cancel(&id).await;
    };
    tokio::join!(world.step(), cancel);
    assert_eq!(world.text(&id).await, "done anyway");
}

#[tokio::test(start_paused = true)]
async fn a_call_cancelled_while_it_waits_is_not_run() {
    let world = World::new(tool(|_| Ok("never")));
    let id = world.submit().await;
    world.cancel(&id).await;
    world.drain().await;
    assert_eq!(world.state(&id).await, CallState::Cancelled);
    assert_eq!(world.tool.runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_cancelled_in_its_first_moment_stays_cancelled() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        sleep(Duration::from_millis(30))
            .map(|()| Ok(text("late")))
            .boxed()
    }));
    let id = world.submit().await;
    let cancel = async {
        sleep(Duration::from_millis(10)).await;
        world.cancel(&id).await;
    };
    tokio::join!(world.step(), cancel);
    assert_eq!(world.state(&id).await, CallState::Cancelled);
    assert_eq!(
        world.told().await,
        [ToolCallCancelRequested, ToolCallCancelled]
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_its_answer_and_the_tool_goes_on_with_it() {
    let world = World::new(Fake::new(Effect::Once, |_, cx| {
        let answered = cx.input("sure").is_some();
        async move {
            if answered {
                Ok(text("did it"))
            } else {
                Err(question())
            }
        }
        .boxed()
    }));
    let id = world.submit().await;
    world.drain().await;
    let call = world.call(&id).await;
    assert_eq!(call.state, CallState::WaitingInput);
    assert!(call.input_requests.contains_key("sure"));
    assert_eq!(call.intent, None);
    world.answer(&id, "sure").await;
    world.drain().await;
    assert_eq!(world.text(&id).await, "did it");
    assert_eq!(world.call(&id).await.attempt, 2);
    let told = world.told().await;
    assert_eq!(
        told,
        [
            ToolCallInputRequired,
            ToolCallInputProvided,
            ToolCallCompleted
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn progress_is_committed_now_and_then() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, cx| {
        async {
            for step in 0..100 {
                cx.progress(f64::from(step), Some(100.0), None);
                sleep(Duration::from_millis(20)).await;
            }
            Ok(text("all"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    worker.run(&delivery).await;
    // Two seconds: at 0.05, 0.55, 1.05 and 1.55 s, and the outcome.
    assert_eq!(worker.commits(), 5);
    let told = world.told().await;
    assert_eq!(
        told.iter()
            .filter(|kind| **kind == ToolCallProgressed)
            .count(),
        4
    );
    assert!(world.call(&id).await.progress.unwrap().progress > 70.0);
}

/// What a tool says, with a pause behind each.
fn talkative(pause: Duration) -> Fake {
    Fake::new(Effect::ReadOnly, move |_, cx| {
        async move {
            for step in [0.0, 50.0, 100.0] {
                cx.progress(step, Some(100.0), None);
                cx.log(
                    LogLevel::Info,
                    Some("fake".to_owned()),
                    json!({ "at": step }),
                );
                sleep(pause).await;
            }
            cx.progress(f64::NAN, None, None);
            Ok(text("all"))
        }
        .boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn everything_that_a_tool_says_is_in_the_record_for_few_commits() {
    for (pause_ms, commits, events) in [(0, 1, 0), (10, 1, 0), (50, 2, 1), (600, 4, 3)] {
        let world = World::new(talkative(Duration::from_millis(pause_ms)));
        let id = world.submit().await;
        let (worker, delivery) = (world.worker(), world.next().await);
        worker.run(&delivery).await;
        assert_eq!(worker.commits(), commits, "{pause_ms} ms");
        let told = world.told().await;
        let progressed = told.iter().filter(|kind| **kind == ToolCallProgressed);
        assert_eq!(progressed.count(), events, "{pause_ms} ms");
        let call = world.call(&id).await;
        assert_eq!(json!(call.progress.unwrap().progress), json!(100.0));
        let reports = json!(call.reports);
        let expected: Vec<_> = [0.0, 50.0, 100.0]
            .iter()
            .zip([1, 3, 5])
            .flat_map(|(step, seq)| {
                let line = json!({ "level": "info", "logger": "fake", "data": { "at": step } });
                [
                    json!({ "seq": seq, "progress": { "progress": step, "total": 100.0 } }),
                    json!({ "seq": seq + 1, "log": line }),
                ]
            })
            .collect();
        assert_eq!(reports, json!(expected), "{pause_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_keeps_the_newest_reports_and_cuts_long_ones() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, cx| {
        async {
            for step in 0..100 {
                cx.progress(f64::from(step), None, Some("é".repeat(5_000)));
                cx.log(LogLevel::Error, None, json!(["x".repeat(5_000)]));
                sleep(Duration::from_millis(1)).await;
            }
            Ok(text("all"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    world.drain().await;
    let call = world.call(&id).await;
    let seqs: Vec<u64> = call.reports.iter().map(|report| report.seq).collect();
    assert_eq!(seqs.len(), Call::MAX_REPORTS);
    assert!(seqs.is_sorted_by(|a, b| a + 1 == *b));
    for report in &call.reports {
        match &report.said {
            Said::Progress(progress) => assert_eq!(progress.message.as_ref().unwrap().len(), 1024),
            Said::Log(line) => assert_eq!(line.data.as_str().unwrap().len(), 1024),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_result_goes_behind_a_claim_check_and_a_huge_one_nowhere() {
    let world = World::new(Fake::new(Effect::ReadOnly, |nth, _| {
        let size = if nth == 0 { 100_000 } else { 17 * 1024 * 1024 };
        async move { Ok(text(&"x".repeat(size))) }.boxed()
    }));
    let (large, huge) = (world.submit().await, world.submit().await);
    world.drain().await;
    assert_eq!(world.text(&large).await.len(), 100_000);
    let problem = world.problem(&huge).await;
    assert_eq!(problem.code, "result_too_large");
    assert_eq!(world.tool.runs(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tool_fails_the_call() {
    let world = World::new(tool(|_| Ok("never")));
    let id = world.submit().await;
    world.offer(false);
    assert_eq!(world.step().await, Settlement::Done);
    assert_eq!(world.problem(&id).await.code, "unknown_tool");
}

#[tokio::test(start_paused = true)]
async fn a_tool_of_an_upstream_that_is_not_up_yet_is_waited_for() {
    let late = tool(|_| Ok("up")).spec(|spec| spec.name = "shop__buy".to_owned());
    let world = World::new(late);
    let id = world.submit().await;
    world.offer(false);
    assert!(matches!(world.step().await, Settlement::Retry { .. }));
    assert_eq!(world.state(&id).await, CallState::WaitingCapacity);
    world.offer(true);
    world.drain().await;
    assert_eq!(world.text(&id).await, "up");

    let never = world.submit_for(Duration::from_secs(30)).await;
    world.offer(false);
    world.drain().await;
    assert_eq!(world.problem(&never).await.code, "unknown_tool");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_the_call_to_the_next_worker() {
    let world = World::new(Fake::new(Effect::ReadOnly, |nth, _| {
        async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
            Ok(text("second"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    let stop = async {
        sleep(Duration::from_secs(1)).await;
        worker.shutdown.cancel();
    };
    let (settlement, ()) = tokio::join!(worker.run(&delivery), stop);
    let after = Duration::ZERO;
    assert_eq!(settlement, Settlement::Retry { after });
    world.drain().await;
    assert_eq!(world.text(&id).await, "second");
}
