//! A claim on a call, and everything that is committed under it while the tool runs.

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use waybill_calls::{Call, CallState, Calls, Fenced, Outcome, Said, Stored};
use waybill_events::{Draft, EventId, ToolCallProgressed};
use waybill_messaging::{Clock, Commit, Effects, Expect, Failure, Ledger};

use crate::{
    ending::{Claim, Ending, Parting, tell},
    error::{Error, failure},
    limits::{CLAIM, MAX_CONFLICTS},
    notes::Notes,
};

/// The stores that an attempt writes to.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) calls: Calls,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Clock,
}

/// One worker's claim: in memory at first, committed when it must be.
pub(crate) struct Attempt {
    stores: Stores,
    /// As last read or written, with this claim on it.
    stored: Stored,
    notes: Notes,
    claim: Claim,
    /// What the tool has said and no commit has taken along yet.
    said: Vec<Said>,
}

impl Attempt {
    /// Claims the call in memory. `notes` are the call's.
    pub(crate) fn begin(stores: &Stores, mut stored: Stored, notes: Notes) -> Result<Self, Fenced> {
        let number = stored.call.claim(stores.clock.now())?;
        let claim = Claim {
            tenant: stored.call.tenant.clone(),
            id: stored.call.id.clone(),
            number,
            committed: false,
        };
        Ok(Self {
            stores: stores.clone(),
            stored,
            notes,
            claim,
            said: Vec::new(),
        })
    }

    pub(crate) fn call(&self) -> &Call {
        &self.stored.call
    }

    pub(crate) fn number(&self) -> u32 {
        self.claim.number
    }

    /// How many attempts there were, this one included, that count.
    pub(crate) fn counted(&self) -> u32 {
        self.claim.number.saturating_sub(self.notes.forgiven)
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.claim.committed
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.stores.calls
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.stores.clock.now()
    }

    /// Time until the call's deadline.
    pub(crate) fn left(&self) -> Duration {
        let left = self.stored.call.deadline - self.now();
        left.to_std().unwrap_or_default()
    }

