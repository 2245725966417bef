//! The service `tool-executor` by itself: a Lambda function, or a process beside others.

use std::process::ExitCode;

fn main() -> ExitCode {
    waybill::host::tool_executor()
}
