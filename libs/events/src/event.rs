//! The envelope: a CloudEvents 1.0 event with our extensions as fields.

use chrono::{DateTime, SubsecRound, Utc};
use cloudevents::{AttributesReader, EventBuilder, EventBuilderV10, event::ExtensionValue};
use serde_json::Value;

use crate::{EventData, EventId, EventType, IdError, TenantId, UnknownEventType};

/// An event on the bus.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub kind: EventType,
    /// URI reference of the emitter, `/waybill/SERVICE`.
    pub source: String,
    /// The call, credential or row that it is about.
    pub subject: String,
    /// Millisecond precision.
    pub time: DateTime<Utc>,
    pub tenant: TenantId,
    /// The same for all events of one story: the id of the event that began it.
    pub correlation: EventId,
    /// The event that caused this one.
    pub causation: Option<EventId>,
    /// W3C Trace Context.
    pub traceparent: Option<String>,
    pub data: Value,
}

/// What an emitter says; the envelope is stamped on it by [`Draft::stamp`].
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub kind: EventType,
    pub tenant: TenantId,
    pub subject: String,
    pub data: Value,
    /// The story that it belongs to, where its subject has one of its own. `None`: its cause's.
    pub story: Option<Story>,
}

/// What all events of one story share, whatever causes them: a tick ends many calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The event that began it.
    pub correlation: EventId,
    pub traceparent: Option<String>,
}

/// Where and when a draft becomes an event.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The emitting service.
    pub service: &'a str,
    pub now: DateTime<Utc>,
    /// Id of the cause: an event's, or the call's for the event that begins a story.
    pub cause: &'a str,
    /// The event that began the story; `None` when this one does.
    pub correlation: Option<&'a EventId>,
    /// The causing event, when there is one.
    pub causation: Option<&'a EventId>,
    pub traceparent: Option<&'a str>,
}

