//! Breakers by name, shared by every instance through the ledger.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use waybill_events::{CircuitClosed, CircuitOpened, Draft, Event, EventId, Stamp, TenantId};
use waybill_messaging::{Clock, Commit, Expect, Key, Ledger, Write};

use crate::{
    Admission, Change, Circuit, CircuitBreaker, Error, Permit, Sample, Settings, State, Tally,
};

/// Breakers belong to the gateway, not to a tenant.
const PARTITION: &str = "breakers/GLOBAL";
/// How old the known state of a breaker may be. An opening elsewhere is noticed within this.
const FRESH: TimeDelta = TimeDelta::seconds(1);
/// Conflicts that one change may meet.
const MAX_CONFLICTS: usize = 16;

/// The repository of breakers. One per process, behind an `Arc`.
///
/// A call through a closed breaker costs no commit, and one read per second and upstream. Openings,
/// closings and probes are conditional commits, so that they are the same for all instances.
pub struct Breakers {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    settings: Settings,
    known: Mutex<HashMap<String, Known>>,
}

/// A breaker as this instance last saw it.
struct Known {
    breaker: CircuitBreaker,
    read_at: Option<DateTime<Utc>>,
}

impl Breakers {
    pub fn new(ledger: Arc<dyn Ledger>, clock: Clock, settings: Settings) -> Self {
        Self {
            ledger,
            clock,
            settings,
            known: Mutex::default(),
        }
    }

    /// Asks for one call to `name`. What is permitted is [reported](Self::report) or
    /// [given back](Self::give_back).
    pub async fn admit(&self, name: &str) -> Result<Admission, Error> {
        let now = self.clock.now();
        if let Some(admission) = self.known(name, |known| known.answer(now)) {
            return Ok(admission);
        }
        let settings = self.settings;
        self.change(name, |circuit, now| circuit.admit(&settings, now))
            .await
    }

    /// Tells how a permitted call went.
    pub async fn report(&self, name: &str, permit: Permit, sample: Sample) -> Result<(), Error> {
        let settings = self.settings;
        if permit.probe.is_some() {
            return self
                .change(name, |circuit, now| {
                    ((), circuit.report(&permit, sample, &settings, now))
                })
                .await;
        }
        let now = self.clock.now();
        let judged = self.known(name, |known| known.breaker.judge(&permit, sample, now));
        match judged {
            None => Ok(()),
            Some(tally) => self.trip(name, &permit, tally).await,
        }
    }

    /// The permitted call was not made, or ended for reasons of our own.
    pub async fn give_back(&self, name: &str, permit: Permit) -> Result<(), Error> {
        if permit.probe.is_none() {
            return Ok(());
        }
        self.change(name, |circuit, _| {
            circuit.give_back(&permit);
            ((), None)
        })
        .await
    }

    /// The shared state of a breaker now.
    pub async fn state(&self, name: &str) -> Result<State, Error> {
        Ok(self.read(name).await?.0.state)
    }

    async fn trip(&self, name: &str, permit: &Permit, tally: Tally) -> Result<(), Error> {
        let (settings, generation) = (self.settings, permit.generation);
        self.change(name, |circuit, now| {
            ((), circuit.trip(generation, tally, &settings, now))
        })
        .await
    }

    /// Reads the shared circuit, changes it and commits, again when another instance was faster.
    /// Without a change nothing is written.
    async fn change<T>(
        &self,
        name: &str,
        change: impl Fn(&mut Circuit, DateTime<Utc>) -> (T, Option<Change>),
    ) -> Result<T, Error> {
        for _ in 0..MAX_CONFLICTS {
            let (before, version) = self.read(name).await?;
            let now = self.clock.now();
            let mut circuit = before.clone();
            let (answer, told) = change(&mut circuit, now);
            if circuit != before {
                let commit = Self::commit(name, &circuit, version, told, now);
                match self.ledger.commit(commit).await {
                    Ok(_) => {}
                    Err(waybill_messaging::Error::Conflict { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(change) = told {
                log(name, change);
            }
            self.known(name, |known| known.adopt(circuit, now));
            return Ok(answer);
        }
        let name = name.to_owned();
        Err(Error::Contended { name })
    }

    /// The shared circuit and its version; a breaker that nobody has changed yet is closed.
    async fn read(&self, name: &str) -> Result<(Circuit, Option<u64>), Error> {
        let Some(record) = self.ledger.get(&key(name)).await? else {
            return Ok((Circuit::default(), None));
        };
        let circuit = serde_json::from_slice(&record.body).map_err(|source| Error::Corrupt {
            name: name.to_owned(),
            source,
        })?;
        Ok((circuit, Some(record.version)))
    }

    fn commit(
        name: &str,
        circuit: &Circuit,
        version: Option<u64>,
        change: Option<Change>,
        now: DateTime<Utc>,
    ) -> Commit {
        let body = serde_json::to_vec(circuit).expect("a circuit is plain data");
        let put = Write::Put {
            key: key(name),
            expect: version.map_or(Expect::Absent, Expect::Version),
            body: Bytes::from(body),
            index: None,
            expires_at: None,
        };
        let event = change.map(|change| Self::event(name, circuit.generation, change, now));
        Commit {
            writes: vec![put],
            events: event.into_iter().collect(),
            seen: Vec::new(),
        }
    }

    fn event(name: &str, generation: u64, change: Change, now: DateTime<Utc>) -> Event {
        let (tenant, upstream) = (TenantId::system(), name.to_owned());
        let draft = match change {
            Change::Opened(Tally {
                calls, failures, ..
            }) => {
                let data = CircuitOpened {
                    upstream,
                    failures,
                    calls,
                };
                Draft::new(tenant, name, &data)
            }
            Change::Closed => Draft::new(tenant, name, &CircuitClosed { upstream }),
        };
        // The generation makes the id new at every transition; the time leads it, as it must.
        let cause = format!("{}{name}.{generation}", EventId::floor(now));
        let stamp = Stamp {
            service: "breakers",
            now,
            cause: &cause,
            correlation: None,
            causation: None,
            traceparent: None,
        };
        draft.stamp(&stamp, 0)
    }

    fn known<T>(&self, name: &str, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(name) {
            return look(known);
        }
        let known = Known {
            breaker: CircuitBreaker::new(self.settings),
            read_at: None,
        };
        look(all.entry(name.to_owned()).or_insert(known))
    }
}

impl Known {
    /// The answer, where what is known is fresh and needs no probe.
    fn answer(&mut self, now: DateTime<Utc>) -> Option<Admission> {
        let fresh = self.read_at.is_some_and(|read_at| now - read_at < FRESH);
        let needs_nothing = match self.breaker.circuit().state {
            State::Closed => true,
            State::Open { until, .. } => until > now,
            State::HalfOpen { .. } => false,
        };
        (fresh && needs_nothing).then(|| self.breaker.admit(now).0)
    }

    fn adopt(&mut self, circuit: Circuit, now: DateTime<Utc>) {
        // Two tasks may come back in the wrong order: the older news is no news.
        if circuit.generation >= self.breaker.circuit().generation {
            self.breaker.adopt(circuit);
            self.read_at = Some(now);
        }
    }
}

fn key(name: &str) -> Key {
    Key::new(PARTITION, name)
}

fn log(name: &str, change: Change) {
    match change {
        Change::Opened(tally) => tracing::warn!(
            upstream = name,
            failures = tally.failures,
            calls = tally.calls,
            slow = tally.slow,
            "circuit opened"
        ),
        Change::Closed => tracing::info!(upstream = name, "circuit closed"),
    }
}
