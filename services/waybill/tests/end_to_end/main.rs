//! The real binary, as its users meet it: killed, misused, fed with nonsense.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails here, and says what it has measured"
)]

#[cfg(feature = "aws")]
mod aws;
mod bad_input;
mod crash;
#[cfg(feature = "aws")]
mod fleet;
mod full_disk;
mod gateway;
#[cfg(feature = "aws")]
mod installation;
#[cfg(feature = "aws")]
mod lambda;
#[cfg(feature = "aws")]
mod requests;
mod secrets;
mod start;
mod tampering;
#[cfg(feature = "otel")]
mod traces;
