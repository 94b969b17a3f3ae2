//! The posts, each a file: all workers see the same ones, without a database.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::{env, process};

use hatchery::{Application, BoxError, Load};
use serde::{Deserialize, Serialize};

use crate::settings::Blog;

/// A post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Post {
    pub(crate) id: u64,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// Reads and writes posts.
#[derive(Debug)]
#[hatchery::load]
pub(crate) struct Store {
    directory: PathBuf,
}

impl Load for Store {
    type From = Application;

    fn load(app: &Application) -> Result<Self, BoxError> {
        let Blog { directory, .. } = app.section("blog")?;
        let directory = if directory.as_os_str().is_empty() {
            env::temp_dir().join("hatchery-blog")
        } else {
            directory
        };
        fs::create_dir_all(&directory)
            .map_err(|error| format!("blog.directory {}: {error}", directory.display()))?;
        Ok(Self { directory })
    }
}

impl Store {
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.ids()?.is_empty())
    }

    /// The ids of all posts, newest first.
    pub(crate) fn ids(&self) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.and_then(|id| id.parse::<u64>().ok()));
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// `None` when there is none with that number.
    pub(crate) fn find(&self, id: u64) -> io::Result<Option<Post>> {
        match fs::read(self.path(id)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Two workers never give the same number: the second one finds the file there.
    pub(crate) fn create(&self, title: &str, text: &str) -> io::Result<Post> {
        let mut id = self.ids()?.first().map_or(1, |last| last + 1);
        loop {
            let post = Post {
                id,
                title: title.to_owned(),
                text: text.to_owned(),
            };
            let draft = self.draft(&post)?;
            let linked = fs::hard_link(&draft, self.path(id));
            fs::remove_file(&draft)?;
            match linked {
                Ok(()) => return Ok(post),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => id += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Readers see the old text or the new one.
    pub(crate) fn replace(&self, post: &Post) -> io::Result<()> {
        fs::rename(self.draft(post)?, self.path(post.id))
    }

    /// Whether there was one.
    pub(crate) fn remove(&self, id: u64) -> io::Result<bool> {
        match fs::remove_file(self.path(id)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn draft(&self, post: &Post) -> io::Result<PathBuf> {
        let draft = self
            .directory
            .join(format!(".{}.{}", post.id, process::id()));
        File::create(&draft)?.write_all(&serde_json::to_vec(post)?)?;
        Ok(draft)
    }

    fn path(&self, id: u64) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }
}
