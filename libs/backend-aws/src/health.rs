//! Whether an installation can be worked with from here: what `waybill doctor` asks.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_cloudwatch::{operation::describe_alarms::DescribeAlarmsOutput, types::StateValue};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use bytes::Bytes;
use chrono::TimeDelta;
use waybill_events::TenantId;
use waybill_messaging::{
    BlobKey, Blobs as _, Clock, DataKey, EncryptionContext, Error, KeyRing as _, Result,
    Subscription,
};

use crate::{
    Clients, KmsKeyRing, Names, Place, S3Blobs,
    error::port_error,
    provision::{self, Found, State},
};

mod permissions;

/// AWS refuses what was signed by a clock that is wrong by 5 minutes.
const REFUSED: TimeDelta = TimeDelta::minutes(5);
/// Deadlines and leases are still right by about so much.
const DOUBTFUL: TimeDelta = TimeDelta::seconds(10);
/// Of names in one finding.
const MOST_NAMED: usize = 5;
/// Whose probes these are.
const PROBE: &str = "doctor";

/// Looks at an installation, and leaves it as it is. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    clients: Clients,
    names: Names,
    topology: Arc<[Subscription]>,
    clock: Clock,
}

/// What was found, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    Good(String),
    Doubtful(String),
    Bad(String),
}

/// One thing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Every resource against the code: filter policies, wiring of dead letters, settings.
    Resources,
    /// The master key wraps and unwraps.
    MasterKey,
    /// The bucket takes, gives and removes a blob.
    Bucket,
    Permissions,
    Alarms,
    /// Ours against AWS's.
    Clock,
}

impl Aspect {
    pub const ALL: [Self; 6] = [
        Self::Resources,
        Self::MasterKey,
        Self::Bucket,
        Self::Permissions,
        Self::Alarms,
        Self::Clock,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Resources => "aws resources",
            Self::MasterKey => "aws master key",
            Self::Bucket => "aws bucket",
            Self::Permissions => "aws permissions",
            Self::Alarms => "aws alarms",
            Self::Clock => "aws clock",
        }
    }
}

impl Health {
    pub fn new(clients: &Clients, names: &Names, topology: &[Subscription], clock: Clock) -> Self {
        Self {
            clients: clients.clone(),
            names: names.clone(),
            topology: topology.into(),
            clock,
        }
    }

    pub async fn look(&self, aspect: Aspect) -> Finding {
        let found = match aspect {
            Aspect::Resources => self.resources().await,
            Aspect::MasterKey => self.master_key().await,
            Aspect::Bucket => self.bucket().await,
            Aspect::Permissions => Ok(self.permissions().await),
            Aspect::Alarms => self.alarms().await,
            Aspect::Clock => self.skew().await,
        };
        found.unwrap_or_else(|error| Finding::Bad(told(&error)))
    }

    async fn resources(&self) -> Result<Finding> {
        let found = provision::plan(&self.clients, &self.names, &self.topology).await?;
        let count = found.len();
        let differs: Vec<String> = found.into_iter().filter_map(differing).collect();
        Ok(if differs.is_empty() {
            Finding::Good(format!("all {count} are as the code describes them"))
        } else {
            Finding::Bad(differs.join("; "))
        })
    }

    async fn master_key(&self) -> Result<Finding> {
        let ring = KmsKeyRing::new(&self.clients, &self.names);
        let key = DataKey([7; 32]);
        let context =
            |purpose: &str| EncryptionContext::from([("purpose".to_owned(), purpose.to_owned())]);
        let wrapped = ring.wrap(&key, &context(PROBE)).await?;
        if ring.unwrap(&wrapped, &context(PROBE)).await? != key {
            return Ok(Finding::Bad("another key came back".to_owned()));
        }
        Ok(match ring.unwrap(&wrapped, &context("another")).await {
            Err(Error::Broken { .. }) => {
                Finding::Good("wraps and unwraps, and refuses another context".to_owned())
            }
            Err(error) => Finding::Bad(told(&error)),
            Ok(_) => Finding::Bad("a key opens under another context".to_owned()),
        })
    }

    async fn bucket(&self) -> Result<Finding> {
        let place = Place::find(&self.clients).await?;
        let blobs = S3Blobs::new(&self.clients, &self.names, &place, self.clock.clone());
        let tenant = TenantId::parse(PROBE);
        let key = BlobKey {
            tenant: tenant.map_err(|error| Error::broken("the probe has no name", error))?,
            name: "probe".to_owned(),
        };
        let (body, hour) = (Bytes::from_static(b"probe"), TimeDelta::hours(1));
        blobs
            .put(&key, body.clone(), self.clock.now() + hour)
            .await?;
        let read = blobs.get(&key).await?;
        blobs.delete(&key).await?;
        Ok(if read == Some(body) {
            Finding::Good("takes, gives and removes".to_owned())
        } else {
            Finding::Bad("did not give what it took".to_owned())
        })
    }

