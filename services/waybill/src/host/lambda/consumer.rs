//! A service that events drive, called with them, or with a tick of a schedule.

use std::{collections::HashSet, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use waybill_backend_aws::{Arrived, SqsQueue};
use waybill_messaging::{Outcome, Pushed};

use super::{for_work, left};
use crate::{
    backend::aws, config::Config, host::consumer::Consumer, reconciler::Reconciler, stores::Stores,
};

pub(in crate::host) async fn run<C: Consumer>(config: &Config) -> Result<ExitCode> {
    let function = &Function::<C>::open(config).await?;
    let handler = service_fn(async |event| function.invoke(event).await);
    let ran = lambda_runtime::run(handler).await;
    ran.map_err(|error| anyhow!(error))
        .context("the Lambda runtime ended")?;
    Ok(ExitCode::SUCCESS)
}

/// What the function is called with.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "this function takes an event of SQS, {\"Records\": [..]}, or a tick of a \
                 schedule, {\"schedule\": NAME}"
)]
enum Payload {
    Messages(SqsEvent),
    Tick { schedule: String },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Messages(SqsBatchResponse),
    Tick { schedule: String },
}

struct Function<C> {
    stores: Stores,
    /// The same as in the stores.
    queue: SqsQueue,
    /// Its queue's name.
    source: String,
    consumer: C,
}

impl<C: Consumer> Function<C> {
    async fn open(config: &Config) -> Result<Self> {
        let (mut stores, queue) = Stores::open_pushed(config, &[C::SUBSCRIPTION]).await?;
        stores.log_numbers(config);
        Ok(Self {
            consumer: C::open(config, &mut stores).await?,
            stores,
            queue,
            source: aws::names(&config.aws).queue(C::SUBSCRIPTION.name),
        })
    }

    async fn invoke(&self, event: LambdaEvent<Payload>) -> Result<Answer, Diagnostic> {
        let left = left(&event.context, &self.stores.clock);
        let (work_by, end) = (Instant::now() + for_work(left), Instant::now() + left);
        let answer = match event.payload {
            Payload::Messages(messages) => self.messages(messages, work_by).await,
            Payload::Tick { schedule } => self.tick(schedule, work_by).await,
        };
        if timeout_at(end, self.stores.flushed()).await.is_err() {
            tracing::warn!("the time is up before everything has ended that was begun");
        }
        answer.map_err(|error| Diagnostic {
            error_type: "Waybill.Refused".to_owned(),
            error_message: format!("{error:#}"),
        })
    }

    async fn messages(&self, event: SqsEvent, end: Instant) -> Result<Answer> {
        let messages = event
            .records
            .into_iter()
            .map(|message| self.checked(message));
        let messages: Vec<Message> = messages.collect::<Result<_>>()?;
        let mut answer = SqsBatchResponse::default();
        let (mut ids, mut batch, mut stuck) = (Vec::new(), Vec::new(), HashSet::new());
        for Message { arrived, group } in messages {
            let id = arrived.id.clone();
            // What follows a message that must come again in its group comes again after it.
            if group.as_ref().is_some_and(|group| stuck.contains(group)) {
                answer.add_failure(id);
                continue;
            }
            match self.queue.adopt(C::SUBSCRIPTION.name, arrived).await {
                Ok(Some(delivery)) => {
                    ids.push(id);
                    batch.push(Pushed { delivery, group });
                }
                Ok(None) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, message.id = id, "cannot take a message");
                    stuck.extend(group);
                    answer.add_failure(id);
                }
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        let outcomes = self.consumer.push(&self.stores.bus, batch, left).await;
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            if outcome == Outcome::ComesAgain {
                answer.add_failure(id);
            }
        }
        Ok(Answer::Messages(answer))
    }

    /// Anything that is not of our own queue is a mistake in the installation: it stays there.
    fn checked(&self, message: SqsMessage) -> Result<Message> {
        let source = message.event_source.as_deref().unwrap_or_default();
        if source != "aws:sqs" {
            bail!("this function takes events of SQS, not of {source:?}");
        }
        let arn = message.event_source_arn.as_deref().unwrap_or_default();
        let queue = arn.rsplit(':').next().unwrap_or_default();
        let plain = queue.strip_suffix(".fifo");
        let ordered = plain.is_some();
        if plain.unwrap_or(queue) != self.source {
            bail!(
                "this function takes what is in {}, not in {queue:?}",
                self.source
            );
        }
        let attribute = |name: &str| message.attributes.get(name);
        let receives = attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        // A queue without order has groups too, for fairness among them.
        let group = attribute("MessageGroupId").filter(|_| ordered);
        let group = group.map(|group| Arc::from(group.as_str()));
        let whole = "a message of SQS without its parts";
        Ok(Message {
            group,
            arrived: Arrived {
                id: message.message_id.context(whole)?,
                receipt_handle: message.receipt_handle.context(whole)?,
                body: message.body.context(whole)?,
                receives: receives.unwrap_or(1),
            },
        })
    }

    async fn tick(&self, schedule: String, end: Instant) -> Result<Answer> {
        let reconcilers = self.consumer.reconcilers();
        let known = reconcilers.iter().find(|each| each.name == schedule);
        let reconciler = known.with_context(|| unknown_schedule(&schedule, reconcilers))?;
        let shutdown = CancellationToken::new();
        let ticking = reconciler.tick(&self.stores.bus, &shutdown);
        tokio::select! {
            ticked = ticking => match ticked {
                Ok(()) => Ok(Answer::Tick { schedule }),
                Err(failure) => Err(anyhow!("{schedule} failed: {failure:?}")),
            },
            () = sleep_until(end) => bail!("{schedule} was not done in time; the next tick goes on"),
        }
    }
}

struct Message {
    arrived: Arrived,
    group: Option<Arc<str>>,
}

fn unknown_schedule(schedule: &str, reconcilers: &[Reconciler]) -> String {
    let known: Vec<_> = reconcilers.iter().map(|each| each.name).collect();
    match known.as_slice() {
        [] => format!("there is no schedule {schedule:?}: this function has none"),
        known => format!(
            "there is no schedule {schedule:?}, only {}",
            known.join(" and ")
        ),
    }
}
