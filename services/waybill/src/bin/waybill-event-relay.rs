//! The service `event-relay` by itself: a Lambda function, or a process beside others.

use std::process::ExitCode;

fn main() -> ExitCode {
    waybill::host::event_relay()
}
