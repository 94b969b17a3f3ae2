//! Where a value comes from.

use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

/// The place that a value of the configuration comes from: a line of a file, a variable of the
/// environment, a flag, a line of code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    origin: Origin,
    /// From 1; 0 where there are no lines.
    line: u32,
    /// In characters, from 1; 0 where there are no lines.
    column: u32,
}

/// Ordered as the layers are: what comes later overrides what comes earlier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// The tree that the master handed to its child; the master knew the places.
    Effective,
    /// A file relative to the base directory, or one that a load unit carries: `plugin audit,
    /// config.default.toml`.
    File(Arc<str>),
    /// What a `load_config` has returned, by the name of its hook.
    Loaded(Arc<str>),
    Environment(Arc<str>),
    Flag(Arc<str>),
    /// A source file, where the configuration was changed by code.
    Code(Arc<str>),
}

impl Origin {
    /// As two words, for a child.
    fn to_words(&self) -> (&'static str, &str) {
        match self {
            Self::Effective => ("effective", ""),
            Self::File(name) => ("file", name),
            Self::Loaded(name) => ("loaded", name),
            Self::Environment(name) => ("environment", name),
            Self::Flag(name) => ("flag", name),
            Self::Code(name) => ("code", name),
        }
    }

    fn from_words(kind: &str, name: &str) -> Self {
        let name = || name.into();
        match kind {
            "file" => Self::File(name()),
            "loaded" => Self::Loaded(name()),
            "environment" => Self::Environment(name()),
            "flag" => Self::Flag(name()),
            "code" => Self::Code(name()),
            _ => Self::Effective,
        }
    }
}

impl Place {
    pub(super) fn effective() -> Self {
        Self::without_lines(Origin::Effective)
    }

    pub(super) fn environment(name: &str) -> Self {
        Self::without_lines(Origin::Environment(name.into()))
    }

    /// `name` includes its dashes.
    pub(super) fn flag(name: &str) -> Self {
        Self::without_lines(Origin::Flag(name.into()))
    }

    pub(super) fn file(name: &Arc<str>, line: u32, column: u32) -> Self {
        Self {
            origin: Origin::File(Arc::clone(name)),
            line,
            column,
        }
    }

    /// What a hook has returned.
    pub(super) fn loaded(hook: &str) -> Self {
        Self::without_lines(Origin::Loaded(hook.into()))
    }

    pub(super) fn code(location: &Location<'_>) -> Self {
        Self {
            origin: Origin::Code(location.file().into()),
            line: location.line(),
            column: location.column(),
        }
    }

    fn without_lines(origin: Origin) -> Self {
        Self {
            origin,
            line: 0,
            column: 0,
        }
    }

    /// The file, relative to the base directory; `None` for the environment, flags and code.
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(name) => Some(Path::new(&**name)),
            _ => None,
        }
    }

    /// Whether a flag of the command line set it.
    pub fn is_flag(&self) -> bool {
        matches!(self.origin, Origin::Flag(_))
    }

    /// The line in the file, from 1.
    pub fn line(&self) -> Option<u32> {
        (self.line > 0).then_some(self.line)
    }

    /// The column in the line, in characters, from 1.
    pub fn column(&self) -> Option<u32> {
        (self.column > 0).then_some(self.column)
    }

    /// `file:line`, `environment NAME` or `flag --name`, as the command `config` shows it.
    pub fn short(&self) -> String {
        match (&self.origin, self.line) {
            (Origin::File(name) | Origin::Code(name), line @ 1..) => format!("{name}:{line}"),
            _ => self.to_string(),
        }
    }

    pub(super) fn is_environment(&self) -> bool {
        matches!(self.origin, Origin::Environment(_))
    }

    /// Whether it is above what files and hooks say: variables and flags.
    pub(super) fn is_above_files(&self) -> bool {
        matches!(self.origin, Origin::Environment(_) | Origin::Flag(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Effective => f.write_str("effective configuration"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
            Origin::Loaded(name) => f.write_str(name),
            Origin::File(name) | Origin::Code(name) if self.line == 0 => f.write_str(name),
            Origin::File(name) | Origin::Code(name) => {
                write!(f, "{name}:{}:{}", self.line, self.column)
            }
        }
    }
}

/// Turns byte offsets of a text into lines and columns.
pub(super) struct Lines<'t> {
    name: Arc<str>,
    text: &'t str,
    /// Byte offset of each line's begin.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(name: &str, text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            name: name.into(),
            text,
            starts: std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
        }
    }

    /// The place of the byte at `offset`; the end of the text when it lies beyond.
    pub(super) fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let begin = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text[begin..offset].chars().count() + 1;
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place::file(&self.name, small(line), small(column))
    }
}

/// Places as numbers in a table of origins, for the children.
#[derive(Default)]
pub(super) struct Origins {
    known: Vec<Origin>,
}

impl Origins {
    /// The table that [`words`](Self::words) gave.
    pub(super) fn from_words(words: &[(String, String)]) -> Self {
        let known = words.iter();
        Self {
            known: known
                .map(|(kind, name)| Origin::from_words(kind, name))
                .collect(),
        }
    }

    pub(super) fn words(&self) -> Vec<(String, String)> {
        let words = self.known.iter().map(Origin::to_words);
        words
            .map(|(kind, name)| (kind.to_owned(), name.to_owned()))
            .collect()
    }

    /// Origin, line and column.
    pub(super) fn number(&mut self, place: &Place) -> [u32; 3] {
        // Few: one for each file, variable and flag. What comes next is mostly of the last one.
        let at = self
            .known
            .iter()
            .rposition(|origin| *origin == place.origin);
        let at = at.unwrap_or_else(|| {
            self.known.push(place.origin.clone());
            self.known.len() - 1
        });
        [
            u32::try_from(at).unwrap_or(u32::MAX),
            place.line,
            place.column,
        ]
    }

    pub(super) fn place(&self, [origin, line, column]: [u32; 3]) -> Place {
        let origin = self.known.get(origin as usize).cloned();
        Place {
            origin: origin.unwrap_or(Origin::Effective),
            line,
            column,
        }
    }
}
