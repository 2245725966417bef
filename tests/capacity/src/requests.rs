//! Requests of one call, from `docs/requests-per-call.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Requests {
    /// False: read from the code, not counted at the SDK.
    #[serde(skip)]
    pub(crate) measured: bool,
    /// One call at a time.
    sequential: PerCall,
    /// Many at a time.
    concurrent: PerCall,
}

/// The word by which the file says that nobody has counted yet.
const PROVISIONAL: &str = "PROVISIONAL";

/// `SERVICE.Operation` to how often.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PerCall(BTreeMap<String, f64>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Manner {
    Sequential,
    Concurrent,
}

impl Requests {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../../docs/requests-per-call.toml");
        let read: Self = toml::from_str(text).expect("requests-per-call.toml has its two tables");
        Self {
            measured: !text.contains(PROVISIONAL),
            ..read
        }
    }

    pub(crate) fn of(&self, manner: Manner) -> &PerCall {
        match manner {
            Manner::Sequential => &self.sequential,
            Manner::Concurrent => &self.concurrent,
        }
    }
}

impl PerCall {
    pub(crate) fn operation(&self, operation: &str) -> f64 {
        let named = self.0.iter().filter(|(name, _)| {
            let name = name.rsplit('.').next();
            name == Some(operation)
        });
        named.map(|(_, count)| count).sum()
    }

    pub(crate) fn service(&self, service: &str) -> f64 {
        let its = self.0.iter().filter(|(name, _)| {
            let name = name.split('.').next().unwrap_or_default();
            name.eq_ignore_ascii_case(service)
        });
        its.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_makes_at_least_what_it_needs() {
        let requests = Requests::read();
        for manner in [Manner::Sequential, Manner::Concurrent] {
            let per_call = requests.of(manner);
            assert!(per_call.operation("TransactWriteItems") >= 1.0);
            assert!(per_call.service("SNS") > 0.0);
            assert!(per_call.service("SQS") > 0.0);
        }
    }
}
