//! The server that the tests of `waybill-toolkit-upstream` start as a process: `upstream_fixture
//! [modern|legacy|deaf|stubborn]`.

#![expect(clippy::unwrap_used, reason = "the tests see a fixture that panics")]
#![expect(clippy::print_stderr, reason = "which is what it is for")]

mod server;

use rmcp::{ServiceExt, transport::stdio};
use server::Fixture;

#[tokio::main]
async fn main() {
    let era = std::env::args().nth(1).unwrap_or_default();
    eprintln!("fixture starts as {era}");
    let fixture = if era == "legacy" {
        Fixture::legacy()
    } else {
        Fixture::modern()
    };
    if era == "deaf" {
        // Never answers and does not leave when asked to.
        std::future::pending::<()>().await;
    }
    let server = fixture
        .serve(stdio())
        .await
        .expect("the handshake succeeds");
    server.waiting().await.expect("the server ends");
    if era == "stubborn" {
        std::future::pending::<()>().await;
    }
}
