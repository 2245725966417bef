//! The pass: the whole trail verified a part at a time, and then again from its beginning.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use waybill_messaging::{Context, Expect, Key, Range, Write};

use crate::{
    Error, Flaw, Trail,
    chain::{ChainKey, GENESIS, Head, Seal},
    sink::{SEGMENTS, read_head, sort_key},
    trail::{PAGE, Walk},
};

/// A pass begins no sooner than this after the one before: each reads the whole trail, and reading
/// is paid for.
const PASS_EVERY: TimeDelta = TimeDelta::days(1);

/// How far the trail has been verified. Signed: who can write the store cannot move it past what
/// they changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pass {
    /// The last entry of the last sound segment; 0 at the beginning.
    seq: u64,
    hash: String,
    began_at: DateTime<Utc>,
    /// It came to the end.
    over: bool,
    /// When the newest one that came to its end began; before there is one, when the first began.
    last_began_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    pass: Pass,
    signature: String,
}

/// What came of going on.
pub(crate) struct Step {
    pub(crate) flaw: Option<Flaw>,
    /// Since the newest complete pass began.
    pub(crate) age: TimeDelta,
    /// Keeps how far it came.
    pub(crate) write: Option<Write>,
}

impl Pass {
    fn first(now: DateTime<Utc>) -> Self {
        Self::after(now, now)
    }

    fn after(last_began_at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
            began_at: now,
            over: false,
            last_began_at,
        }
    }

    /// What is signed besides the entry's number.
    fn text(&self) -> String {
        let times = [self.began_at, self.last_began_at];
        json!([self.hash, times, self.over]).to_string()
    }

    fn write(&self, key: &ChainKey) -> Write {
        let signature = key.sign(Seal::Pass, self.seq, &self.text());
        let pass = self.clone();
        let body = serde_json::to_vec(&Signed { pass, signature }).expect("it is plain JSON");
        Write::Put {
            key: record_key(),
            // Two that verify at once both tell the truth.
            expect: Expect::Any,
            body: Bytes::from(body),
            index: None,
            expires_at: None,
        }
    }
}

impl Trail {
    /// Goes on with the pass from where it was until the time is up or the trail ends. A flaw stops
    /// it: it goes no further until the flaw is gone.
    pub(crate) async fn go_on(&self, cx: &Context, until: Instant) -> Result<Step, Error> {
        let Some(before) = self.pass(cx.now).await? else {
            let fresh = Pass::first(cx.now);
            return Ok(step(
                &fresh,
                cx.now,
                Some(Flaw::Mark),
                Some(fresh.write(&self.key)),
            ));
        };
        // After the pass was read: the end is where it came to, or behind.
        let (head, _) = read_head(&*self.ledger).await?;
        let end = head.as_ref().map_or(0, |head| head.seq);
        if end < before.seq {
            let flaw = Flaw::Missing { seq: end + 1 };
            return Ok(step(&before, cx.now, Some(flaw), None));
        }
        let mut pass = before.clone();
        if pass.over {
            if cx.now < pass.began_at + PASS_EVERY {
                return Ok(step(&pass, cx.now, None, None));
            }
            pass = Pass::after(pass.last_began_at, cx.now);
        }
        let flaw = self.walk_on(&mut pass, head, cx, until).await?;
        let write = (pass != before).then(|| pass.write(&self.key));
        Ok(step(&pass, cx.now, flaw, write))
    }

    /// `None`: what is kept is not ours.
    async fn pass(&self, now: DateTime<Utc>) -> Result<Option<Pass>, Error> {
        let Some(record) = self.ledger.get(&record_key()).await? else {
            return Ok(Some(Pass::first(now)));
        };
        let kept: Option<Signed> = serde_json::from_slice(&record.body).ok();
        let ours = kept.filter(|Signed { pass, signature }| {
            self.key
                .signed(Seal::Pass, pass.seq, &pass.text(), signature)
        });
        Ok(ours.map(|signed| signed.pass))
    }

    async fn walk_on(
        &self,
        pass: &mut Pass,
        head: Option<Head>,
        cx: &Context,
        until: Instant,
    ) -> Result<Option<Flaw>, Error> {
        let end = head.as_ref().map_or(0, |head| head.seq);
        let mut walk = Walk::new(&self.key, pass.seq, pass.hash.clone(), head);
        let mut range = Range::first(PAGE).from(sort_key(pass.seq + 1));
        while walk.seq < end {
            if Instant::now() >= until || cx.shutdown.is_cancelled() {
                return Ok(None);
            }
            let page = self.ledger.list(SEGMENTS, range).await?;
            if let Some(flaw) = walk.segments(&page.records) {
                return Ok(Some(flaw));
            }
            (pass.seq, pass.hash) = (walk.seq, walk.hash.clone());
            if page.next.is_none() {
                break;
            }
            range = Range::first(PAGE).after(page.next);
        }
        let flaw = walk.end();
        if flaw.is_none() {
            pass.over = true;
            pass.last_began_at = pass.began_at;
        }
        Ok(flaw)
    }
}

fn step(pass: &Pass, now: DateTime<Utc>, flaw: Option<Flaw>, write: Option<Write>) -> Step {
    Step {
        flaw,
        age: now - pass.last_began_at,
        write,
    }
}

fn record_key() -> Key {
    Key::new("audit", "pass")
}
