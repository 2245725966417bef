//! Which deliveries this process holds, and until when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use waybill_messaging::{Error, Receipt, Result, Subscription};

/// Leases of one subscription in one process. Each keeps its body, of up to 256 KiB.
const MOST: usize = 4_096;
/// From the receive, however often it is extended; a limit of SQS, in seconds.
const LONGEST: u64 = 12 * 60 * 60;

/// By SQS's id of the message: received again, it is a new lease, and the old one is void.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<String, Lease>>);

#[derive(Clone)]
pub(super) struct Lease {
    /// SQS's receipt handle.
    pub(super) handle: Arc<str>,
    pub(super) body: Arc<str>,
    pub(super) receives: u32,
    /// Whoever received it deletes it.
    pub(super) adopted: bool,
    received: Instant,
    until: Instant,
}

impl Lease {
    /// In whole seconds, rounded up, as far as SQS grants it.
    pub(super) fn at_most(&self, wanted: Duration) -> i32 {
        let granted = LONGEST.saturating_sub(self.received.elapsed().as_secs() + 1);
        seconds(wanted).min(i32::try_from(granted).unwrap_or(0))
    }
}

impl Leases {
    /// How many more may be held. [`Error::Unavailable`]: none.
    pub(super) fn room(&self) -> Result<usize> {
        let now = Instant::now();
        let mut leases = self.lock();
        leases.retain(|_, lease| lease.until > now);
        match MOST.saturating_sub(leases.len()) {
            0 => {
                let held = format!("{MOST} deliveries are held and unsettled");
                Err(Error::unavailable("nothing more can be received", held))
            }
            room => Ok(room),
        }
    }

    /// From now on.
    pub(super) fn hold(
        &self,
        subscription: &Subscription,
        id: &str,
        handle: &str,
        body: String,
        receives: u32,
    ) -> Receipt {
        let received = Instant::now();
        let lease = Lease {
            handle: handle.into(),
            body: body.into(),
            receives,
            adopted: false,
            received,
            until: received + whole(seconds(subscription.lease)),
        };
        self.lock().insert(id.to_owned(), lease);
        Receipt {
            subscription: subscription.name,
            handle: format!("{id}/{handle}").into(),
        }
    }

    /// From now on, received by somebody who keeps it hidden for longer than we may have it.
    pub(super) fn adopt(
        &self,
        subscription: &Subscription,
        id: &str,
        handle: &str,
        body: String,
        receives: u32,
    ) -> Receipt {
        let receipt = self.hold(subscription, id, handle, body, receives);
        self.change(&receipt, |lease| {
            lease.adopted = true;
            lease.until = lease.received + Duration::from_secs(LONGEST);
        });
        receipt
    }

    /// [`Error::LeaseLost`] once it is over, or was never ours.
    pub(super) fn held(&self, receipt: &Receipt) -> Result<Lease> {
        let (id, handle) = parts(receipt).ok_or(Error::LeaseLost)?;
        let now = Instant::now();
        let leases = self.lock();
        let lease = leases.get(id);
        let held = lease.filter(|lease| *lease.handle == *handle && lease.until > now);
        held.cloned().ok_or(Error::LeaseLost)
    }

    pub(super) fn extended(&self, receipt: &Receipt, until: Instant) {
        self.change(receipt, |lease| lease.until = until);
    }

    /// For good: an extension whose answer comes later does not bring it back.
    pub(super) fn forget(&self, receipt: &Receipt) {
        if let Some((id, handle)) = parts(receipt) {
            let mut leases = self.lock();
            if leases.get(id).is_some_and(|lease| *lease.handle == *handle) {
                leases.remove(id);
            }
        }
    }

    fn change(&self, receipt: &Receipt, change: impl FnOnce(&mut Lease)) {
        if let Some((id, handle)) = parts(receipt)
            && let Some(lease) = self.lock().get_mut(id)
            && *lease.handle == *handle
        {
            change(lease);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQS's id of the message, which holds no slash, and its receipt handle.
fn parts(receipt: &Receipt) -> Option<(&str, &str)> {
    receipt.handle.split_once('/')
}

/// Rounded up, and no more than SQS takes.
pub(crate) fn seconds(duration: Duration) -> i32 {
    let part = u64::from(duration.subsec_nanos() > 0);
    let up = duration.as_secs().saturating_add(part);
    i32::try_from(up.min(LONGEST)).unwrap_or(0)
}

pub(super) fn whole(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use waybill_messaging::Events;

    use super::*;

    const TENTHS: Subscription = Subscription {
        lease: Duration::from_millis(100),
        ..Subscription::new("tenths", Events::All)
    };
    const OVER: Subscription = Subscription {
        lease: Duration::ZERO,
        ..TENTHS
    };

    fn hold(leases: &Leases, subscription: &Subscription, id: &str, handle: &str) -> Receipt {
        leases.hold(subscription, id, handle, String::new(), 1)
    }

    fn is_held(leases: &Leases, receipt: &Receipt) -> bool {
        match leases.held(receipt) {
            Ok(_) => true,
            Err(Error::LeaseLost) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_lease_is_held_until_it_is_over_or_forgotten() {
        let leases = Leases::default();
        let held = hold(&leases, &TENTHS, "1", "a/b");
        assert!(is_held(&leases, &held));
        leases.forget(&held);
        leases.extended(&held, Instant::now() + Duration::from_mins(1));
        assert!(!is_held(&leases, &held));
        let over = hold(&leases, &OVER, "2", "c");
        assert!(!is_held(&leases, &over));
        leases.extended(&over, Instant::now() + Duration::from_mins(1));
        assert!(is_held(&leases, &over));
    }

    #[test]
    fn an_adopted_lease_is_as_long_as_whoever_received_it_holds_it() {
        let leases = Leases::default();
        let adopted = leases.adopt(&OVER, "1", "a", String::new(), 1);
        assert!(leases.held(&adopted).unwrap().adopted);
        leases.forget(&adopted);
        assert!(!is_held(&leases, &adopted));
    }

    #[test]
    fn a_new_receive_voids_the_old_receipt() {
        let leases = Leases::default();
        let old = hold(&leases, &TENTHS, "1", "a");
        let new = hold(&leases, &TENTHS, "1", "b");
        leases.forget(&old);
        assert!(!is_held(&leases, &old));
        assert!(is_held(&leases, &new));
    }

    #[test]
    fn what_is_held_is_bounded_and_what_is_over_makes_room() {
        let leases = Leases::default();
        for n in 0..MOST {
            hold(&leases, &OVER, &n.to_string(), "a");
        }
        assert_eq!(leases.room().unwrap(), MOST);
        for n in 0..MOST {
            hold(
                &leases,
                &Subscription::new("long", Events::All),
                &n.to_string(),
                "a",
            );
        }
        assert!(matches!(leases.room(), Err(Error::Unavailable { .. })));
    }

    #[test]
    fn times_are_whole_seconds_within_what_sqs_grants() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
        assert_eq!(seconds(Duration::MAX), 43_200);
        let leases = Leases::default();
        let lease = leases.held(&hold(&leases, &TENTHS, "1", "a")).unwrap();
        assert_eq!(lease.at_most(Duration::from_millis(1_500)), 2);
        assert_eq!(lease.at_most(Duration::from_hours(24)), 43_199);
    }
}
