//! What Lambda receives, and a function works on.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::time::timeout;
use waybill_backend_aws::{Arrived, DynamoLedger, SqsQueue, provision};
use waybill_events::{Event, EventType};
use waybill_messaging::{
    Bus, Clock, Commit, Context, Effects, Failure, Handler, Meter, Outcome, Pushed, Queue as _,
    Subscription, push,
};
use waybill_testkit::contract::{STURDY, eventually};

use crate::emulator::Account;

/// As Lambda has it: six times a function's time.
const HIDDEN: i32 = 5_400;
/// Of an invocation; several leases.
const LEFT: Duration = Duration::from_secs(8);

/// Its lease is long enough for a busy machine.
const SLOW: Subscription = Subscription {
    lease: Duration::from_secs(3),
    ..STURDY
};

/// Never ends, unless it is told to.
struct Hanging;

impl Handler for Hanging {
    const SUBSCRIPTION: Subscription = SLOW;

    async fn handle(&self, event: &Event, cx: &Context) -> Result<Effects, Failure> {
        match event.subject.as_str() {
            "hangs" => pending().await,
            "obeys" => cx.shutdown.cancelled().await,
            _ => {}
        }
        Ok(Effects::default())
    }
}

struct World {
    account: Account,
    queue: SqsQueue,
    bus: Bus,
}

impl World {
    async fn new() -> Self {
        let account = Account::fresh().await;
        let Account { clients, names, .. } = &account;
        provision::apply(clients, names, &[SLOW]).await.unwrap();
        let queue = SqsQueue::open(clients, names, &[SLOW]).await.unwrap();
        let clock = Clock::system();
        let ledger = DynamoLedger::open(clients, names, clock.clone());
        let bus = Bus {
            ledger: Arc::new(ledger.await.unwrap()),
            queue: Arc::new(queue.clone()),
            clock,
            meter: Meter::default(),
        };
        Self {
            account,
            queue,
            bus,
        }
    }

    /// Published, received by somebody else, and adopted.
    async fn adopted(&self, subject: &str) -> Pushed {
        let event = waybill_testkit::event(EventType::CircuitOpened).subject(subject);
        let commit = Commit {
            events: vec![event.build()],
            ..Commit::default()
        };
        self.bus.ledger.commit(commit).await.unwrap();
        let sqs = &self.account.clients.sqs;
        let queue = self.account.names.queue(SLOW.name);
        let url = sqs.get_queue_url().queue_name(queue).send().await.unwrap();
        let message = eventually("the message", async || {
            let receive = sqs.receive_message().set_queue_url(url.queue_url.clone());
            let receive = receive.visibility_timeout(HIDDEN).wait_time_seconds(1);
            receive.send().await.unwrap().messages?.pop()
        });
        let message = message.await;
        let arrived = Arrived {
            id: message.message_id.unwrap(),
            receipt_handle: message.receipt_handle.unwrap(),
            body: message.body.unwrap(),
            receives: 1,
        };
        let adopted = self.queue.adopt(SLOW.name, arrived).await;
        Pushed {
            delivery: adopted.unwrap().unwrap(),
            group: None,
        }
    }

    /// The subjects of what comes within a second.
    async fn received(&self) -> Vec<String> {
        let received = self.queue.receive(SLOW.name, 10, Duration::from_secs(1));
        let received = received.await.unwrap().into_iter();
        received
            .map(|delivery| delivery.event.subject.clone())
            .collect()
    }
}

#[tokio::test]
async fn what_a_crashed_function_had_comes_again_after_a_lease() {
    let world = World::new().await;
    let batch = vec![world.adopted("hangs").await];
    let pushing = push(&Hanging, &world.bus, batch, LEFT);
    timeout(SLOW.lease / 2, pushing).await.unwrap_err();
    let again = eventually("the delivery", async || world.received().await.pop()).await;
    assert_eq!(again, "hangs");
}

#[tokio::test]
async fn what_a_function_works_on_stays_hidden_with_all_that_came_with_it() {
    let world = World::new().await;
    let batch = vec![world.adopted("obeys").await, world.adopted("done").await];
    let watching = async {
        for _ in 0..5 {
            assert!(world.received().await.is_empty());
        }
    };
    let pushing = push(&Hanging, &world.bus, batch, LEFT);
    let (outcomes, ()) = tokio::join!(pushing, watching);
    assert_eq!(outcomes, [Outcome::Ended; 2]);
}
