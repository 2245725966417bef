//! What the caller is told when a path cannot be opened.

use std::{io, path::Path};

use waybill_toolkit::ToolError;

use crate::{Kind, Place, here, shown};

/// Names of one directory that are compared to the one that was not found.
const MAX_COMPARED: usize = 5_000;
/// Names that are suggested.
const MAX_NEAR: usize = 3;
/// Jaro-Winkler similarity from which a name may be the one that was meant.
const SIMILAR: f64 = 0.8;
/// `ENFILE` and `EMFILE`, the same on every Unix.
const OUT_OF_FILES: [i32; 2] = [23, 24];

/// Whether the directory handle refused because the path leads out of it. The system's own "not
/// permitted" carries an error number, this does not.
pub(crate) fn escapes(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Why a path cannot be opened.
#[derive(Debug)]
pub enum Refusal {
    /// It is the gateway's own data or configuration.
    Hidden,
    /// It is not a regular file, but this.
    Kind(Kind),
    /// It leads out of its root.
    Outside,
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if escapes(&error) {
            Self::Outside
        } else {
            Self::Io(error)
        }
    }
}

/// A path that cannot be opened, and why.
#[derive(Debug)]
pub struct Refused {
    pub place: Place,
    pub why: Refusal,
}

/// The error for the caller: what, where, and what to do.
impl From<Refused> for ToolError {
    fn from(refused: Refused) -> Self {
        let Refused { place, why } = refused;
        let (path, root) = (place.shown(), &place.root.name);
        Self::Invalid(match why {
            Refusal::Hidden => {
                format!("{path:?} is the gateway's own data or configuration: it is not served")
            }
            Refusal::Kind(Kind::Directory) => {
                format!("{path:?} in root {root} is a directory: list it with files_list")
            }
            Refusal::Kind(kind) => format!(
                "{path:?} in root {root} is not a regular file ({}): it cannot be read",
                kind.as_str()
            ),
            Refusal::Outside => format!(
                "{path:?} leads outside root {root} through a symlink: only files inside the roots \
                 can be read"
            ),
            Refusal::Io(error) => return by_the_system(&place, error),
        })
    }
}

fn by_the_system(place: &Place, error: io::Error) -> ToolError {
    let (path, root) = (place.shown(), &place.root.name);
    if error
        .raw_os_error()
        .is_some_and(|number| OUT_OF_FILES.contains(&number))
    {
        return ToolError::Unavailable {
            message: "the gateway has too many files open; try again".to_owned(),
            retry_after: None,
            source: Some(error.into()),
        };
    }
    ToolError::Invalid(match error.kind() {
        io::ErrorKind::NotFound => missing(place),
        io::ErrorKind::PermissionDenied => format!(
            "{path:?} in root {root} may not be read by this gateway (permission denied by the \
             system)"
        ),
        io::ErrorKind::NotADirectory => format!(
            "{path:?} in root {root}: it, or a part of it, is not a directory; files_stat tells \
             what it is"
        ),
        _ => format!("{path:?} in root {root} cannot be opened: {error}"),
    })
}

/// Says which part does not exist, and what does beside it.
fn missing(place: &Place) -> String {
    let (path, root) = (place.shown(), &place.root.name);
    let mut part = place.path.as_path();
    while let (Some(parent), Some(name)) = (part.parent(), part.file_name()) {
        if place.root.dir.symlink_metadata(part).is_ok() {
            return format!(
                "{path:?} in root {root}: {:?} is a broken symlink",
                shown(part)
            );
        }
        if place.root.dir.is_dir(here(parent)) {
            let near = near(place, parent, &name.to_string_lossy());
            let hint = if near.is_empty() {
                format!("files_list shows what is in {:?}", shown(parent))
            } else {
                format!("did you mean {}?", near.join(", "))
            };
            return format!("{path:?} does not exist in root {root}; {hint}");
        }
        part = parent;
    }
    format!("{path:?} does not exist in root {root}")
}

/// Paths in `parent` whose last part is like `name`, the best first.
fn near(place: &Place, parent: &Path, name: &str) -> Vec<String> {
    let Ok(entries) = place.root.dir.read_dir(here(parent)) else {
        return Vec::new();
    };
    let name = name.to_lowercase();
    let mut similar: Vec<(f64, String)> = entries
        .take(MAX_COMPARED)
        .filter_map(|entry| {
            let other = entry.ok()?.file_name();
            let likeness = strsim::jaro_winkler(&name, &other.to_string_lossy().to_lowercase());
            (likeness >= SIMILAR).then(|| (likeness, shown(&parent.join(other))))
        })
        .collect();
    similar.sort_by(|(a, one), (b, two)| b.total_cmp(a).then_with(|| one.cmp(two)));
    similar
        .into_iter()
        .take(MAX_NEAR)
        .map(|(_, path)| format!("{path:?}"))
        .collect()
}
