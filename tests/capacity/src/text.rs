//! Figures as people read them.

/// The first line of a generated page.
pub(crate) const NOTE: &str = "<!-- Written by `cargo xtask generate`. Do not edit. -->\n";

/// With separators; three digits are enough for anybody.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 {
        grouped(&format!("{value:.0}"))
    } else if magnitude >= 10.0 {
        trimmed(&format!("{value:.1}"))
    } else {
        trimmed(&format!("{value:.2}"))
    }
}

pub(crate) fn dollars(value: f64) -> String {
    if value >= 100.0 {
        format!("${}", grouped(&format!("{value:.0}")))
    } else {
        format!("${value:.2}")
    }
}

/// Milliseconds below a second.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A row of a table.
pub(crate) fn row<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<String> = cells
        .into_iter()
        .map(|cell| cell.as_ref().to_owned())
        .collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table, with the line below it.
pub(crate) fn head(cells: &[&str]) -> String {
    format!("{}|{}\n", row(cells), "---|".repeat(cells.len()))
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |d| ("-", d));
    let mut text = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(-1_234.0), "-1,234");
        assert_eq!(number(100.0), "100");
        assert_eq!(number(10.0), "10");
        assert_eq!(number(0.5), "0.5");
        assert_eq!(dollars(99.999), "$100.00");
        assert_eq!(dollars(1_000.0), "$1,000");
        assert_eq!(
            (time(0.1234), time(1.25)),
            ("123 ms".into(), "1.2 s".into())
        );
    }
}
