//! A directory whose files are served, and nothing else: the kernel is asked to resolve names
//! beneath it (`openat2`), so that no name, link or rename in between leads out.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;

use super::settings::Symlinks;

/// How often a name is resolved again because something was renamed meanwhile.
const TRIES_MAX: u32 = 16;

/// A file is opened so: not waited for, where it is a pipe, and never a terminal of ours.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether the kernel, or a filter in front of it, does not know `openat2` (before Linux 5.6).
static HAS_NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// One of the directories of a mount.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    symlinks: Symlinks,
}

impl Root {
    /// That directory, which must be there; afterwards another may take its place.
    pub(super) fn new(path: &Path, symlinks: Symlinks) -> Result<Self, String> {
        // The application's code may go elsewhere.
        let path = std::path::absolute(path)
            .map_err(|error| format!("the directory {}: {error}", path.display()))?;
        match open(&path, DIRECTORY, Mode::empty()) {
            Ok(_) => Ok(Self { path, symlinks }),
            Err(Errno::NOENT) => Err(format!("there is no directory {}", path.display())),
            Err(Errno::NOTDIR) => Err(format!("{} is no directory", path.display())),
            Err(error) => Err(format!("the directory {}: {error}", path.display())),
        }
    }

    /// Opens what is at `below`, which `path::resolve` has made, a file or a directory; `None` where
    /// nothing is that may be seen. Blocks.
    pub(super) fn open(&self, below: &str) -> io::Result<Option<File>> {
        let below = below.trim_end_matches('/');
        let below = if below.is_empty() { "." } else { below };
        // Opened anew for each file: a release may have put another directory in its place.
        let opened = open(&self.path, DIRECTORY, Mode::empty())
            .and_then(|root| open_below(&root, below, self.symlinks));
        match opened {
            Ok(file) => Ok(Some(file.into())),
            Err(error) if means_none(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn open_below(root: &OwnedFd, below: &str, symlinks: Symlinks) -> Result<OwnedFd, Errno> {
    let kept = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let resolve = match symlinks {
        Symlinks::Follow => return openat(root, below, FILE, Mode::empty()),
        Symlinks::Within => kept,
        Symlinks::Never => kept | ResolveFlags::NO_SYMLINKS,
    };
    if HAS_NO_OPENAT2.load(Ordering::Relaxed) {
        return walk(root, below);
    }
    for _ in 0..TRIES_MAX {
        match openat2(root, below, FILE, Mode::empty(), resolve) {
            // The kernel could not be sure that a `..` in a link stays below the root.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => {
                HAS_NO_OPENAT2.store(true, Ordering::Relaxed);
                return walk(root, below);
            }
            opened => return opened,
        }
    }
    walk(root, below)
}

/// The same without `openat2`, name by name and without any link.
fn walk(root: &OwnedFd, below: &str) -> Result<OwnedFd, Errno> {
    let mut directory: Option<OwnedFd> = None;
    let mut names = below.split('/').peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() {
            DIRECTORY
        } else {
            FILE
        };
        let here = directory.as_ref().unwrap_or(root);
        let opened = openat(here, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        directory = Some(opened);
    }
    directory.ok_or(Errno::NOENT)
}

/// Whether a client is told no more than that there is no such file.
fn means_none(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::ACCESS
            | Errno::PERM
            | Errno::INVAL
            | Errno::ILSEQ
            | Errno::NXIO
            | Errno::NODEV
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// `out/secret` beside `root` with a file, and links of all kinds.
    fn tree() -> TempDir {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("root/sub/deep")).unwrap();
        fs::create_dir_all(at("out")).unwrap();
        fs::write(at("out/secret"), "secret").unwrap();
        fs::write(at("root/sub/file"), "file").unwrap();
        for (target, link) in [
            ("sub/file", "root/within"),
            ("../sub/file", "root/sub/deep/../../sub/up"),
            ("../../within", "root/sub/deep/chain"),
            ("sub", "root/directory"),
            ("../out/secret", "root/out"),
            ("../out", "root/outdir"),
            ("loop", "root/loop"),
            ("/proc/self/root", "root/magic"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        symlink(at("out/secret"), at("root/absolute")).unwrap();
        dir
    }

    fn read(root: &Root, below: &str) -> Option<String> {
        let mut text = String::new();
        let mut file = root.open(below).unwrap()?;
        file.read_to_string(&mut text).unwrap();
        Some(text)
    }

    const LINKS_WITHIN: [&str; 4] = ["within", "sub/up", "sub/deep/chain", "directory/file"];
    const LINKS_OUT: [&str; 3] = ["out", "outdir/secret", "absolute"];

    #[test]
    fn links_are_followed_as_far_as_the_policy_says() {
        let dir = tree();
        let root = |symlinks| Root::new(&dir.path().join("root"), symlinks).unwrap();
        let file = Some("file".to_owned());
        for symlinks in [Symlinks::Within, Symlinks::Never, Symlinks::Follow] {
            let root = root(symlinks);
            assert_eq!(read(&root, "sub/file"), file);
            assert_eq!(read(&root, "loop"), None);
            assert_eq!(read(&root, "sub/file/x"), None);
            assert_eq!(read(&root, "none"), None);
            assert!(root.open("").unwrap().unwrap().metadata().unwrap().is_dir());
            let magic = root.open("magic/etc/passwd").unwrap();
            assert_eq!(magic.is_some(), symlinks == Symlinks::Follow);
            for link in LINKS_WITHIN {
                let expected = file.clone().filter(|_| symlinks != Symlinks::Never);
                assert_eq!(read(&root, link), expected, "{link} {symlinks:?}");
            }
            for link in LINKS_OUT {
                let secret = (symlinks == Symlinks::Follow).then(|| "secret".to_owned());
                assert_eq!(read(&root, link), secret, "{link} {symlinks:?}");
            }
        }
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let dir = tree();
        let root = open(dir.path().join("root"), DIRECTORY, Mode::empty()).unwrap();
        assert!(walk(&root, "sub/file").is_ok());
        assert!(walk(&root, ".").is_ok());
        for link in LINKS_WITHIN
            .iter()
            .chain(&LINKS_OUT)
            .chain(&["magic/etc", "loop"])
        {
            assert!(walk(&root, link).is_err_and(means_none), "{link}");
        }
    }

    /// Opening it must not wait for somebody who writes into it.
    #[test]
    fn a_pipe_is_opened_at_once() {
        let dir = tree();
        let pipe = dir.path().join("root/pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        let root = Root::new(&dir.path().join("root"), Symlinks::Within).unwrap();
        assert!(
            !root
                .open("pipe")
                .unwrap()
                .unwrap()
                .metadata()
                .unwrap()
                .is_file()
        );
    }
}
