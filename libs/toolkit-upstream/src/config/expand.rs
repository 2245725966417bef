//! `${VAR}` and `${VAR:-default}`.

use super::{Error, invalid};

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
        let (variable, default) = match body[..end].split_once(":-") {
            Some((variable, default)) => (variable, Some(default)),
            None => (&body[..end], None),
        };
        match lookup(variable).or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => {
                return Err(Error::Unset {
                    path: path.to_owned(),
                    variable: variable.to_owned(),
                });
            }
        }
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
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
