//! `${VAR}`, `${secret:NAME}`, and either with a default: `${VAR:-default}`.

use super::{Error, invalid};

/// In front of the name of a secret.
const SECRET: &str = "secret:";

/// Replaces every variable of `text`; `path` is for the error. A `$` without a brace stays.
pub(super) fn expand(
    text: &str,
    path: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let body = &rest[start + 2..];
        let Some(end) = body.find('}') else {
            return Err(invalid(path, "\"${\" has no closing brace"));
        };
        let (variable, default) = with_default(&body[..end]);
        match lookup(variable).or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => return Err(unset(path, variable)),
        }
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The names of the secrets in `text`.
pub(super) fn secrets(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|body| {
        let (variable, _) = with_default(body.split_once('}')?.0);
        variable.strip_prefix(SECRET)
    })
}

fn with_default(variable: &str) -> (&str, Option<&str>) {
    match variable.split_once(":-") {
        Some((variable, default)) => (variable, Some(default)),
        None => (variable, None),
    }
}

fn unset(path: &str, variable: &str) -> Error {
    let path = path.to_owned();
    match variable.strip_prefix(SECRET).map(str::to_owned) {
        Some(name) => Error::NoSecret { path, name },
        None => Error::Unset {
            path,
            variable: variable.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_the_rest() {
        let lookup = |name: &str| (name == "A").then(|| "${B}".to_owned());
        for (text, expanded) in [
            ("plain $A $", "plain $A $"),
            ("<${A}${A}>", "<${B}${B}>"),
            ("${B:-x:-y}${B:-}", "x:-y"),
        ] {
            assert_eq!(expand(text, "p", &lookup).unwrap(), expanded);
        }
    }
}