    async fn alarms(&self) -> Result<Finding> {
        let prefix = self.names.alarms();
        let list = self.clients.cloudwatch.describe_alarms();
        let list = list.alarm_name_prefix(&prefix).into_paginator().send();
        let pages = list.collect::<Result<Vec<_>, _>>().await;
        let pages = pages.map_err(|error| port_error("CloudWatch cannot list alarms", error))?;
        let alarms: Vec<_> = pages
            .iter()
            .flat_map(DescribeAlarmsOutput::metric_alarms)
            .collect();
        let rings = alarms
            .iter()
            .filter(|alarm| alarm.state_value() == Some(&StateValue::Alarm));
        let rings: Vec<&str> = rings.filter_map(|alarm| alarm.alarm_name()).collect();
        Ok(match (alarms.len(), rings.is_empty()) {
            (0, _) => Finding::Doubtful(format!(
                "there are none whose names begin with {prefix}; the template in infra/ makes them"
            )),
            (count, true) => Finding::Good(format!("{count}, and none rings")),
            (count, false) => Finding::Doubtful(format!("of {count} ring: {}", some(&rings))),
        })
    }

    async fn skew(&self) -> Result<Finding> {
        let date = Dated::default();
        let asked = self.clients.sts.get_caller_identity();
        let asked = asked.customize().interceptor(date.clone()).send().await;
        let now = self.clock.now();
        asked.map_err(|error| port_error("AWS does not tell the time", error))?;
        let Some(theirs) = date.told() else {
            return Ok(Finding::Doubtful("the answer bears no date".to_owned()));
        };
        Ok(skewed(TimeDelta::milliseconds(
            now.timestamp_millis() - theirs,
        )))
    }

    async fn permissions(&self) -> Finding {
        let tried = permissions::tried(&self.clients, &self.names, &self.topology).await;
        let (denied, unknown) = (tried.denied, tried.unknown);
        if !denied.is_empty() {
            let denied: Vec<&str> = denied.iter().map(String::as_str).collect();
            return Finding::Bad(format!("denied: {}", some(&denied)));
        }
        if let Some(first) = unknown.first() {
            return Finding::Doubtful(format!("cannot be told: {first}"));
        }
        Finding::Good(format!(
            "{} actions are allowed; sns:Publish, sqs:SendMessage, sqs:ReceiveMessage and \
             secretsmanager:CreateSecret were not tried, for trying is doing",
            tried.allowed
        ))
    }
}

/// `None`: it is as described.
fn differing(found: Found) -> Option<String> {
    let Found { resource, state } = found;
    match state {
        State::AsDescribed => None,
        State::Missing => Some(format!("{resource} is missing")),
        State::Differs(differences) => {
            let told = differences.iter().map(|difference| {
                let (there, described) = (&difference.there, &difference.described);
                let setting = difference.setting;
                format!("{setting} is {there:?}, not {described:?}")
            });
            let told: Vec<_> = told.collect();
            Some(format!("{resource} differs: {}", told.join(", ")))
        }
    }
}

fn skewed(ours_ahead: TimeDelta) -> Finding {
    let seconds = ours_ahead.num_seconds();
    let told = match seconds {
        0 => "right to the second".to_owned(),
        ahead if ahead > 0 => format!("{ahead} s ahead of AWS"),
        behind => format!("{} s behind AWS", -behind),
    };
    match ours_ahead.abs() {
        skew if skew >= REFUSED => Finding::Bad(format!("{told}: requests are refused")),
        skew if skew >= DOUBTFUL => Finding::Doubtful(told),
        _ => Finding::Good(told),
    }
}

/// The first few.
fn some(names: &[&str]) -> String {
    let first = names[..names.len().min(MOST_NAMED)].join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// An error and its causes, on one line.
fn told(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

/// The `Date` of an answer, in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
struct Dated(Arc<Mutex<Option<i64>>>);

impl Dated {
    fn told(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "the answer's date"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            date.and_then(|date| date.to_millis().ok());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::Difference;

    #[test]
    fn a_clock_is_judged_by_what_it_breaks() {
        let at = |seconds| skewed(TimeDelta::seconds(seconds));
        assert_eq!(at(0), Finding::Good("right to the second".to_owned()));
        assert_eq!(at(-9), Finding::Good("9 s behind AWS".to_owned()));
        assert_eq!(at(10), Finding::Doubtful("10 s ahead of AWS".to_owned()));
        assert!(matches!(at(-300), Finding::Bad(_)));
    }

    #[test]
    fn a_difference_is_told_with_both_sides() {
        let found = |state| Found {
            resource: "queue a".to_owned(),
            state,
        };
        assert_eq!(differing(found(State::AsDescribed)), None);
        let missing = differing(found(State::Missing));
        assert_eq!(missing.unwrap(), "queue a is missing");
        let difference = Difference {
            setting: "VisibilityTimeout",
            there: "30".to_owned(),
            described: "60".to_owned(),
        };
        assert_eq!(
            differing(found(State::Differs(vec![difference]))).unwrap(),
            r#"queue a differs: VisibilityTimeout is "30", not "60""#
        );
    }

    #[test]
    fn only_the_first_few_are_named() {
        assert_eq!(some(&["a", "b"]), "a, b");
        assert_eq!(some(&["a"; 7]), "a, a, a, a, a and 2 more");
    }
}
