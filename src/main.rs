//! The `verdigris` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    verdigris::cli::main()
}
