//! Everything that a command prints goes through here.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use waybill_messaging::Clock;

use super::span;

/// A column narrower than this cannot be read; a terminal that narrow gets long lines instead.
const MIN_WIDTH: u16 = 40;

/// Where a command's answer goes.
pub(super) struct Out {
    /// For programs: JSON only.
    pub(super) json: bool,
    /// `None`: standard output is not a terminal.
    terminal: Option<Terminal>,
    pub(super) now: DateTime<Utc>,
}

#[derive(Clone, Copy)]
struct Terminal {
    columns: Option<u16>,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal().then(|| {
            let size = rustix::termios::tcgetwinsize(&stdout).ok();
            Terminal {
                columns: size.map(|size| size.ws_col).filter(|c| *c >= MIN_WIDTH),
            }
        });
        Self {
            json,
            terminal,
            now: Clock::system().now(),
        }
    }

    /// One JSON document: indented for a reader, on one line for a pipe.
    pub(super) fn json(&self, document: &impl Serialize) -> Result<()> {
        let text = match self.terminal {
            Some(_) => serde_json::to_string_pretty(document),
            None => serde_json::to_string(document),
        };
        write(&(text.context("a document is plain JSON")? + "\n"))
    }

    pub(super) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
        write(&self.rendered(header, rows))
    }

    /// Names and values of one thing, below each other.
    pub(super) fn fields(
        &self,
        fields: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<()> {
        let rows = fields
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value]);
        write(&self.rendered(&[], rows.collect()))
    }

    fn rendered(&self, header: &[&str], rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if !header.is_empty() {
            table.set_header(header.iter().copied());
        }
        if let Some(columns) = self.terminal.and_then(|terminal| terminal.columns) {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(columns);
        }
        for row in rows {
            // A cell is one line: what others wrote must not look like a row of ours.
            table.add_row(
                row.iter()
                    .map(|cell| visible(&cell.replace(['\n', '\t'], " "))),
            );
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
            .lines()
            .fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }

    /// Text that somebody else wrote, a newline behind it. On a terminal its control characters are
    /// shown, not obeyed.
    pub(super) fn text(&self, text: &str) -> Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        match self.terminal {
            Some(_) => write(&(visible(text) + end)),
            None => write(&format!("{text}{end}")),
        }
    }

    /// `3m ago` for a reader, RFC 3339 for a pipe.
    pub(super) fn when(&self, moment: DateTime<Utc>) -> String {
        match self.terminal {
            Some(_) => span::relative(moment, self.now),
            None => moment.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    #[cfg(test)]
    pub(super) fn plain(now: DateTime<Utc>) -> Self {
        Self {
            json: false,
            terminal: None,
            now,
        }
    }

    #[cfg(test)]
    pub(super) fn on_terminal(now: DateTime<Utc>, columns: u16) -> Self {
        Self {
            json: false,
            terminal: Some(Terminal {
                columns: Some(columns),
            }),
            now,
        }
    }
}

/// A remark beside the answer, on standard error. Whether anybody reads it changes nothing.
pub(super) fn note(text: &str) {
    let text = if io::stderr().is_terminal() {
        visible(text)
    } else {
        text.to_owned()
    };
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// One line of JSON, terminal or not.
pub(super) fn line(document: &(impl Serialize + ?Sized)) -> Result<()> {
    write(&(serde_json::to_string(document).context("a document is plain JSON")? + "\n"))
}

fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// Control characters but newline and tab as `\u{..}`: text of others must not steer a terminal.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn rows(cells: &[&[&str]]) -> Vec<Vec<String>> {
        cells
            .iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect()
    }

    #[test]
    fn a_table_is_plain_columns() {
        let text = Out::plain(now()).rendered(
            &["NAME", "STATE"],
            rows(&[&["a", "running"], &["longer", "done"]]),
        );
        assert_eq!(text, "NAME    STATE\na       running\nlonger  done\n");
    }

    #[test]
    fn a_pipe_gets_long_lines_and_a_terminal_wraps_them() {
        let long = "word ".repeat(30);
        let cells = rows(&[&["a", &long]]);
        let piped = Out::plain(now()).rendered(&["A", "B"], cells.clone());
        assert_eq!(piped.lines().count(), 2);
        let shown = Out::on_terminal(now(), 60).rendered(&["A", "B"], cells);
        assert!(shown.lines().count() > 2, "{shown}");
        assert!(shown.lines().all(|line| line.len() <= 60), "{shown}");
    }

    #[test]
    fn nobody_elses_text_steers_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\n\tc\r"), "a\\u{1b}[2Jb\n\tc\\r");
        let cells = rows(&[&["one\ntwo\u{9b}"]]);
        assert_eq!(
            Out::plain(now()).rendered(&["X"], cells),
            "X\none two\\u{9b}\n"
        );
    }

    #[test]
    fn times_are_exact_in_a_pipe() {
        assert_eq!(Out::plain(now()).when(now()), "1970-01-01T00:00:00.000Z");
        assert_eq!(Out::on_terminal(now(), 80).when(now()), "now");
    }
}
