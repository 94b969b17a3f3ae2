//! `type = "static"`: the files of directories below a path.

#[cfg(feature = "static-files")]
pub(crate) use served::add;

#[cfg(feature = "static-files")]
mod served {
    use std::path::PathBuf;
    use std::sync::Arc;

    use axum::extract::Request;
    use http::Method;
    use serde::Deserialize;

    use crate::BoxError;
    use crate::router::Routes;
    use crate::routes::table::{Adding, Entry};
    use crate::static_files::{Mount, Options};

    /// `type = "static"`.
    #[derive(Deserialize)]
    struct StaticRoute {
        #[serde(rename = "type")]
        _kind: String,
        route: String,
        path: Directories,
        name: Option<String>,
        #[serde(default)]
        middlewares: Vec<String>,
        #[serde(default)]
        options: Options,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Directories {
        One(PathBuf),
        Any(Vec<PathBuf>),
    }

    /// Adds one to the table: the path itself, and everything below it.
    pub(crate) fn add(_: &Adding, routes: &mut Routes, entry: &Entry<'_>) -> Result<(), BoxError> {
        let route: StaticRoute = entry.read()?;
        if route.route.contains(['{', '}']) {
            let text = "the route of static files is a path without parameters, not";
            return Err(entry.wrong(format!("{text} `{}`", route.route)));
        }
        let directories = match route.path {
            Directories::One(directory) => vec![directory],
            Directories::Any(directories) => directories,
        };
        if directories.is_empty() {
            return Err(entry.wrong("`path` names at least one directory"));
        }
        let prefix = route.route.trim_end_matches('/');
        let roots = directories.iter().map(PathBuf::as_path);
        let mount = Mount::new(entry.app, prefix, roots, route.options);
        let mount = mount.map_err(|text| entry.wrong(text))?;
        let names: Vec<_> = directories
            .iter()
            .map(|path| path.to_string_lossy())
            .collect();
        let handler = format!("files of {}", names.join(", "));
        let itself = mount.has_index().then(|| format!("{prefix}/"));
        for path in itself.into_iter().chain([format!("{prefix}/{{*path}}")]) {
            let mount = Arc::clone(&mount);
            let answer = move |request: Request| Arc::clone(&mount).answer(request);
            let added = routes.route(&[Method::GET, Method::HEAD], &path, answer);
            added.handled_by(handler.clone());
            let name = route.name.as_deref().filter(|_| path.ends_with('}'));
            entry.finish(added, name, &route.middlewares);
        }
        Ok(())
    }
}

/// There are no static files in this build.
#[cfg(not(feature = "static-files"))]
pub(crate) fn add(
    _: &super::super::table::Adding,
    _: &mut crate::router::Routes,
    entry: &super::super::table::Entry<'_>,
) -> Result<(), crate::BoxError> {
    Err(entry.wrong(
        "`type = \"static\"` needs the feature `static-files` of Hatchery: in Cargo.toml, add it to \
         the `features` of `hatchery`",
    ))
}
