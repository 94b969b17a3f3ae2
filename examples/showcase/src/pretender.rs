//! The showcase as another release of it might be: for the tests of replacements between releases.
//! What it pretends is in `SHOWCASE_PRETENDS`, words with commas between them.

use std::process::ExitCode;

use hatchery::Pretence;

fn main() -> ExitCode {
    let mut app = showcase::app();
    let words = std::env::var("SHOWCASE_PRETENDS").unwrap_or_default();
    for word in words.split(',') {
        app = match word {
            "protocol-1" => app.pretend(Pretence::Protocol(1)),
            "no-state" => app.pretend(Pretence::KnowsNoState),
            "no-resume" => app.pretend(Pretence::CannotResume),
            _ => app,
        };
    }
    app.run()
}
