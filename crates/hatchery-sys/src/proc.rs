//! What `/proc` and the control groups tell: memory of a process, processors there are to use,
//! how short memory is.

use std::io;
use std::path::Path;

mod cgroup;
mod cpu;
mod oom;
pub mod pressure;
mod threads;

pub use cpu::{available_cpus, cpu_num};
pub use oom::OomKills;
pub use threads::{THREADS_MAX, Thread, syscall_name, threads};

/// Physical memory that a process has mapped, in bytes, shared pages counted in full.
///
/// One short read (about 10 µs), fit for every second. Processes that share much (forks of one
/// image) look larger than they are: see [`pss_bytes`]. `NotFound` when there is no such process; 0
/// for a zombie.
pub fn rss_bytes(pid: u32) -> io::Result<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = parse_statm(&statm).ok_or_else(|| unknown("statm"))?;
    Ok(pages.saturating_mul(page_size()))
}

/// Physical memory of a process, in bytes, each shared page counted by its share.
///
/// The kernel walks all its pages for this: 1 ms for a small process, 50 ms for 500 MiB, so ask it
/// rarely. `NotFound` when there is no such process, `PermissionDenied` for those of other users,
/// and an error or 0 for a zombie.
pub fn pss_bytes(pid: u32) -> io::Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = parse_pss(&rollup).ok_or_else(|| unknown("smaps_rollup"))?;
    Ok(kib.saturating_mul(1024))
}

/// The size of a page of memory, in bytes.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// The second number: resident pages.
fn parse_statm(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// The line `Pss:`, in KiB. Not `Pss_Anon:` and its like.
fn parse_pss(rollup: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    value.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

fn unknown(file: &str) -> io::Error {
    let what = format!("{file} is not as expected");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads a small file of the kernel's; nothing when it is not there or not to be read.
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statm_is_parsed() {
        let table = [
            ("2087 1012 881 17 0 126 0\n", Some(1012)),
            ("0 0 0 0 0 0 0\n", Some(0)),
            ("", None),
            ("2087", None),
            ("2087 -1 0", None),
        ];
        for (text, pages) in table {
            assert_eq!(parse_statm(text), pages, "{text:?}");
        }
    }

    #[test]
    fn the_share_is_found_among_its_like() {
        let rollup = "55cf0d16a000-7ffe6a5b6000 ---p 00000000 00:00 0    [rollup]\n\
            Rss:                2076 kB\nPss:                 312 kB\nPss_Dirty:           104 kB\n\
            Pss_Anon:            100 kB\nPss_File:            212 kB\nShared_Clean:       1964 kB\n";
        assert_eq!(parse_pss(rollup), Some(312));
        for wrong in [
            "",
            "Pss_Anon: 100 kB\n",
            "Pss: kB\n",
            "Pss: 12 MB\n",
            "Pss: 12\n",
        ] {
            assert_eq!(parse_pss(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn this_process_has_a_plausible_size() {
        let pid = std::process::id();
        let ballast = vec![1_u8; 32 << 20];
        let (rss, pss) = (rss_bytes(pid).unwrap(), pss_bytes(pid).unwrap());
        assert_eq!(
            ballast
                .iter()
                .step_by(4096)
                .filter(|byte| **byte == 1)
                .count(),
            8192
        );
        assert!((32 << 20..4 << 30).contains(&rss), "{rss}");
        assert!((32 << 20..4 << 30).contains(&pss), "{pss}");
        assert!(page_size() >= 4096 && page_size().is_power_of_two());
    }

    #[test]
    fn a_process_that_is_not_there_is_not_found() {
        for result in [rss_bytes(u32::MAX), pss_bytes(u32::MAX)] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
