//! Starting: the first time, the second time, and where it must refuse.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use serde_json::json;

use crate::gateway::{BINARY, Gateway, command, free_address};

#[tokio::test]
async fn a_second_start_reuses_what_the_first_made() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let first = Gateway::start(&data_dir).await;
    let files = ["api-key", "master-key"].map(|name| data_dir.join(name));
    let made = files.clone().map(|file| fs::read(file).unwrap());
    for file in &files {
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
    }
    first.kill();
    let second = Gateway::start(&data_dir).await;
    assert_eq!(files.map(|file| fs::read(file).unwrap()), made);
    assert!(second.json("/calls").await["calls"].is_array());
}

#[tokio::test]
async fn two_processes_cannot_share_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let _first = Gateway::start(&data_dir).await;
    let second = command(&data_dir, free_address()).output().unwrap();
    refused(&second, "in use by another waybill process");
}

/// What is announced is an address that a client can connect to, and whose `Host` is answered.
#[tokio::test]
async fn a_gateway_on_every_address_announces_one_that_answers() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let loopback = free_address();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], loopback.port()));
    let gateway = Gateway::run(&data_dir, loopback, command(&data_dir, everywhere)).await;
    let announced = fs::read_to_string(data_dir.join("url")).unwrap();
    assert_eq!(announced.trim(), gateway.url(""));
    assert!(gateway.json("/calls").await["calls"].is_array());
}

/// The default root is the folder that the gateway was started in: where its configuration is.
#[tokio::test]
async fn the_tools_do_not_serve_what_the_gateway_was_configured_with() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write(".env", "WAYBILL_LOG=error # the-secret\n");
    write("waybill.toml", "# the-secret\nmcp-config = \"mcp.json\"\n");
    write(
        "mcp.json",
        "{ \"mcpServers\": {}, \"x-note\": \"the-secret\" }",
    );
    write("plain.txt", "the-secret\n");
    let (data_dir, address) = (directory.path().join("data"), free_address());
    let mut command = Command::new(BINARY);
    command
        .args(["up", "--data-dir", "data", "--listen", &address.to_string()])
        .current_dir(directory.path());
    let gateway = Gateway::run(&data_dir, address, command).await;
    let search = json!({ "pattern": "the-secret|wbk_", "includeIgnored": true });
    let placed = gateway.submit("files_search", search).await.unwrap();
    let placed: serde_json::Value = placed.json().await.unwrap();
    let ended = gateway.ended(placed["id"].as_str().unwrap()).await;
    let found = &ended["result"]["structuredContent"]["files"];
    assert_eq!(found.as_array().unwrap().len(), 1, "{ended}");
    assert_eq!(found[0]["path"], "plain.txt", "{ended}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    let database = rusqlite::Connection::open(data_dir.join("waybill.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let before = fs::read(data_dir.join("waybill.db")).unwrap();
    let output = command(&data_dir, free_address()).output().unwrap();
    refused(&output, "written by a newer waybill (schema 99");
    let after = fs::read(data_dir.join("waybill.db")).unwrap();
    assert!(after == before, "the file was changed");
}

#[test]
fn a_damaged_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    fs::write(
        data_dir.join("waybill.db"),
        "this is not a database, and never was".repeat(200),
    )
    .unwrap();
    let output = command(&data_dir, free_address()).output().unwrap();
    refused(&output, "damaged");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let data_dir = directory.path().join("data");
    let output = command(&data_dir, address).output().unwrap();
    refused(&output, &format!("cannot listen on {address}"));
    assert!(
        !data_dir.exists(),
        "nothing was made, and no worker started"
    );
}

#[test]
fn an_unknown_key_of_the_configuration_names_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("waybill.toml"),
        "lisen = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let output = command(&directory.path().join("data"), free_address())
        .output()
        .unwrap();
    refused(&output, "did you mean listen?");
}

fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(why), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
