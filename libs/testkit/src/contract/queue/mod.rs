//! The suite of [`Queue`](waybill_messaging::Queue).

use std::time::Duration;

use waybill_events::{Event, EventType};
use waybill_messaging::{Commit, DeadLetter, Delivery, Depth, Settlement};

use super::{Fixture, eventually};

mod delivery;
mod ends;
mod leases;
mod receiving;

pub use delivery::*;
pub use ends::*;
pub use leases::*;
pub use receiving::*;

/// Runs the queue's suite: `queue_contract!(path::to::fixture)`, in a module of its own, where
/// `fixture` is an `async fn() -> Fixture`.
#[macro_export]
macro_rules! queue_contract {
    ($fixture:path) => {
        $crate::contract_tests!(
            queue,
            $fixture,
            [
                events_fan_out_by_type,
                a_commit_delivers_all_its_events,
                an_event_arrives_as_it_was_committed,
                unicode_and_large_data_arrive,
                an_unknown_subscription_is_said,
                an_expired_lease_redelivers,
                a_lost_lease_is_said,
                an_extended_lease_holds,
                a_redelivery_keeps_to_its_new_lease,
                a_retry_is_delivered_later,
                a_retry_at_once_is_delivered_at_once,
                what_is_done_never_returns,
                a_dead_letter_is_kept_aside,
                dead_letters_come_newest_first,
                too_many_receives_dead_letter,
                too_many_expired_leases_dead_letter,
                a_redriven_letter_is_as_new,
                all_letters_are_redriven_as_new,
                an_unknown_dead_letter_is_said,
                a_body_that_is_no_event_is_dead_lettered,
                a_settlement_concerns_its_subscription_only,
                depth_counts_each_state,
                depth_gives_the_age_of_the_oldest,
                a_commit_wakes_a_receiver,
                a_commit_wakes_one_of_many_receivers,
                an_empty_queue_times_out,
                a_receive_without_wait_answers_at_once,
                a_waiting_receiver_sees_a_delay_end,
                a_receive_gives_no_more_than_asked,
                a_dropped_receive_loses_nothing,
                many_consumers_share_without_a_double_lease,
            ]
        );
    };
}

fn event(kind: EventType) -> Event {
    crate::event(kind).build()
}

impl Fixture {
    pub(super) async fn publish(&self, events: impl Into<Vec<Event>>) {
        let commit = Commit {
            events: events.into(),
            ..Commit::default()
        };
        self.ledger.commit(commit).await.expect("the commit");
    }

    /// What a short receive gives, perhaps nothing.
    pub(super) async fn some(&self, subscription: &str) -> Vec<Delivery> {
        let wait = Duration::from_millis(300);
        let received = self.queue.receive(subscription, 10, wait).await;
        received.expect("receive")
    }

    /// The next delivery.
    pub(super) async fn one(&self, subscription: &str) -> Delivery {
        let what = format!("a delivery to {subscription}");
        eventually(&what, async || {
            let wait = Duration::from_millis(300);
            let received = self.queue.receive(subscription, 1, wait).await;
            received.expect("receive").pop()
        })
        .await
    }

    /// That a short receive gives nothing.
    pub(super) async fn none(&self, subscription: &str) -> bool {
        self.some(subscription).await.is_empty()
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) {
        let settled = self.queue.settle(&delivery.receipt, settlement).await;
        settled.expect("the lease is held");
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) {
        let reason = reason.to_owned();
        self.settle(delivery, Settlement::DeadLetter { reason })
            .await;
    }

    async fn depth(&self, subscription: &str) -> Depth {
        self.queue.depth(subscription).await.expect("depth")
    }

    /// The dead letters once there are so many.
    async fn dead(&self, subscription: &str, count: usize) -> Vec<DeadLetter> {
        eventually("the dead letters", async || {
            let letters = self.queue.dead_letters(subscription, 100).await;
            let letters = letters.expect("dead_letters");
            (letters.len() == count).then_some(letters)
        })
        .await
    }
}
