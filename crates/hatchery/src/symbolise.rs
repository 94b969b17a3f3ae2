//! Names for the addresses of a stack: `APP --symbolise [--emit-fd N] OFFSET...`, hidden.
//!
//! Stacks are recorded as addresses; a short-lived process of the very executable that they are of
//! finds their names, so that neither the one that is blocked or dead nor the master has to read
//! debug information. It answers with one line of JSON for each offset, an address in the file as
//! `0x1a2b`: `{"offset":6699,"frames":["app::checkout (app/src/checkout.rs:15)"]}`, functions that
//! were inlined there first. Where nothing is known, `frames` is empty.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use addr2line::{Loader, demangle_auto};
use hatchery_sys::process;
use serde::Serialize;

use crate::complain::complain;

/// The first word of the command line.
const FLAG: &str = "--symbolise";

/// Most offsets that are looked up.
const OFFSETS_MAX: usize = 1024;

/// No executable is longer, in bytes; beyond it the arithmetic of debug information overflows.
const OFFSET_MAX: u64 = 1 << 40;

/// Most functions that are named for one offset.
const INLINED_MAX: usize = 16;

/// The longest name of a function, in bytes: those of futures within futures have no end.
const NAME_MAX: usize = 300;

/// This process's own executable, whatever has become of its path.
const EXECUTABLE: &str = "/proc/self/exe";

/// One line of the answer.
#[derive(Serialize)]
struct Line {
    offset: u64,
    frames: Vec<String>,
}

/// Answers, if that is what this process was started for.
pub(crate) fn asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == FLAG).then(|| match answer(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{FLAG}: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn answer(arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let mut arguments = arguments.peekable();
    let mut output: Box<dyn Write> = if arguments.next_if(|word| word == "--emit-fd").is_some() {
        let fd = arguments.next().and_then(|fd| fd.to_str()?.parse().ok());
        let fd = fd.ok_or_else(|| invalid("--emit-fd wants a number"))?;
        Box::new(File::from(process::take_fd(fd)?))
    } else {
        Box::new(io::stdout())
    };
    let offsets = arguments.take(OFFSETS_MAX).map(|word| offset(&word));
    let offsets = offsets.collect::<io::Result<Vec<_>>>()?;
    let names = Loader::new(EXECUTABLE).map_err(|error| io::Error::other(error.to_string()))?;
    for offset in offsets {
        let frames = frames(&names, offset);
        let mut line = serde_json::to_vec(&Line { offset, frames })?;
        line.push(b'\n');
        // Each as soon as it is known: who waits may have no time for all.
        output.write_all(&line)?;
    }
    output.flush()
}

fn offset(word: &OsStr) -> io::Result<u64> {
    let digits = word.to_str().and_then(|word| word.strip_prefix("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| invalid("an offset is written as 0x1a2b"))
}

/// The functions at an offset, innermost first.
pub(crate) fn frames(names: &Loader, offset: u64) -> Vec<String> {
    let mut lines: Vec<(Option<String>, Option<Place>)> = Vec::new();
    if offset > OFFSET_MAX {
        return Vec::new();
    }
    let Ok(mut found) = names.find_frames(offset) else {
        return Vec::new();
    };
    while let Ok(Some(frame)) = found.next() {
        let function = frame.function.as_ref();
        let name = function.and_then(|function| Some(function.demangle().ok()?.into_owned()));
        let place = frame
            .location
            .and_then(|location| Some((short(location.file?).to_owned(), location.line)));
        lines.push((name, place));
        if lines.len() == INLINED_MAX {
            break;
        }
    }
    // The symbol names the outermost of them with its path, which short debug information lacks.
    if let Some(symbol) = names.find_symbol(offset) {
        let symbol = demangle_auto(symbol.into(), None).into_owned();
        match lines.last_mut() {
            Some((name, _)) if !name.as_ref().is_some_and(|name| name.contains("::")) => {
                *name = Some(symbol);
            }
            Some(_) => {}
            None => lines.push((Some(symbol), None)),
        }
    }
    lines
        .into_iter()
        .map(|(name, place)| show(name, place))
        .collect()
}

/// A source file, and the line in it.
type Place = (String, Option<u32>);

fn show(name: Option<String>, place: Option<Place>) -> String {
    let mut text = name.unwrap_or_else(|| "?".to_owned());
    text.truncate(text.floor_char_boundary(NAME_MAX));
    match place {
        Some((file, Some(line))) => format!("{text} ({file}:{line})"),
        Some((file, None)) => format!("{text} ({file})"),
        None => text,
    }
}

/// A source file from its package's directory on: where that was is of no use to a reader.
fn short(file: &str) -> &str {
    let end = file.rfind("/src/").unwrap_or(file.len());
    let start = file.get(..end).and_then(|before| before.rfind('/'));
    start
        .and_then(|start| file.get(start + 1..))
        .unwrap_or(file)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
