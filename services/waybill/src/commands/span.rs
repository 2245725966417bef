//! Spans of time as people write them: `90s`, `10m`, `2h`, `1d`, `4w`.

use chrono::{DateTime, TimeDelta, Utc};

const UNITS: [(char, u64); 5] = [
    ('s', 1),
    ('m', 60),
    ('h', 3_600),
    ('d', 86_400),
    ('w', 7 * 86_400),
];

/// Whole seconds. At most 100 years, so that no time overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(u64);

impl Span {
    const MAX_S: u64 = 100 * 366 * 86_400;

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not a span of time; write 90s, 10m, 2h, 1d or 4w");
        let unit = text.chars().last().ok_or_else(refused)?;
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(refused)?;
        let number: u64 = text[..text.len() - unit.len_utf8()]
            .parse()
            .map_err(|_| refused())?;
        let seconds = number
            .checked_mul(*factor)
            .filter(|seconds| *seconds <= Self::MAX_S);
        seconds
            .map(Self)
            .ok_or_else(|| format!("{text} is longer than a hundred years"))
    }

    pub(super) fn seconds(self) -> u64 {
        self.0
    }
}

/// A moment: RFC 3339, or a span before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    At(DateTime<Utc>),
    Ago(Span),
}

impl Since {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(moment.to_utc()));
        }
        Span::parse(text).map(Self::Ago).map_err(|_| {
            format!("{text:?} is not a time; write 2026-07-28T12:00:00Z, or 10m, 2h or 1d")
        })
    }

    pub(super) fn moment(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(moment) => moment,
            Self::Ago(Span(seconds)) => {
                now - TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default())
            }
        }
    }
}

/// `3m ago`, `in 2d`; the largest unit only.
pub(super) fn relative(moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - moment).num_seconds();
    match (largest(seconds.unsigned_abs()), seconds) {
        (_, 0) => "now".to_owned(),
        (text, 1..) => format!("{text} ago"),
        (text, _) => format!("in {text}"),
    }
}

/// `850ms`, `12s`, `3m`.
pub(super) fn milliseconds(duration_ms: u64) -> String {
    if duration_ms < 1_000 {
        format!("{duration_ms}ms")
    } else {
        largest(duration_ms / 1_000)
    }
}

fn largest(seconds: u64) -> String {
    // A span of days reads better in days than in weeks.
    let unit = UNITS
        .iter()
        .rev()
        .skip(1)
        .find(|(_, factor)| seconds >= *factor);
    let (name, factor) = unit.unwrap_or(&UNITS[0]);
    format!("{}{name}", seconds / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("1d", 86_400),
            ("4w", 2_419_200),
        ] {
            assert_eq!(Span::parse(text).map(Span::seconds), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "-1h",
            "1.5h",
            "1y",
            "١m",
            "3µ",
            "99999999999w",
        ] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn since_takes_a_moment_or_a_span() {
        let now = at("2026-07-28T12:00:00Z");
        let since = |text| Since::parse(text).map(|since| since.moment(now));
        assert_eq!(since("2h"), Ok(at("2026-07-28T10:00:00Z")));
        assert_eq!(
            since("2026-07-28T12:00:00+02:00"),
            Ok(at("2026-07-28T10:00:00Z"))
        );
        assert!(
            since("yesterday")
                .unwrap_err()
                .contains("2026-07-28T12:00:00Z")
        );
    }

    #[test]
    fn moments_in_words() {
        let now = at("2026-07-28T12:00:00Z");
        for (moment, text) in [
            ("2026-07-28T12:00:00Z", "now"),
            ("2026-07-28T11:59:01Z", "59s ago"),
            ("2026-07-28T11:57:00Z", "3m ago"),
            ("2026-07-01T12:00:00Z", "27d ago"),
            ("2026-07-28T14:30:00Z", "in 2h"),
        ] {
            assert_eq!(relative(at(moment), now), text);
        }
        assert_eq!(milliseconds(850), "850ms");
        assert_eq!(milliseconds(61_000), "1m");
    }
}
