//! Days and hours in a time zone.

use chrono::{DateTime, Utc};
use jiff::{
    Timestamp, civil,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{error::did_you_mean, pattern::Fit};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// A weekly window. Hours that pass midnight belong to the day on which they begin.
#[derive(Clone, Debug)]
pub(crate) struct When {
    /// From Monday.
    days: [bool; 7],
    /// Minutes since midnight, of the wall clock: from, to (not included).
    hours: Vec<(u16, u16)>,
    zone: TimeZone,
}

impl When {
    /// No days: all. No hours: the whole day.
    pub(crate) fn new(days: Vec<(usize, usize)>, hours: Vec<(u16, u16)>, zone: TimeZone) -> Self {
        let mut on = [days.is_empty(); 7];
        for (first, last) in days {
            let more = (last + 7 - first) % 7;
            for day in first..=first + more {
                on[day % 7] = true;
            }
        }
        let hours = if hours.is_empty() {
            vec![(0, MINUTES_OF_DAY)]
        } else {
            hours
        };
        Self {
            days: on,
            hours,
            zone,
        }
    }

    /// A time beyond the calendar (the year 9999) touches.
    pub(crate) fn fit(&self, now: DateTime<Utc>) -> Fit {
        match Timestamp::from_second(now.timestamp()) {
            Ok(now) => Fit::from(self.holds(now.to_zoned(self.zone.clone()).datetime())),
            Err(_) => Fit::Touches,
        }
    }

    fn holds(&self, wall: civil::DateTime) -> bool {
        let today = usize::try_from(wall.weekday().to_monday_zero_offset()).unwrap_or_default();
        let yesterday = (today + 6) % 7;
        let part = |part: i8| u16::try_from(part).unwrap_or_default();
        let minute = part(wall.hour()) * 60 + part(wall.minute());
        self.hours.iter().any(|&(from, to)| {
            if from < to {
                self.days[today] && (from..to).contains(&minute)
            } else {
                (self.days[today] && minute >= from) || (self.days[yesterday] && minute < to)
            }
        })
    }
}

/// `mon`, or `mon-fri`; `sat-mon` goes over the end of the week.
pub(crate) fn days(source: &str) -> Result<(usize, usize), String> {
    let day = |name: &str| {
        let found = DAYS.iter().position(|day| *day == name);
        found.ok_or_else(|| format!("{source:?} are no days: write \"sat\" or \"mon-fri\""))
    };
    let (first, last) = source.split_once('-').unwrap_or((source, source));
    Ok((day(first)?, day(last)?))
}

/// `09:00-17:30`.
pub(crate) fn hours(source: &str) -> Result<(u16, u16), String> {
    let minutes = |text: &str| {
        let fits = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
        let (hour, minute) = text.split_once(':').filter(|_| fits)?;
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        let time = hour * 60 + minute;
        (minute < 60 && time <= MINUTES_OF_DAY).then_some(time)
    };
    let wrong = || format!("{source:?} are no hours: write \"09:00-17:30\"");
    let (from, to) = source.split_once('-').ok_or_else(wrong)?;
    let (from, to) = minutes(from).zip(minutes(to)).ok_or_else(wrong)?;
    if from == to || from == MINUTES_OF_DAY {
        return Err(format!(
            "{source:?} has no beginning or no end: leave hours out for whole days"
        ));
    }
    Ok((from, to))
}

/// An IANA time zone, of those that this program carries.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    let zones = TimeZoneDatabase::bundled();
    let found = zones.get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        let known: Vec<_> = zones.available().map(|name| name.to_string()).collect();
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        format!("{name:?} is no IANA time zone, such as Europe/Berlin{hint}")
    })
}
