//! What `[routes.options]` of `type = "static"` says.

use std::time::Duration;

use hatchery_master::settings::units;
use http::HeaderValue;
use serde::Deserialize;

/// How the files of one mount are served.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    /// The file that answers for its directory; "" is none.
    pub(super) index: String,
    /// Whether names that begin with a dot are served.
    pub(super) dotfiles: bool,
    pub(super) symlinks: Symlinks,
    /// Whether `.br`, `.zst` and `.gz` beside a file stand for it.
    pub(super) precompressed: bool,
    /// How long clients need not ask again. Not in the environment `local`.
    #[serde(with = "units::duration")]
    max_age: Duration,
    /// Whether clients never ask again within `max_age`.
    immutable: bool,
    /// Most that is kept in memory, in bytes.
    #[serde(with = "units::size")]
    pub(super) memory: u64,
    /// The longest file that is kept in memory, in bytes.
    #[serde(with = "units::size")]
    pub(super) memory_file: u64,
    /// How long a file in memory is believed; zero keeps none. Not in the environment `local`.
    #[serde(with = "units::duration")]
    pub(super) revalidate: Duration,
}

/// Which symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Symlinks {
    /// Relative ones that stay below the root.
    Within,
    /// None.
    Never,
    /// All: whoever can write below the root decides what is served.
    Follow,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            index: "index.html".to_owned(),
            dotfiles: false,
            symlinks: Symlinks::Within,
            precompressed: true,
            max_age: Duration::ZERO,
            immutable: false,
            memory: 32 << 20,
            memory_file: 256 << 10,
            revalidate: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// The same for `env`, or what is wrong: in `local`, a file that has changed is seen at once.
    pub(super) fn checked(mut self, env: &str) -> Result<Self, String> {
        if self.index.contains('/') || matches!(&*self.index, "." | "..") {
            let index = &self.index;
            return Err(format!("`index` is the name of a file, not `{index}`"));
        }
        if self.immutable && self.max_age.is_zero() {
            return Err("`immutable` needs a `max_age`, say \"365days\"".to_owned());
        }
        if self.memory_file > self.memory {
            return Err("`memory_file` is more than `memory`".to_owned());
        }
        if env == "local" {
            self.max_age = Duration::ZERO;
            self.revalidate = Duration::ZERO;
        }
        Ok(self)
    }

    /// `Cache-Control` of every file.
    pub(super) fn cache_control(&self) -> HeaderValue {
        let seconds = self.max_age.as_secs();
        let text = match (seconds, self.immutable) {
            (0, _) => return HeaderValue::from_static("no-cache"),
            (_, false) => format!("public, max-age={seconds}"),
            (_, true) => format!("public, max-age={seconds}, immutable"),
        };
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("no-cache"))
    }
}
