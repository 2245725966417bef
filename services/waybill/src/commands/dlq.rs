//! `waybill dlq`: deliveries that were given up.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Session,
    client::{escaped, with_query},
    content::indented,
    exit::{Exit, Failure},
};

/// Dead letters asked for in one request; the gateway gives no more per subscription.
const PAGE: usize = 1_000;
const HEADER: [&str; 7] = [
    "ID",
    "SUBSCRIPTION",
    "TYPE",
    "SUBJECT",
    "TRIES",
    "DIED",
    "REASON",
];

#[derive(Args)]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Deliveries that were given up
    List {
        /// Only of this subscription
        #[arg(long, value_name = "NAME")]
        subscription: Option<String>,
        /// At most so many of each subscription
        #[arg(long, short = 'n', default_value_t = 100)]
        limit: usize,
    },
    /// One of them, with its event
    Show(Which),
    /// Deliver again, as new
    Redrive(RedriveArgs),
}

#[derive(Args)]
struct Which {
    /// The dead letter's id
    id: String,
    /// Its subscription, where the id alone names two
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
}

#[derive(Args)]
struct RedriveArgs {
    /// The dead letter's id
    #[arg(required_unless_present_any = ["all", "filters"], conflicts_with_all = ["all", "filters"])]
    id: Option<String>,
    /// Every one, of --subscription where that is given
    #[arg(long, conflicts_with = "filters")]
    all: bool,
    /// Only this subscription's
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Which letters; all that are given must hold.
#[derive(Args, Default)]
#[group(id = "filters", multiple = true)]
struct Filters {
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only this tenant's
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those whose reason has this in it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Filters {
    fn hold(&self, letter: &DeadLetter) -> bool {
        let is =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let reason = self.reason.as_ref();
        is(&self.kind, &letter.kind)
            && is(&self.tenant, &letter.tenant)
            && reason.is_none_or(|text| letter.reason.contains(text))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetter {
    subscription: String,
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    subject: Option<String>,
    tenant: Option<String>,
    reason: String,
    receives: u32,
    died_at: DateTime<Utc>,
    body: String,
}

pub(super) async fn run(session: &Session, args: DlqArgs) -> Result<Exit> {
    match args.action {
        Action::List {
            subscription,
            limit,
        } => list(session, subscription.as_deref(), limit).await,
        Action::Show(which) => show(session, &which.id, which.subscription.as_deref()).await,
        Action::Redrive(args) if args.all && !args.dry_run => {
            let subscription = args.subscription.as_deref();
            told_all(session, &redrive_all(session, subscription).await?)
        }
        Action::Redrive(args) => {
            let letters = redrive(session, &args).await?;
            told(session, &letters, args.dry_run)
        }
    }
}

async fn list(session: &Session, subscription: Option<&str>, limit: usize) -> Result<Exit> {
    let raw = letters(session, subscription, limit).await?;
    if session.out.json {
        session.out.json(&json!({ "deadLetters": raw }))?;
        return Ok(Exit::Done);
    }
    let rows = raw
        .into_iter()
        .map(|raw| Ok(row(session, &read(raw)?)))
        .collect::<Result<_>>()?;
    session.out.table(&HEADER, rows)?;
    Ok(Exit::Done)
}

fn row(session: &Session, letter: &DeadLetter) -> Vec<String> {
    vec![
        letter.id.clone(),
        letter.subscription.clone(),
        letter
            .kind
            .clone()
            .unwrap_or_else(|| "unreadable".to_owned()),
        letter.subject.clone().unwrap_or_default(),
        letter.receives.to_string(),
        session.out.when(letter.died_at),
        letter.reason.clone(),
    ]
}

async fn show(session: &Session, id: &str, subscription: Option<&str>) -> Result<Exit> {
    let raw = find(session, id, subscription).await?;
    let out = &session.out;
    if out.json {
        out.json(&raw)?;
        return Ok(Exit::Done);
    }
    let letter = read(raw)?;
    let fields = [
        ("id", Some(letter.id)),
        ("subscription", Some(letter.subscription)),
        ("type", letter.kind),
        ("subject", letter.subject),
        ("tenant", letter.tenant),
        ("tries", Some(letter.receives.to_string())),
        ("died", Some(out.when(letter.died_at))),
        ("reason", Some(letter.reason)),
    ];
    out.fields(
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    )?;
    let body: Option<Value> = serde_json::from_str(&letter.body).ok();
    out.text(&format!(
        "\n{}",
        body.as_ref().map_or(letter.body, indented)
    ))?;
    Ok(Exit::Done)
}

/// Each queue by itself: the gateway has the queue move them, however many there are.
async fn redrive_all(session: &Session, only: Option<&str>) -> Result<Vec<(String, u64)>> {
    let names = match only {
        Some(name) => vec![name.to_owned()],
        None => subscriptions(session).await?,
    };
    let mut redriven = Vec::with_capacity(names.len());
    for name in names {
        let path = format!("/admin/dlq/{}/redrive", escaped(&name));
        let answer = session.client.post(&path, HeaderMap::new(), &Value::Null);
        let letters = answer.await?["redriven"].as_u64();
        let letters = letters.context("the gateway sent no count of dead letters")?;
        redriven.push((name, letters));
    }
    Ok(redriven)
}

async fn subscriptions(session: &Session) -> Result<Vec<String>> {
    let document = session.client.get("/admin/queues").await?;
    let queues = document["queues"].as_array();
    let queues = queues.context("the gateway sent no list of queues")?;
    let names = queues
        .iter()
        .filter_map(|queue| queue["subscription"].as_str());
    Ok(names.map(str::to_owned).collect())
}

fn told_all(session: &Session, redriven: &[(String, u64)]) -> Result<Exit> {
    if session.out.json {
        let counts = redriven
            .iter()
            .map(|(name, letters)| json!({ "subscription": name, "letters": letters }));
        let document = json!({ "redriven": counts.collect::<Vec<_>>(), "dryRun": false });
        session.out.json(&document)?;
        return Ok(Exit::Done);
    }
    let letters: u64 = redriven.iter().map(|(_, letters)| letters).sum();
    session
        .out
        .text(&format!("{letters} will be delivered again"))?;
    Ok(Exit::Done)
}

async fn redrive(session: &Session, args: &RedriveArgs) -> Result<Vec<DeadLetter>> {
    let subscription = args.subscription.as_deref();
    let mut done = HashSet::new();
    let mut redriven = Vec::new();
    loop {
        let found = match &args.id {
            Some(id) => vec![find(session, id, subscription).await?],
            None => letters(session, subscription, PAGE).await?,
        };
        let found = found.into_iter().map(read).collect::<Result<Vec<_>>>()?;
        // One that died again meanwhile has had its turn.
        let fresh: Vec<_> = found
            .into_iter()
            .filter(|letter| args.filters.hold(letter))
            .filter(|letter| done.insert((letter.subscription.clone(), letter.id.clone())))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for letter in fresh {
            if !args.dry_run {
                let path = format!("{}/redrive", path(&letter.subscription, &letter.id));
                session
                    .client
                    .post(&path, HeaderMap::new(), &Value::Null)
                    .await?;
            }
            redriven.push(letter);
        }
        if args.id.is_some() || args.dry_run {
            break;
        }
    }
    Ok(redriven)
}

fn told(session: &Session, letters: &[DeadLetter], dry_run: bool) -> Result<Exit> {
    if session.out.json {
        let ids = letters
            .iter()
            .map(|letter| json!({ "subscription": letter.subscription, "id": letter.id }));
        let document = json!({ "redriven": ids.collect::<Vec<_>>(), "dryRun": dry_run });
        session.out.json(&document)?;
        return Ok(Exit::Done);
    }
    if dry_run {
        let rows = letters.iter().map(|letter| row(session, letter)).collect();
        session.out.table(&HEADER, rows)?;
    }
    let verb = if dry_run {
        "would be delivered"
    } else {
        "will be delivered"
    };
    session
        .out
        .text(&format!("{} {verb} again", letters.len()))?;
    Ok(Exit::Done)
}

async fn letters(
    session: &Session,
    subscription: Option<&str>,
    limit: usize,
) -> Result<Vec<Value>> {
    let path = match subscription {
        Some(name) => format!("/admin/dlq/{}", escaped(name)),
        None => "/admin/dlq".to_owned(),
    };
    let path = with_query(&path, &[("limit", Some(limit.min(PAGE).to_string()))]);
    let mut document = session.client.get(&path).await?;
    let letters = document["deadLetters"].as_array_mut();
    Ok(std::mem::take(
        letters.context("the gateway sent no list of dead letters")?,
    ))
}

async fn find(session: &Session, id: &str, subscription: Option<&str>) -> Result<Value> {
    if let Some(subscription) = subscription {
        return session.client.get(&path(subscription, id)).await;
    }
    let mut found = letters(session, None, PAGE).await?;
    found.retain(|letter| letter["id"] == id);
    let unknown = || Failure::new(Exit::NotFound, format!("there is no dead letter {id}"));
    let letter = found.pop().ok_or_else(unknown)?;
    if let Some(other) = found.pop() {
        let message = format!(
            "two subscriptions have a dead letter {id}; name one with --subscription: {}, {}",
            other["subscription"], letter["subscription"]
        );
        return Err(Failure::usage(message).into());
    }
    Ok(letter)
}

fn path(subscription: &str, id: &str) -> String {
    format!("/admin/dlq/{}/{}", escaped(subscription), escaped(id))
}

fn read(letter: Value) -> Result<DeadLetter> {
    serde_json::from_value(letter).context("the gateway sent what is no dead letter")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{
        Json, Router,
        extract::Path,
        routing::{get, post},
    };

    use super::{super::served::served, *};

    type Letters = Arc<Mutex<Vec<(String, String)>>>;

    /// A gateway whose letter `stubborn` dies again at once.
    fn gateway(letters: &[(&str, &str)]) -> (Router, Letters) {
        let owned = letters
            .iter()
            .map(|(queue, id)| ((*queue).to_owned(), (*id).to_owned()));
        let all: Vec<_> = owned.collect();
        let (left, driven) = (Arc::new(Mutex::new(all)), Letters::default());
        let (dead, counted) = (left.clone(), driven.clone());
        let list = get(async move || {
            let letters = left.lock().unwrap();
            let letters = letters.iter().map(|(subscription, id)| {
                json!({ "subscription": subscription, "id": id, "type": null, "subject": null,
                        "tenant": id, "reason": "it would not", "receives": 5,
                        "diedAt": "2026-07-28T12:00:00Z", "body": "{}" })
            });
            Json(json!({ "deadLetters": letters.collect::<Vec<_>>() }))
        });
        let redrive = post(async move |Path(letter): Path<(String, String)>| {
            if letter.1 != "stubborn" {
                dead.lock().unwrap().retain(|other| *other != letter);
            }
            counted.lock().unwrap().push(letter);
            Json(json!({}))
        });
        let queues = get(async || {
            let queue = |name| json!({ "subscription": name, "depth": {} });
            Json(json!({ "queues": [queue("a"), queue("b")] }))
        });
        let all = post(async |Path(name): Path<String>| {
            Json(json!({ "redriven": if name == "a" { 7 } else { 0 } }))
        });
        let app = Router::new()
            .route("/admin/queues", queues)
            .route("/admin/dlq", list)
            .route("/admin/dlq/{subscription}/redrive", all)
            .route("/admin/dlq/{subscription}/{id}/redrive", redrive);
        (app, driven)
    }

    fn args(given: &[&str]) -> RedriveArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: RedriveArgs,
        }
        let line = std::iter::once("redrive").chain(given.iter().copied());
        <Line as clap::Parser>::try_parse_from(line).unwrap().args
    }

    #[tokio::test]
    async fn all_are_redriven_queue_by_queue() {
        let (app, driven) = gateway(&[("a", "1"), ("b", "1")]);
        let gateway = served(app).await;
        let session = gateway.session();
        let dry = redrive(&session, &args(&["--all", "--dry-run"])).await;
        assert_eq!(dry.unwrap().len(), 2);
        let counts = [("a".to_owned(), 7), ("b".to_owned(), 0)];
        assert_eq!(redrive_all(&session, None).await.unwrap(), counts);
        let only_b = redrive_all(&session, Some("b")).await.unwrap();
        assert_eq!(only_b, counts[1..]);
        assert!(driven.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn some_are_redriven_once_even_where_one_dies_again() {
        let letters = [("a", "1"), ("b", "1"), ("a", "2"), ("a", "stubborn")];
        let (app, driven) = gateway(&letters);
        let gateway = served(app).await;
        let session = gateway.session();
        let of_one = redrive(&session, &args(&["--tenant", "1"])).await.unwrap();
        assert_eq!(of_one.len(), 2);
        let none = redrive(
            &session,
            &args(&["--reason", "it would", "--type", "other"]),
        )
        .await;
        assert_eq!(none.unwrap().len(), 0);
        let rest = redrive(&session, &args(&["--reason", "would not"]))
            .await
            .unwrap();
        assert_eq!(rest.len(), 2);
        assert_eq!(driven.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn one_is_named_by_its_id() {
        let (app, driven) = gateway(&[("a", "1"), ("b", "1"), ("b", "2")]);
        let gateway = served(app).await;
        let session = gateway.session();
        redrive(&session, &args(&["2"])).await.unwrap();
        assert_eq!(*driven.lock().unwrap(), [("b".to_owned(), "2".to_owned())]);
        let told = |result: Result<Vec<DeadLetter>>| {
            let error = result.err().unwrap();
            error.downcast_ref::<Failure>().unwrap().exit
        };
        let two = redrive(&session, &args(&["1"])).await;
        assert_eq!(told(two), Exit::Usage);
        let none = redrive(&session, &args(&["9"])).await;
        assert_eq!(told(none), Exit::NotFound);
    }
}