    /// Makes the claim durable, and lets it hold anew.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.change(None, |_, _, _| Ok(None)).await
    }

    /// Makes claim and intent durable, and in whose name: what comes after this may act. One
    /// conflict is enough to leave it: whoever came between may have acted.
    pub(crate) async fn intend(&mut self, event: &EventId) -> Result<(), Error> {
        let mut next = self.stored.clone();
        let now = self.now();
        next.call.intend(self.claim.number, now)?;
        next.call.hold(self.claim.number, Some(now + CLAIM))?;
        self.notes.acts_for = Some(event.clone());
        match self.write(next, &self.notes).await {
            Ok(stored) => self.stored = stored,
            Err(waybill_calls::Error::Port(waybill_messaging::Error::Conflict { .. })) => {
                return Err(Fenced::Overtaken.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.claim.committed = true;
        Ok(())
    }

    /// Keeps what the tool has said for the next [`Self::report`], or for the end. As many as the
    /// record does.
    pub(crate) fn hear(&mut self, said: Said) {
        if self.said.len() == Call::MAX_REPORTS {
            self.said.remove(0);
        }
        self.said.push(said);
    }

    pub(crate) fn has_heard(&self) -> bool {
        !self.said.is_empty()
    }

    /// Commits what the tool has said. Its newest progress is an event as well.
    pub(crate) async fn report(&mut self) -> Result<(), Error> {
        let said = self.said.clone();
        self.change(None, |call, number, now| {
            call.report(number, said.iter().cloned(), now)?;
            Ok(progressed(call, number, &said))
        })
        .await?;
        self.said.clear();
        Ok(())
    }

    pub(crate) async fn save(&mut self, checkpoint: &Value) -> Result<(), Error> {
        self.change(None, |call, number, now| {
            call.save(number, checkpoint.clone(), now)?;
            Ok(None)
        })
        .await
    }

    /// Puts the call back for the queue to bring again. The tool certainly did not act, so an
    /// intent is void. A claim that was never committed leaves nothing to put back.
    pub(crate) async fn release(&mut self, as_probe: bool) -> Result<(), Error> {
        if !self.claim.committed {
            return Ok(());
        }
        if as_probe {
            self.notes.forgiven += 1;
        }
        let notes = as_probe.then(|| self.notes.clone());
        let said = std::mem::take(&mut self.said);
        self.change(notes.as_ref(), |call, number, now| {
            call.report(number, said.iter().cloned(), now)?;
            call.park(number, CallState::WaitingCapacity, now)?;
            call.intent = None;
            Ok(None)
        })
        .await
    }

    /// Gives the call up as it is, for whoever is brought it next. Without it they wait until the
    /// claim ends by itself.
    pub(crate) async fn let_go(&mut self) {
        if !self.claim.committed {
            return;
        }
        let let_go = self.change(None, |call, number, _| {
            call.hold(number, None)?;
            Ok(None)
        });
        if let Err(error) = let_go.await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "the claim ends by itself");
        }
    }

    /// Waits up to `wait` for somebody else's change of the record, and takes it over.
    pub(crate) async fn changed(&mut self, wait: Duration) -> Result<(), Error> {
        if let Some(fresh) = self.stores.calls.changed(&self.stored, wait).await? {
            self.stored = self.claim.on(fresh, self.now())?;
        }
        Ok(())
    }

    /// The call as somebody else left it, when this attempt has lost it: has it ended?
    pub(crate) async fn has_ended(&self) -> Result<bool, Failure> {
        let call = &self.stored.call;
        match self.stores.calls.get(&call.tenant, &call.id).await {
            Err(waybill_calls::Error::Unknown) => Ok(true),
            fresh => Ok(fresh.map_err(failure)?.call.state.is_terminal()),
        }
    }

    /// The effects that end the attempt.
    pub(crate) fn end(self, ending: impl Into<Ending>) -> Result<Effects, Failure> {
        let Stores { calls, clock, .. } = &self.stores;
        let ending = ending.into();
        if let Ending::Outcome {
            outcome: Outcome::Error(problem),
            ..
        } = &ending
        {
            tell(&self.stored.call, problem, clock.now());
        }
        let parting = Parting {
            ending,
            claim: self.claim,
            said: self.said,
        };
        parting.effects(self.stored, calls, clock)
    }

    async fn change(
        &mut self,
        notes: Option<&Notes>,
        change: impl Fn(&mut Call, u32, DateTime<Utc>) -> Result<Option<Draft>, Fenced>,
    ) -> Result<(), Error> {
        for _ in 0..MAX_CONFLICTS {
            let mut next = self.stored.clone();
            let (number, now) = (self.claim.number, self.now());
            next.call.hold(number, Some(now + CLAIM))?;
            let draft = change(&mut next.call, number, now)?;
            let written = if let Some(notes) = notes {
                self.write(next, notes).await
            } else {
                let drafts = draft.into_iter().collect();
                self.stores.calls.commit(&next, drafts).await
            };
            match written {
                Ok(stored) => {
                    self.stored = stored;
                    self.claim.committed = true;
                    return Ok(());
                }
                Err(waybill_calls::Error::Port(waybill_messaging::Error::Conflict { .. })) => {
                    let fresh = self.stores.calls.get(&self.claim.tenant, &self.claim.id);
                    self.stored = self.claim.on(fresh.await?, self.now())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fenced::Overtaken.into())
    }

    async fn write(&self, mut next: Stored, notes: &Notes) -> Result<Stored, waybill_calls::Error> {
        let commit = noted(&next, notes);
        self.stores.ledger.commit(commit).await?;
        next.version += 1;
        Ok(next)
    }
}

fn progressed(call: &Call, attempt: u32, said: &[Said]) -> Option<Draft> {
    let progress = said.iter().rev().find_map(|said| match said {
        Said::Progress(progress) => Some(progress),
        Said::Log(_) => None,
    })?;
    let data = ToolCallProgressed {
        tool: call.tool.clone(),
        attempt,
        progress: progress.progress,
        total: progress.total,
    };
    Some(call.draft(&data))
}

fn noted(next: &Stored, notes: &Notes) -> Commit {
    Commit {
        writes: vec![
            Calls::write(&next.call, Expect::Version(next.version)),
            notes.write(&next.call),
        ],
        ..Commit::default()
    }
}
