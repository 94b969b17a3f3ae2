//! Lines on stderr that cannot make anything worse.

use std::fmt;
use std::io::Write as _;

/// Writes one line to stderr. Unlike `eprintln!`, it does not panic when nobody reads there any
/// more: a child's stderr is a pipe to a master that may be dead.
pub(crate) fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
