//! The tools, one file each.

pub(crate) mod glob;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod roots;
pub(crate) mod search;
pub(crate) mod stat;
pub(crate) mod tree;

/// Where a listing starts when the caller names nothing.
const ROOT_ITSELF: &str = ".";

/// What the caller asked for, or `default`; never more than `most`.
fn limit(asked: Option<u32>, default: usize, most: usize) -> usize {
    asked.map_or(default, |asked| {
        usize::try_from(asked).unwrap_or(most).clamp(1, most)
    })
}
