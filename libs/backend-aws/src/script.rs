//! Answers in place of a network, for what no emulator does.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::config::{
    Credentials,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use crate::{Clients, Requests, Settings};

/// Answers in order; what was asked, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = request.body().bytes().unwrap_or_default();
        let asked = String::from_utf8(asked.to_vec()).unwrap();
        self.requests.lock().unwrap().push(asked);
        let answer = self.answers.lock().unwrap().pop_front();
        let (status, body) = answer.expect("the script has an answer");
        let status = status.try_into().unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Script {
    /// Clients that it answers.
    pub(crate) async fn clients(answers: Vec<(u16, String)>) -> (Clients, Self) {
        let script = Self::default();
        script.say(answers);
        let connector = SharedHttpConnector::new(script.clone());
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(1));
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .credentials_provider(Credentials::new("id", "secret", None, None, "given"))
            .region(Region::from_static("eu-central-1"))
            .retry_config(retries)
            .load()
            .await;
        let clients = Clients::over(&config, &Settings::default(), Requests::default());
        (clients, script)
    }

    pub(crate) fn say(&self, answers: Vec<(u16, String)>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// What was asked; every answer was used.
    pub(crate) fn asked(&self) -> Vec<String> {
        assert_eq!(*self.answers.lock().unwrap(), []);
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    pub(crate) fn asked_json(&self) -> Vec<Value> {
        let asked = self.asked();
        asked
            .iter()
            .map(|body| serde_json::from_str(body).unwrap())
            .collect()
    }
}
