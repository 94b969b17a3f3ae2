//! Templates in files.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Value, context, path_loader};
use regex_lite::Regex;

use super::ViewSettings;
use crate::config::suggest::did_you_mean;
use crate::routes::Reply;
use crate::{Application, Error};

/// The application's templates.
pub(in crate::routes) struct Views {
    app: Application,
    /// Where there is a route with a template.
    engine: OnceCell<Engine>,
}

#[derive(Clone)]
struct Engine {
    environment: Arc<Environment<'static>>,
    root: PathBuf,
}

/// A template.
pub(in crate::routes) struct View {
    environment: Arc<Environment<'static>>,
    name: String,
    kind: HeaderValue,
}

impl Views {
    pub(in crate::routes) fn new(app: &Application) -> Self {
        Self {
            app: app.clone(),
            engine: OnceCell::new(),
        }
    }

    /// A template, read and checked together with those that it is made of.
    pub(in crate::routes) fn view(&self, name: &str) -> Result<View, String> {
        let engine = self.engine()?;
        engine.check(name, &mut BTreeSet::new())?;
        Ok(View {
            environment: Arc::clone(&engine.environment),
            name: name.to_owned(),
            kind: HeaderValue::from_static(content_type(name)),
        })
    }

    fn engine(&self) -> Result<&Engine, String> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let config = self.app.config();
        let settings: ViewSettings = config.section("view").map_err(|error| error.to_string())?;
        let root = config.base_dir().join(settings.root);
        // The application's code may go elsewhere.
        let root = std::path::absolute(&root)
            .map_err(|error| format!("the directory {}: {error}", root.display()))?;
        let mut environment = Environment::new();
        environment.set_loader(path_loader(&root));
        environment.set_auto_reload(self.app.env() == "local");
        Ok(self.engine.get_or_init(|| Engine {
            environment: Arc::new(environment),
            root,
        }))
    }
}

impl Engine {
    /// Reads a template and those that it names.
    fn check(&self, name: &str, seen: &mut BTreeSet<String>) -> Result<(), String> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let template = self
            .environment
            .get_template(name)
            .map_err(|error| self.problem(name, &error))?;
        for other in named_in(template.source()) {
            self.check(&other, seen)
                .map_err(|problem| format!("the template `{name}`: {problem}"))?;
        }
        Ok(())
    }

    fn problem(&self, name: &str, error: &minijinja::Error) -> String {
        let root = self.root.display();
        if error.kind() == ErrorKind::TemplateNotFound {
            let mut known = beside(&self.root, name);
            // A file that is there, but not below the directory.
            known.retain(|other| other != name);
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            return format!("there is no template `{name}` in {root}{hint}");
        }
        let line = error
            .line()
            .map_or_else(String::new, |line| format!(":{line}"));
        let detail = error.detail().unwrap_or_default();
        let cause = std::error::Error::source(error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        format!("{root}/{name}{line}: {}: {detail}{cause}", error.kind())
    }
}

/// The templates in the directory where `name` should be.
fn beside(root: &Path, name: &str) -> Vec<String> {
    let prefix = name.rsplit_once('/').map(|(directory, _)| directory);
    let files = fs::read_dir(root.join(prefix.unwrap_or_default()));
    let files = files.into_iter().flatten().flatten();
    files
        .filter_map(|file| file.file_name().into_string().ok())
        .map(|file| match prefix {
            Some(prefix) => format!("{prefix}/{file}"),
            None => file,
        })
        .collect()
}

/// The names in `extends`, `include`, `import` and `from` that are written out and have to be there.
fn named_in(source: &str) -> Vec<String> {
    const SILENT: &str = r"(?s)\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}";
    const NAMING: &str =
        r#"\{%[-+]?\s*(?:extends|include|import|from)\s+(?:"([^"]*)"|'([^']*)')([^%]*)%\}"#;
    let (Ok(silent), Ok(naming)) = (Regex::new(SILENT), Regex::new(NAMING)) else {
        return Vec::new();
    };
    let spoken = silent.replace_all(source, "");
    naming
        .captures_iter(&spoken)
        .filter(|found| !found[3].contains("ignore missing"))
        .filter_map(|found| found.get(1).or(found.get(2)))
        .map(|name| name.as_str().to_owned())
        .collect()
}

impl View {
    /// What a handler returns, as a page. A response of the handler's own stays what it is.
    pub(in crate::routes) fn show(&self, reply: Reply) -> Response {
        match self.render(reply) {
            Ok(response) => response,
            Err(error) => {
                let text = format!("the template `{}` cannot show this", self.name);
                Error::internal(text).with_source(error).into_response()
            }
        }
    }

    fn render(&self, reply: Reply) -> Result<Response, crate::BoxError> {
        let data: Value = match reply {
            Reply::Response(response) => return Ok(response),
            Reply::Text(text) => text.into(),
            Reply::Json(bytes) => serde_json::from_slice(&bytes)?,
        };
        let data = if data.kind() == ValueKind::Map {
            data
        } else {
            context! { data }
        };
        let page = self.environment.get_template(&self.name)?.render(data)?;
        Ok(([(header::CONTENT_TYPE, self.kind.clone())], page).into_response())
    }
}

/// Only what escapes its data is HTML.
fn content_type(name: &str) -> &'static str {
    let stem = [".j2", ".jinja2", ".jinja"]
        .iter()
        .find_map(|end| name.strip_suffix(end));
    match stem.unwrap_or(name).rsplit('.').next() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("xml") => "application/xml",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}
