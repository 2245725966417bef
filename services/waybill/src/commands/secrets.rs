//! `waybill secrets`.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_messaging::{SecretName, SecretValue};
use zeroize::Zeroizing;

use super::{
    Session,
    client::escaped,
    exit::{Exit, Failure},
};

#[derive(Args)]
pub(super) struct SecretsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Keep a secret, or a new value for it: typed in unseen, or from standard input
    Set {
        /// 1 to 64 of a-z 0-9 - _ /, such as github/token
        #[arg(value_parser = SecretName::parse)]
        name: SecretName,
    },
    /// The names of the secrets; nothing shows their values
    List,
    /// Forget a secret
    Remove {
        #[arg(value_parser = SecretName::parse)]
        name: SecretName,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    changed_at: DateTime<Utc>,
}

pub(super) async fn run(session: &Session, args: SecretsArgs) -> Result<Exit> {
    match args.action {
        Action::Set { name } => set(session, &name).await?,
        Action::List => list(session).await?,
        Action::Remove { name } => remove(session, &name).await?,
    }
    Ok(Exit::Done)
}

async fn set(session: &Session, name: &SecretName) -> Result<()> {
    let value = value(name)?;
    let body = json!({ "value": value.expose() });
    let document = session.client.put(&path(name), &body).await?;
    if session.out.json {
        return session.out.json(&document);
    }
    let told = format!("secret {name} is set; a gateway reads it when it starts");
    session.out.text(&told)
}

async fn list(session: &Session) -> Result<()> {
    let mut document = session.client.get("/admin/secrets").await?;
    if session.out.json {
        return session.out.json(&document);
    }
    let listed: Vec<Listed> = serde_json::from_value(document["secrets"].take())
        .context("the gateway sent no list of secrets")?;
    let rows = listed
        .into_iter()
        .map(|each| vec![each.name, session.out.when(each.changed_at)]);
    session.out.table(&["NAME", "CHANGED"], rows.collect())
}

async fn remove(session: &Session, name: &SecretName) -> Result<()> {
    let document: Value = session.client.delete(&path(name)).await?;
    if session.out.json {
        return session.out.json(&document);
    }
    session.out.text(&format!("secret {name} is removed"))
}

fn path(name: &SecretName) -> String {
    format!("/admin/secrets/{}", escaped(name.as_str()))
}

/// Never from an argument: others see those, and the shell remembers them.
fn value(name: &SecretName) -> Result<SecretValue> {
    let text = if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("{name} (is not shown): "));
        Zeroizing::new(typed.context("the terminal cannot be read")?)
    } else {
        piped(&mut io::stdin())?
    };
    SecretValue::new(text).map_err(|error| Failure::usage(error.to_string()).into())
}

/// All of it, without the one end of line that `echo` or an editor puts behind.
fn piped(input: &mut impl io::Read) -> Result<Zeroizing<String>> {
    // With room for that end, and for one byte that is too many.
    let limit = SecretValue::MAX_BYTES + "\r\n".len() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let read = input.take(limit as u64).read_to_end(&mut bytes);
    read.context("cannot read standard input")?;
    let end = [&b"\r\n"[..], b"\n"];
    let text = end.iter().find_map(|end| bytes.strip_suffix(*end));
    let text = text.unwrap_or(&bytes);
    if text.len() > SecretValue::MAX_BYTES {
        let most = SecretValue::MAX_BYTES;
        return Err(Failure::usage(format!("a secret has at most {most} bytes")).into());
    }
    let text = str::from_utf8(text)
        .map_err(|_| Failure::usage("a secret is text in UTF-8; put other bytes into base64"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_end_of_line_is_not_the_secrets() {
        for (given, taken) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            (" a\nb\n\n", " a\nb\n"),
            ("\n", ""),
        ] {
            assert_eq!(*piped(&mut given.as_bytes()).unwrap(), taken, "{given:?}");
        }
        let longest = "é".repeat(SecretValue::MAX_BYTES / 2);
        for end in ["", "\n", "\r\n"] {
            let given = format!("{longest}{end}");
            assert_eq!(*piped(&mut given.as_bytes()).unwrap(), longest);
        }
        for too_long in [format!("{longest}x"), longest.repeat(2)] {
            let refused = piped(&mut too_long.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains("at most 65536 bytes"), "{refused}");
        }
        assert!(piped(&mut &b"\xff"[..]).is_err());
    }
}
