#![doc = include_str!("../README.md")]

mod hidden;
mod ignores;
mod job;
mod kind;
mod place;
mod refusal;
mod roots;
mod walk;

pub use hidden::{Hidden, Ids};
pub use ignores::Ignores;
pub use job::{Job, Stop, blocking};
pub use kind::{Kind, shown};
pub use place::{Place, here};
pub use refusal::{Refusal, Refused};
pub use roots::{Error, OpenRoot, Root, Roots};
pub use walk::{
    Children, Cut, Found, Ignored, MAX_DIRECTORY_NAMES, Visit, Walk, children, is_visible,
};
