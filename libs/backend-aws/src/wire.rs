//! The SDK's HTTP layer: every request passes here, retries included. Each is counted by its
//! operation, and an emulator can be made to fail.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

use self::faults::Dice;
pub use self::{faults::Faults, operation::Operation};

mod faults;
mod operation;

/// How often this process has asked for each operation, tries of the SDK included: what AWS bills.
/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<BTreeMap<Operation, u64>>>);

impl Requests {
    /// Until now.
    pub fn counted(&self) -> BTreeMap<Operation, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn count(&self, operation: Operation) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(operation).or_default() += 1;
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.counted();
        let named = counted.iter().map(|(of, count)| (of.to_string(), count));
        f.debug_map().entries(named).finish()
    }
}

/// `inner`, its requests counted, and failing as `faults` say.
pub(crate) fn watched(
    inner: SharedHttpClient,
    requests: &Requests,
    faults: Option<Faults>,
) -> SharedHttpClient {
    SharedHttpClient::new(Watched {
        inner,
        requests: requests.clone(),
        dice: faults.map(|faults| Arc::new(Dice::new(faults))),
    })
}

#[derive(Clone, Debug)]
struct Watched<T> {
    inner: T,
    requests: Requests,
    dice: Option<Arc<Dice>>,
}

impl HttpClient for Watched<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Watched {
            inner: self.inner.http_connector(settings, components),
            requests: self.requests.clone(),
            dice: self.dice.clone(),
        })
    }
}

impl HttpConnector for Watched<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = Operation::of(&request);
        let fault = self.dice.as_ref().and_then(|dice| dice.throw());
        self.requests.count(operation.clone());
        match fault {
            None => self.inner.call(request),
            Some(fault) => fault.befall(self.inner.clone(), request, &operation),
        }
    }
}
