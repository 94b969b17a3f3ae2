//! What an application's own crate says of itself at build time.

/// Name, version and place of the crate that makes the application; see [`package!`](crate::package).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The crate's name: the application's, unless it is given another.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The directory that it was built from, where `config/` is looked for in development.
    pub manifest_dir: &'static str,
    /// The module in which it was asked for: what is registered in it or below belongs to it.
    pub module: &'static str,
}

impl Package {
    /// The root module of the crate.
    pub(crate) fn root(&self) -> &'static str {
        self.module.split("::").next().unwrap_or(self.module)
    }
}

/// The [`Package`] of the crate in which it is written.
///
/// ```
/// let package = hatchery::package!();
/// assert_eq!(package.name, env!("CARGO_PKG_NAME"));
/// ```
#[macro_export]
macro_rules! package {
    () => {
        $crate::Package {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            manifest_dir: env!("CARGO_MANIFEST_DIR"),
            module: module_path!(),
        }
    };
}
