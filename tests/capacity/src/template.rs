//! What `infra/` gives the functions: read from where the template is made from.

use serde::Deserialize;

/// A service as `infra/services.toml` has it; what is not ours is left out.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Service {
    name: String,
    /// In MB.
    memory: f64,
    /// Whether it has a queue.
    #[serde(default)]
    subscribes: bool,
    /// Deliveries of one invocation.
    #[serde(default)]
    pub(crate) batch: f64,
    /// How long a batch fills, in seconds.
    #[serde(default)]
    pub(crate) window: f64,
    /// Functions at once; `None`: the parameter `MaximumConcurrency`.
    pub(crate) concurrency: Option<f64>,
}

#[derive(Deserialize)]
struct Services {
    service: Vec<Service>,
}

/// The part of the template that the pages are about.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) ingress: Service,
    pub(crate) executor: Service,
    pub(crate) audit_sink: Service,
    pub(crate) event_relay: Service,
    /// Of all services.
    pub(crate) queues: f64,
    /// Alarms with a price each.
    pub(crate) alarms: f64,
}

impl Template {
    pub(crate) fn read() -> Self {
        let services = include_str!("../../../infra/services.toml");
        let services: Services = toml::from_str(services).expect("services.toml has services");
        let named = |name: &str| {
            let mut services = services.service.iter();
            let found = services.find(|service| service.name == name);
            found
                .cloned()
                .expect("the four services are in services.toml")
        };
        let template = include_str!("../../../infra/template.yaml");
        let alarms = template.matches("Type: AWS::CloudWatch::Alarm\n");
        Self {
            ingress: named("ingress"),
            executor: named("tool-executor"),
            audit_sink: named("audit-sink"),
            event_relay: named("event-relay"),
            queues: count(services.service.iter().filter(|service| service.subscribes)),
            alarms: count(alarms),
        }
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> f64 {
    u32::try_from(items.count()).unwrap_or(u32::MAX).into()
}

impl Service {
    pub(crate) fn memory_gb(&self) -> f64 {
        self.memory / 1024.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assumptions::Assumptions;

    /// Parameters are in YAML, which nothing here reads.
    #[test]
    fn parameters_have_the_defaults_that_are_assumed() {
        let parameters = include_str!("../../../infra/parts/parameters.yaml");
        let default = |name: &str| -> f64 {
            let (_, text) = parameters.split_once(&format!("  {name}:\n")).unwrap();
            let line = text
                .lines()
                .find_map(|line| line.trim().strip_prefix("Default: "));
            line.unwrap().parse().unwrap()
        };
        let lambda = Assumptions::read().lambda;
        let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(close(lambda.executors, default("MaximumConcurrency")));
        assert!(close(
            lambda.requests_per_second,
            default("RequestsPerSecond")
        ));
    }

    #[test]
    fn the_template_has_alarms_and_batches() {
        let template = Template::read();
        assert!(template.alarms > 10.0);
        assert!(template.queues > 2.0);
        assert!(template.audit_sink.batch > template.executor.batch);
    }
}
