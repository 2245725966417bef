//! The real binary, as its users meet it: killed, misused, fed with nonsense.

mod bad_input;
mod crash;
mod gateway;
mod start;
