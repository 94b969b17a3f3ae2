//! The text of the modules.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::found::{Found, Kind, Modules};

/// Names that a module can only have as `r#type`.
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Writes what was found to `file`, if it says something new.
pub(crate) fn write(file: &Path, found: &Found) -> io::Result<()> {
    let text = text(found);
    if fs::read_to_string(file).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::write(file, text)
}

pub(crate) fn text(found: &Found) -> String {
    let mut text = String::new();
    modules(&mut text, &found.modules, "");
    text.push_str("/// Everything of `extend`.\npub mod prelude {\n");
    let extend = found.modules.get("extend").map(|module| &module.kind);
    match extend {
        Some(Kind::Directory(files)) => {
            for name in files.keys() {
                let name = identifier(name);
                _ = writeln!(text, "    pub use super::extend::{name}::*;");
            }
        }
        Some(Kind::File) => text.push_str("    pub use super::extend::*;\n"),
        None => {}
    }
    text.push_str("}\n");
    text
}

fn modules(text: &mut String, modules: &Modules, indent: &str) {
    for (name, module) in modules {
        let identifier = identifier(name);
        let stem = module.file.trim_end_matches(".rs").trim_end_matches("/mod");
        if stem != identifier {
            _ = writeln!(text, "{indent}#[path = {:?}]", module.file);
        }
        match &module.kind {
            Kind::File => _ = writeln!(text, "{indent}pub mod {identifier};"),
            Kind::Directory(below) => {
                _ = writeln!(text, "{indent}pub mod {identifier} {{");
                self::modules(text, below, &format!("{indent}    "));
                _ = writeln!(text, "{indent}}}");
            }
        }
    }
}

fn identifier(name: &str) -> String {
    if KEYWORDS.contains(&name) {
        return format!("r#{name}");
    }
    name.to_owned()
}
