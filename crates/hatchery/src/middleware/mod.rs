//! Named middleware: tower layers in the order of the configuration.

mod next;

pub use next::{Answering, MiddlewareArguments, Next, Wrap};
