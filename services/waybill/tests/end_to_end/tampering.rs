//! Whoever writes into the database behind the gateway's back is found out, and the first entry
//! that is wrong is named.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::gateway::{BINARY, Gateway};

const SEGMENTS: usize = 4;

/// One segment of the trail, as it stands in its row.
struct Segment {
    row: i64,
    body: Vec<u8>,
    first: u64,
}

/// What somebody does to the database.
type Deed<'a> = &'a dyn Fn(&Connection);

#[tokio::test]
async fn an_edited_missing_or_moved_entry_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&directory.path().join("data")).await;
    while segments(&gateway.data_dir).len() < SEGMENTS {
        let call = gateway.submit("greet", json!({ "name": "Ada" })).await;
        let call: Value = call.unwrap().json().await.unwrap();
        gateway.ended(call["id"].as_str().unwrap()).await;
        // Longer than the window in which the sink gathers a segment.
        sleep(Duration::from_millis(150)).await;
    }
    let sound = gateway.kill();
    let output = verify(&sound);
    assert!(output.status.success(), "{output:?}");

    let [_, second, third, fourth] = &segments(&sound)[..SEGMENTS] else {
        unreachable!("so many were taken")
    };
    let edit = |database: &Connection| {
        let body = String::from_utf8(second.body.clone()).unwrap();
        let edited = body.replacen("dev.waybill.tool-call", "dev.waybill.fool-call", 1);
        assert_ne!(edited, body);
        write(database, second.row, edited.as_bytes());
    };
    let lose = |database: &Connection| {
        let removed = database.execute("DELETE FROM record WHERE id = ?1", [third.row]);
        assert_eq!(removed.unwrap(), 1);
    };
    let swap = |database: &Connection| {
        write(database, second.row, &third.body);
        write(database, third.row, &second.body);
    };
    let cut = |database: &Connection| {
        let sql = "DELETE FROM record WHERE partition = 'audit/segments' AND id >= ?1";
        assert!(database.execute(sql, [fourth.row]).unwrap() > 0);
    };
    let deeds: [(&str, Deed<'_>, String); 4] = [
        ("edit", &edit, "was edited".to_owned()),
        ("lose", &lose, format!("entry {} is missing", third.first)),
        (
            "swap",
            &swap,
            format!(
                "entry {} stands where entry {} belongs",
                third.first, second.first
            ),
        ),
        ("cut", &cut, format!("entry {} is missing", fourth.first)),
    ];
    for (name, deed, wanted) in deeds {
        let copy = directory.path().join(name);
        copy_files(&sound, &copy);
        deed(&Connection::open(copy.join("waybill.db")).unwrap());
        let output = verify(&copy);
        assert_eq!(output.status.code(), Some(7), "{name}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&wanted), "{name}: {said}, not {wanted}");
    }
}

fn verify(data_dir: &Path) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(["audit", "verify", "--data-dir"])
        .arg(data_dir);
    command.output().unwrap()
}

fn segments(data_dir: &Path) -> Vec<Segment> {
    let database = Connection::open(data_dir.join("waybill.db")).unwrap();
    let sql = "SELECT id, body FROM record WHERE partition = 'audit/segments' ORDER BY sort";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let body: Vec<u8> = row.get(1)?;
        let segment: Value = serde_json::from_slice(&body).unwrap();
        Ok(Segment {
            row: row.get(0)?,
            body,
            first: segment["entries"][0]["seq"].as_u64().unwrap(),
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn write(database: &Connection, row: i64, body: &[u8]) {
    let sql = "UPDATE record SET body = ?2 WHERE id = ?1";
    assert_eq!(database.execute(sql, (row, body)).unwrap(), 1);
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
