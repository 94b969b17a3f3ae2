//! The blog as it is started.

use std::process::ExitCode;

fn main() -> ExitCode {
    blog::app().run()
}
