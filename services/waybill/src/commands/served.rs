//! A gateway of a test: any router behind a real socket.

use axum::Router;
use chrono::DateTime;
use tokio::{net::TcpListener, task::JoinSet};

use super::{Session, client::Client, print::Out};

/// Ends when it is dropped.
pub(super) struct Served {
    pub(super) url: String,
    _serving: JoinSet<()>,
}

pub(super) async fn served(app: Router) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    Served {
        url,
        _serving: serving,
    }
}

impl Served {
    pub(super) fn session(&self) -> Session {
        Session {
            client: self.client(),
            out: Out::plain(DateTime::UNIX_EPOCH),
        }
    }

    pub(super) fn client(&self) -> Client {
        Client::http(&self.url, "wbk_test").unwrap()
    }
}