/// Why bytes are not one of our events.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a CloudEvent in structured JSON")]
    Envelope(#[source] serde_json::Error),
    #[error("the CloudEvent lacks {0}")]
    Missing(&'static str),
    #[error("the CloudEvent's type is not in the catalogue")]
    Type(#[from] UnknownEventType),
    #[error("the CloudEvent has a bad identifier")]
    Id(#[from] IdError),
    #[error("the data of {kind} do not fit its schema")]
    Data {
        kind: &'static str,
        source: serde_json::Error,
    },
}

impl Draft {
    pub fn new<D: EventData>(tenant: TenantId, subject: impl Into<String>, data: &D) -> Self {
        let data = serde_json::to_value(data).expect("event data are plain structs");
        Self {
            kind: D::TYPE,
            tenant,
            subject: subject.into(),
            data,
            story: None,
        }
    }

    /// The same, in a story of its own.
    #[must_use]
    pub fn within(mut self, story: Story) -> Self {
        self.story = Some(story);
        self
    }

    /// Makes the event. The id depends only on the cause, the service and the ordinal.
    pub fn stamp(self, stamp: &Stamp<'_>, ordinal: usize) -> Event {
        let id = EventId::derived(stamp.cause, stamp.service, ordinal);
        let (correlation, traceparent) = match self.story {
            Some(story) => (story.correlation, story.traceparent),
            None => (
                stamp.correlation.unwrap_or(&id).clone(),
                stamp.traceparent.map(str::to_owned),
            ),
        };
        Event {
            source: format!("/waybill/{}", stamp.service),
            time: stamp.now.trunc_subsecs(3),
            correlation,
            causation: stamp.causation.cloned(),
            traceparent,
            id,
            kind: self.kind,
            subject: self.subject,
            tenant: self.tenant,
            data: self.data,
        }
    }
}

impl<'a> Stamp<'a> {
    /// For what `event` causes in `service`.
    pub fn caused_by(event: &'a Event, service: &'a str, now: DateTime<Utc>) -> Self {
        Self {
            service,
            now,
            cause: event.id.as_str(),
            correlation: Some(&event.correlation),
            causation: Some(&event.id),
            traceparent: event.traceparent.as_deref(),
        }
    }
}

impl Event {
    /// The typed data.
    pub fn data<D: EventData>(&self) -> Result<D, Error> {
        D::deserialize(&self.data).map_err(|source| Error::Data {
            kind: self.kind.as_str(),
            source,
        })
    }

    pub fn to_cloud_event(&self) -> cloudevents::Event {
        let mut builder = EventBuilderV10::new()
            .id(self.id.as_str())
            .ty(self.kind.as_str())
            .source(self.source.as_str())
            .subject(self.subject.as_str())
            .time(self.time)
            .data("application/json", self.data.clone())
            .extension("tenantid", self.tenant.as_str())
            .extension("correlationid", self.correlation.as_str());
        if let Some(causation) = &self.causation {
            builder = builder.extension("causationid", causation.as_str());
        }
        if let Some(traceparent) = &self.traceparent {
            builder = builder.extension("traceparent", traceparent.as_str());
        }
        builder.build().expect("id, type and source are set")
    }

    pub fn from_cloud_event(event: cloudevents::Event) -> Result<Self, Error> {
        let text = |name: &'static str| match event.extension(name) {
            Some(ExtensionValue::String(text)) => Some(text.clone()),
            _ => None,
        };
        let required = |name: &'static str| text(name).ok_or(Error::Missing(name));
        let known = Self {
            id: EventId::parse(event.id())?,
            kind: EventType::parse(event.ty())?,
            source: event.source().clone(),
            subject: event.subject().ok_or(Error::Missing("subject"))?.to_owned(),
            time: *event.time().ok_or(Error::Missing("time"))?,
            tenant: TenantId::parse(&required("tenantid")?)?,
            correlation: EventId::parse(&required("correlationid")?)?,
            causation: text("causationid")
                .map(|t| EventId::parse(&t))
                .transpose()?,
            traceparent: text("traceparent"),
            data: Value::Null,
        };
        match event.into_parts_data() {
            Some(cloudevents::Data::Json(data)) => Ok(Self { data, ..known }),
            _ => Err(Error::Missing("JSON data")),
        }
    }

    /// Structured JSON mode (CloudEvents JSON event format 1.0).
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.to_cloud_event()).expect("a CloudEvent is plain JSON")
    }

    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_cloud_event(serde_json::from_slice(bytes).map_err(Error::Envelope)?)
    }
}

trait IntoData {
    fn into_parts_data(self) -> Option<cloudevents::Data>;
}

impl IntoData for cloudevents::Event {
    fn into_parts_data(mut self) -> Option<cloudevents::Data> {
        self.take_data().2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToolCallRequested;

    fn event() -> Event {
        let tenant = TenantId::parse("acme").unwrap();
        let stamp = Stamp {
            service: "ingress",
            now: DateTime::from_timestamp(1_780_000_000, 123_456_789).unwrap(),
            cause: "01jzzzzzzz1234",
            correlation: None,
            causation: None,
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        };
        Draft::new(tenant, "call", &ToolCallRequested::example()).stamp(&stamp, 0)
    }

    #[test]
    fn survives_the_wire() {
        let event = event();
        assert_eq!(Event::from_json(&event.to_json()).unwrap(), event);
        assert_eq!(
            event.data::<ToolCallRequested>().unwrap(),
            ToolCallRequested::example()
        );
    }

    #[test]
    fn every_type_parses_back_and_its_example_fits_its_struct() {
        for kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.as_str()).unwrap(), *kind);
            assert!(kind.data_example().is_object());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut wire: Value = serde_json::from_slice(&event().to_json()).unwrap();
        wire.as_object_mut().unwrap().remove("tenantid");
        let error = Event::from_json(&serde_json::to_vec(&wire).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the CloudEvent lacks tenantid");
        assert!(matches!(Event::from_json(b"{"), Err(Error::Envelope(_))));
    }
}
