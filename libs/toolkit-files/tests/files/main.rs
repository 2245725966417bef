//! The files tools as a worker calls them.

mod bench;
mod bounds;
mod escape;
mod property;
mod read;
mod search;
mod walk;
