//! The bus that carries events outward. Its rules are those of whoever listens.

use async_trait::async_trait;
use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use waybill_messaging::Result;

use super::{Difference, Removed, Resource, State};
use crate::{Clients, Names, error::port_error};

pub(super) struct Bus(String);

impl Bus {
    pub(super) fn new(names: &Names) -> Self {
        Self(names.bus())
    }
}

#[async_trait]
impl Resource for Bus {
    fn name(&self) -> String {
        format!("event bus {}", self.0)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        let there = clients.eventbridge.describe_event_bus().name(&self.0);
        match there.send().await {
            Ok(_) => Ok(State::AsDescribed),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeEventBusError::is_resource_not_found_exception) =>
            {
                Ok(State::Missing)
            }
            Err(error) => Err(port_error("EventBridge cannot describe the bus", error)),
        }
    }

    async fn make(&self, clients: &Clients) -> Result<()> {
        let made = clients.eventbridge.create_event_bus().name(&self.0);
        let made = made.send().await;
        made.map_err(|error| port_error("EventBridge cannot make the bus", error))?;
        Ok(())
    }

    async fn mend(&self, _: &Clients, _: &[Difference]) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        if self.state(clients).await? == State::Missing {
            return Ok(Removed::WasNotThere);
        }
        let rules = clients.eventbridge.list_rules().event_bus_name(&self.0);
        let rules = rules.send().await;
        let rules = rules.map_err(|error| port_error("EventBridge cannot list rules", error))?;
        if let Some(rule) = rules.rules().first() {
            let name = rule.name().unwrap_or_default();
            let stays = format!("others listen: remove its rules first, such as {name}");
            return Ok(Removed::Stays(stays));
        }
        let gone = clients.eventbridge.delete_event_bus().name(&self.0);
        let gone = gone.send().await;
        gone.map_err(|error| port_error("EventBridge cannot remove the bus", error))?;
        Ok(Removed::Gone)
    }
}
