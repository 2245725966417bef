//! Patterns of arguments.

use std::{cmp::Ordering, fmt};

use serde_json::{Map, Value};

use super::{Fit, Text};

/// Items of a list that are looked at: of a longer one nothing can be told.
const MAX_ITEMS: usize = 10_000;

/// Which argument: a key of the arguments object, or a JSON pointer (RFC 6901) into it.
#[derive(Clone, Debug)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let mut escapes = source.split('~').skip(1);
        if source.starts_with('/') && escapes.any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(format!(
                "{source:?} is no JSON pointer: write ~0 for ~ and ~1 for /"
            ));
        }
        if source.is_empty() {
            return Err("an argument has a name".to_owned());
        }
        Ok(Self(source.to_owned()))
    }

    /// What is there; `null` is nothing.
    pub(crate) fn of<'a>(&self, arguments: &'a Map<String, Value>) -> Option<&'a Value> {
        let found = match self.0.strip_prefix('/') {
            None => arguments.get(&self.0),
            Some(pointer) => {
                let (first, rest) = match pointer.find('/') {
                    Some(at) => pointer.split_at(at),
                    None => (pointer, ""),
                };
                let first = first.replace("~1", "/").replace("~0", "~");
                arguments.get(&first).and_then(|value| value.pointer(rest))
            }
        };
        found.filter(|value| !value.is_null())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an argument must be. Of a list, every item must be it to be covered, and one to be touched.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    source: String,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Text(Text),
    /// Exactly this string, whatever is in it.
    Exact(String),
    Flag(bool),
    Number(Number),
    Range {
        min: Option<Number>,
        max: Option<Number>,
    },
    OneOf(Vec<Wanted>),
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i128),
    Real(f64),
}

impl Argument {
    pub(crate) fn parse(value: &toml::Value) -> Result<Self, String> {
        Ok(Self {
            source: value.to_string(),
            wanted: Wanted::parse(value)?,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn fit(&self, value: &Value) -> Fit {
        self.wanted.fit(value)
    }
}

impl Wanted {
    fn parse(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => Text::parse(text).map(Self::Text),
            toml::Value::Boolean(flag) => Ok(Self::Flag(*flag)),
            toml::Value::Integer(_) | toml::Value::Float(_) => {
                Number::parse(value).map(Self::Number)
            }
            toml::Value::Array(items) if !items.is_empty() => {
                let items = items.iter().map(Self::parse);
                items.collect::<Result<_, _>>().map(Self::OneOf)
            }
            toml::Value::Table(table) => Self::parse_table(table),
            other => Err(format!(
                "{other} is no pattern of an argument: write a glob, a number, true or false, a \
                 list of them, {{ min = 0, max = 10 }}, or {{ exactly = \"text\" }}"
            )),
        }
    }

    fn parse_table(table: &toml::Table) -> Result<Self, String> {
        if let Some(stranger) = table
            .keys()
            .find(|key| !["min", "max", "exactly"].contains(&key.as_str()))
        {
            let known = ["min", "max", "exactly"].into_iter();
            let hint = crate::error::did_you_mean(stranger, known);
            return Err(format!(
                "unknown key {stranger} in the pattern of an argument, which has min, max or \
                 exactly{hint}"
            ));
        }
        let number = |key| table.get(key).map(Number::parse).transpose();
        match (table.get("exactly"), number("min")?, number("max")?) {
            (Some(toml::Value::String(text)), None, None) => Ok(Self::Exact(text.clone())),
            (None, min, max) if min.is_some() || max.is_some() => {
                let empty = min
                    .zip(max)
                    .is_some_and(|(min, max)| min.order(max).is_gt());
                if empty {
                    return Err("no number is in this range: min is above max".to_owned());
                }
                Ok(Self::Range { min, max })
            }
            _ => Err(
                "write { min = 0, max = 10 }, one of the two, or { exactly = \"text\" }".to_owned(),
            ),
        }
    }

    fn fit(&self, value: &Value) -> Fit {
        match value {
            Value::Array(items) if items.len() <= MAX_ITEMS => {
                Fit::each(items.iter().map(|item| self.fit_one(item)))
            }
            one => self.fit_one(one),
        }
    }

    fn fit_one(&self, value: &Value) -> Fit {
        match (self, value) {
            (_, Value::Null) => Fit::No,
            // Whether it is in there cannot be told.
            (_, Value::Object(_) | Value::Array(_)) => Fit::Touches,
            (Self::OneOf(wanted), _) => Fit::any(wanted.iter().map(|each| each.fit_one(value))),
            (Self::Text(text), Value::String(is)) => text.fit(is),
            (Self::Exact(text), Value::String(is)) if text == is => Fit::Covers,
            (Self::Flag(flag), Value::Bool(is)) => Fit::from(flag == is),
            (_, Value::Number(is)) => match self.holds(Number::of(is)) {
                Some(holds) => Fit::from(holds),
                None => self.fit_loosely(&is.to_string()),
            },
            (_, Value::String(is)) => self.fit_loosely(is),
            (_, is) => self.fit_loosely(&is.to_string()),
        }
    }

    /// Whether the number is what is wanted. `None`: that, or it, is no number.
    fn holds(&self, number: Option<Number>) -> Option<bool> {
        let number = number?;
        match self {
            Self::Number(wanted) => Some(number.order(*wanted).is_eq()),
            Self::Range { min, max } => Some(
                min.is_none_or(|min| number.order(min).is_ge())
                    && max.is_none_or(|max| number.order(max).is_le()),
            ),
            _ => None,
        }
    }

    /// For what has another type than the pattern: a tool may take `"5"` for 5.
    fn fit_loosely(&self, is: &str) -> Fit {
        let number = is.trim().parse().ok().filter(|is: &f64| !is.is_nan());
        let fit = match self {
            Self::Text(text) => text.fit(is),
            Self::Exact(text) => Fit::from(text.eq_ignore_ascii_case(is)),
            Self::Flag(flag) => Fit::from(is.trim().eq_ignore_ascii_case(&flag.to_string())),
            Self::Number(_) => Fit::from(self.holds(number.map(Number::Real)) == Some(true)),
            // `150 EUR` may be in any range.
            Self::Range { .. } => Fit::from(self.holds(number.map(Number::Real)) != Some(false)),
            Self::OneOf(wanted) => Fit::any(wanted.iter().map(|each| each.fit_loosely(is))),
        };
        fit.min(Fit::Touches)
    }
}

impl Number {
    fn parse(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Integer(whole) => Ok(Self::Whole((*whole).into())),
            toml::Value::Float(real) if !real.is_nan() => Ok(Self::Real(*real)),
            other => Err(format!(
                "{other} is no number that others can be compared to"
            )),
        }
    }

    fn of(number: &serde_json::Number) -> Option<Self> {
        let whole = number.as_i64().map(i128::from);
        let whole = whole.or_else(|| number.as_u64().map(i128::from));
        whole
            .map(Self::Whole)
            .or_else(|| number.as_f64().map(Self::Real))
    }

    /// Neither is NaN: JSON has none, and the parsers refuse it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "only where the other is a float"
    )]
    fn order(self, other: Self) -> Ordering {
        let real = |number| match number {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        };
        if let (Self::Whole(one), Self::Whole(two)) = (self, other) {
            return one.cmp(&two);
        }
        let (one, two) = (real(self), real(other));
        one.partial_cmp(&two).unwrap_or(Ordering::Greater)
    }
}
