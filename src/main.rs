//! The `mailwarden` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailwarden::cli::run()
}
