//! What stayed in the outbox, published again.

use std::time::Duration;

use tokio::time::Instant;
use waybill_messaging::{Error, Result};

use super::{
    DynamoLedger,
    outbox::{Message, SHARDS, Waiting},
    random_below,
};

/// What a sweep has done, and seen.
#[derive(Debug, Default)]
pub struct Swept {
    /// Events that have left the outbox.
    pub published: usize,
    /// How long the oldest event that it saw had waited. Zero: it saw none.
    pub oldest: Duration,
    /// Why it published no more.
    pub stopped: Option<Error>,
}

impl DynamoLedger {
    /// Publishes again what was committed at least `older_than` ago and has not left the outbox,
    /// until all has or `time` has passed. Choose `older_than` longer than a commit waits (5 s), so
    /// that this and a commit under way do not both publish; two sweeps do not. An event that SNS
    /// refuses stays, and is logged. [`Err`]: the outbox itself cannot be worked with.
    pub async fn sweep_outbox(&self, older_than: Duration, time: Duration) -> Result<Swept> {
        let (began, end) = (self.now(), Instant::now() + time);
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let before = began.saturating_sub(age);
        let mut swept = Swept::default();
        // Not always the same first: what arrives in one shard must not use up all the time.
        let first = random_below(SHARDS);
        for shard in (first..SHARDS).chain(0..first) {
            let mut start = None;
            loop {
                let page = self.outbox.page(shard, before, start).await?;
                swept.saw(&page.events, began);
                let over = swept.stopped.is_some() || Instant::now() >= end;
                if over || !self.sweep_page(shard, page.events, &mut swept).await? {
                    break;
                }
                start = page.next;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(swept)
    }

    /// False: another sweep has this shard.
    async fn sweep_page(
        &self,
        shard: u64,
        events: Vec<Waiting>,
        swept: &mut Swept,
    ) -> Result<bool> {
        if events.is_empty() {
            return Ok(true);
        }
        if !self.outbox.claim(shard, self.now()).await? {
            return Ok(false);
        }
        let events: Vec<Message> = events.into_iter().map(|each| each.message).collect();
        let published = self.publisher.publish(&events).await;
        self.outbox.forget(&published.messages).await?;
        swept.published += published.messages.len();
        swept.stopped = published.stopped;
        if let Some(error) = published.refused {
            tracing::error!(
                events = events.len() - published.messages.len(),
                error = &error as &dyn std::error::Error,
                "events stay in the outbox"
            );
        }
        Ok(true)
    }
}

impl Swept {
    fn saw(&mut self, events: &[Waiting], now: i64) {
        let first = events.iter().map(|each| each.committed_at).min();
        let waited = first.map_or(0, |first| now.saturating_sub(first));
        let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
        self.oldest = self.oldest.max(waited);
    }
}
