//! One keep-alive HTTP connection: the generator must cost less than what it measures.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

pub(crate) struct Client {
    address: SocketAddr,
    key: Option<String>,
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, key: Option<&str>) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        Ok(Self {
            address,
            key: key.map(str::to_owned),
            sender,
            _connection: tasks,
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        let request = self.request("GET", path).body(Full::default())?;
        self.send(request).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        prefer: Option<&str>,
        body: Bytes,
    ) -> Result<Bytes> {
        let mut request = self
            .request("POST", path)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        self.send(request.body(Full::new(body))?).await
    }

    fn request(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string());
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .context("the body was cut")?
            .to_bytes();
        if status != StatusCode::OK && status != StatusCode::ACCEPTED {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}
