//! The showcase as it is started.

use std::process::ExitCode;

fn main() -> ExitCode {
    showcase::app().run()
}
