//! Which directories and which executable an invocation is about.

use std::env;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The contract's base directory: the flag; else the working directory when it has `config/`; else
/// the directory that the application was built from when that exists; else the executable's.
pub(super) fn base_dir(flag: Option<&Path>, built_from: &str) -> anyhow::Result<PathBuf> {
    if let Some(flag) = flag {
        let path = std::path::absolute(flag)?;
        anyhow::ensure!(
            path.is_dir(),
            "--base-dir {}: no such directory",
            flag.display()
        );
        return Ok(path);
    }
    let working = env::current_dir().context("the working directory")?;
    if working.join("config").is_dir() {
        return Ok(working);
    }
    let built_from = Path::new(built_from);
    if built_from.is_dir() {
        return Ok(built_from.to_owned());
    }
    Ok(executable()?.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The run directory: the flag, else `run` in the base directory.
pub(super) fn run_dir(flag: Option<&Path>, base_dir: &Path) -> anyhow::Result<PathBuf> {
    Ok(match flag {
        Some(flag) => std::path::absolute(flag)?,
        None => base_dir.join("run"),
    })
}

/// The executable by the path that started it, symbolic links left as they are: that is where the
/// next release will be found.
pub(super) fn executable() -> anyhow::Result<PathBuf> {
    let invoked = env::args_os().next().unwrap_or_default();
    if invoked.as_bytes().contains(&b'/') {
        let path = std::path::absolute(&invoked)?;
        if path.is_file() {
            return Ok(path);
        }
    } else if let Some(search) = env::var_os("PATH") {
        let found = env::split_paths(&search)
            .map(|dir| dir.join(&invoked))
            .find(|p| p.is_file());
        if let Some(path) = found {
            return Ok(std::path::absolute(path)?);
        }
    }
    env::current_exe().context("cannot find the executable of this process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_decides_and_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(base_dir(Some(dir.path()), "/nowhere").unwrap(), dir.path());
        let missing = dir.path().join("missing");
        let error = base_dir(Some(&missing), "/nowhere").unwrap_err();
        assert!(error.to_string().contains("--base-dir"), "{error}");
    }

    #[test]
    fn the_crate_that_built_it_serves_when_the_working_directory_has_no_configuration() {
        // Tests run in the crate's own directory, which has none.
        let dir = tempfile::tempdir().unwrap();
        let built_from = dir.path().to_str().unwrap();
        assert_eq!(base_dir(None, built_from).unwrap(), dir.path());
        assert!(executable().unwrap().is_file());
    }
}
