//! What runs in the processes that the master starts, and in the one process of `--single`.
//!
//! - [`child`]: what the master handed down: environment, welcome, descriptors.
//! - [`control`]: the thread that listens to the master, whatever the serving loops do.
//! - [`crew`]: the serving threads of one process, as one.
//! - [`worker`], [`agent`], [`single`]: the three kinds of process.

mod agent;
mod child;
mod control;
mod crew;
mod shutdown;
mod single;
mod worker;

pub(crate) use agent::run_agent;
pub(crate) use child::Child;
pub use shutdown::Shutdown;
pub(crate) use single::run_single;
pub(crate) use worker::run_worker;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::BoxError;

/// Runs code of the application that may fail or panic; either way there is a reason.
fn guarded<T>(build: impl FnOnce() -> Result<T, BoxError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(build)) {
        Ok(result) => result.map_err(|error| with_causes(&*error)),
        Err(panic) => Err(format!("panicked: {}", panic_text(&*panic))),
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text.push_str(": ");
            text.push_str(&further);
        }
        cause = error.source();
    }
    text
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_has_its_reason_in_one_line() {
        let refused = std::io::Error::new(std::io::ErrorKind::Other, "refused");
        let failed = guarded::<()>(|| Err(Box::new(refused)));
        assert_eq!(failed, Err("refused".into()));
        let panicked = guarded::<()>(|| panic!("no {}", "database"));
        assert_eq!(panicked, Err("panicked: no database".into()));
    }
}
