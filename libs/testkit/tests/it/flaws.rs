//! A suite that cannot fail proves nothing: each flaw turns a property red, for its own reason.

use waybill_testkit::contract::{self, run};

use crate::flawed::{Flaw, fixture};

macro_rules! flaws {
    ($($name:ident: $suite:ident::$property:ident with $flaw:ident says $message:literal;)*) => {
        $(
            #[test]
            #[should_panic(expected = $message)]
            fn $name() {
                let flawed = async { fixture(Flaw::$flaw) };
                run(flawed, contract::$suite::$property);
            }
        )*
    };
}

flaws! {
    writes_one_by_one: ledger::a_conflict_on_the_last_write_leaves_nothing with WritesOneByOne says "left == right";
    events_first: ledger::a_conflict_on_the_last_write_leaves_nothing with EventsFirst says "an event escaped";
    marks_first: ledger::a_conflict_on_the_last_write_leaves_nothing with MarksFirst says "no mark was left";
    no_conditions: ledger::absent_refuses_what_exists with NoConditions says "expected Error::Conflict";
    no_checks: ledger::a_check_guards_without_writing with NoChecks says "expected Error::Conflict";
    any_version: ledger::a_version_that_moved_is_a_conflict with AnyVersion says "expected Error::Conflict";
    no_marks: ledger::a_seen_event_is_refused_whole with NoMarks says "expected Error::AlreadySeen";
    marks_for_all: ledger::seen_is_per_subscription with MarksForAll says "its own first time";
    conflict_first: ledger::already_seen_outranks_a_conflict with ConflictFirst says "got Err(Conflict";
    settles_on_conflict: ledger::a_conflict_leaves_the_delivery_leased with SettlesOnConflict says "settled the delivery";
    never_settles: ledger::a_mark_settles_its_delivery with NeverSettles says "delivered again";
    truncates: ledger::bodies_come_back_byte_for_byte with Truncates says "body 3";
    unlimited: ledger::a_body_over_the_limit_is_too_large with Unlimited says "expected Error::TooLarge";
    keeps_index: ledger::a_put_replaces_the_entry with KeepsIndex says "this never came";
    never_expires: ledger::an_expired_record_reads_as_absent with NeverExpires says "the time of expiry";
    no_expiry: ledger::expire_removes_only_what_has_expired with NoExpiry says "removed only 0";
    sweeps_all: ledger::expire_removes_only_what_has_expired with SweepsAll says "over its limit";
    descends: ledger::a_list_pages_in_both_directions with Descends says "pages of";
    exclusive_end: ledger::a_list_keeps_to_its_bounds with ExclusiveEnd says "left == right";
    forgets_pages: ledger::a_list_pages_in_both_directions with ForgetsPages says "pages of";
    repeats_pages: ledger::a_query_pages_over_equal_entries with RepeatsPages says "the pages never end";
    prefix_partitions: ledger::a_list_keeps_to_its_partition with PrefixPartitions says "left == right";
    slow_change: ledger::a_change_wakes_a_waiter with SlowChange says "it woke only after";
    hasty_change: ledger::no_change_times_out with HastyChange says "left == right";
    early_end_of_a_wait: ledger::no_change_times_out with EarlyTimeout says "gave up after";
    stays_asleep: ledger::a_creation_wakes_a_waiter with StaysAsleep says "a newer version";
    lost_updates: ledger::concurrent_increments_lose_nothing with AnyVersion says "left == right";
    two_creators: ledger::one_of_many_creators_wins with NoConditions says "winners";
    half_dropped: ledger::a_dropped_commit_happens_whole_or_not_at_all with HalfDropped says "half a commit";
    events_before_records: ledger::an_event_arrives_after_its_record with EventsFirst says "is not there yet";
    drops_events: queue::a_commit_delivers_all_its_events with DropsEvents says "every event";
    wrong_queue: queue::events_fan_out_by_type with WrongQueue says "left == right";
    changes_data: queue::an_event_arrives_as_it_was_committed with ChangesData says "left == right";
    double_lease: queue::many_consumers_share_without_a_double_lease with DoubleLease says "its own lease";
    extends_lost: queue::a_lost_lease_is_said with ExtendsLost says "expected Error::LeaseLost";
    extends_nothing: queue::an_extended_lease_holds with ExtendsNothing says "leased twice";
    settles_nothing: queue::what_is_done_never_returns with SettlesNothing says "assertion failed";
    retries_at_once: queue::a_retry_is_delivered_later with RetriesAtOnce says "it came after";
    retries_late: queue::a_retry_is_delivered_later with RetriesLate says "it came only after";
    counts_nothing: queue::an_expired_lease_redelivers with CountsNothing says "left == right";
    loses_letters: queue::a_dead_letter_is_kept_aside with LosesLetters says "the dead letters";
    old_letters_first: queue::dead_letters_come_newest_first with OldLettersFirst says "left == right";
    redrives_as_old: queue::a_redriven_letter_is_as_new with RedrivesAsOld says "left == right";
    redrives_nothing: queue::a_redriven_letter_is_as_new with RedrivesNothing says "a delivery to alpha";
    redrives_none_of_all: queue::all_letters_are_redriven_as_new with RedrivesNothing says "a delivery to alpha";
    greedy: queue::a_receive_gives_no_more_than_asked with Greedy says "2 of 1";
    loses_dropped: queue::a_dropped_receive_loses_nothing with LosesDropped says "whose receive was dropped";
    slow_receive: queue::a_commit_wakes_a_receiver with SlowReceive says "it woke only after";
    early_end_of_a_receive: queue::an_empty_queue_times_out with EarlyTimeout says "it gave up after";
    empty_depth: queue::depth_counts_each_state with EmptyDepth says "5 ready";
    unknown_is_empty: queue::an_unknown_subscription_is_said with UnknownIsEmpty says "expected Error::Unknown";
}
