//! What the kernel says of another process's threads: whether each runs, sleeps or waits, where in
//! the kernel, and how much processor time it has had.
//!
//! Some microseconds a thread. None of these files needs the other process's memory map, so a
//! process that is stuck in the kernel does not make the reader wait. `wchan` and `syscall` need
//! the rights of a debugger, which a parent has over children of its own user; without them the
//! rest is still told.

use std::io;
use std::path::Path;

use super::read;

/// Most threads that are looked at; the first are those that were started first.
pub const THREADS_MAX: usize = 32;

/// One thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number; the main thread's is the process's.
    pub tid: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The kernel's letter: `R` runs or could, `S` sleeps, `D` waits in the kernel and cannot be
    /// killed, `T` is stopped, `Z` is dead.
    pub state: char,
    /// The processor time that it has had, milliseconds, to the kernel's tick (10 ms mostly).
    pub cpu_ms: u64,
    /// The function of the kernel that it sleeps in, where that is told.
    pub wchan: Option<String>,
    /// The system call that it is in; `None` when it is in none or that is not told.
    pub syscall: Option<i64>,
}

/// The threads of a process now, in the order of their numbers; at most [`THREADS_MAX`].
///
/// `NotFound` when there is no such process. Threads that end meanwhile are left out.
pub fn threads(pid: u32) -> io::Result<Vec<Thread>> {
    let tick_ms = 1000 / rustix::param::clock_ticks_per_second().max(1);
    let mut tids: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/task"))?
        .take(THREADS_MAX)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_unstable();
    let look = |tid: u32| {
        let directory = format!("/proc/{pid}/task/{tid}");
        let file = |name: &str| read(Path::new(&format!("{directory}/{name}")));
        let (name, state, ticks) = parse_stat(&file("stat")?)?;
        Some(Thread {
            tid,
            name,
            state,
            cpu_ms: ticks.saturating_mul(tick_ms),
            wchan: file("wchan").filter(|name| !name.is_empty() && name != "0"),
            syscall: file("syscall").and_then(|text| parse_syscall(&text)),
        })
    };
    Ok(tids.into_iter().filter_map(look).collect())
}

/// The name of a system call in which threads are often found; others have none here.
pub fn syscall_name(number: i64) -> Option<&'static str> {
    let known = [
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_readv, "readv"),
        (libc::SYS_writev, "writev"),
        (libc::SYS_pread64, "pread64"),
        (libc::SYS_pwrite64, "pwrite64"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_fdatasync, "fdatasync"),
        (libc::SYS_flock, "flock"),
        (libc::SYS_fcntl, "fcntl"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_connect, "connect"),
        (libc::SYS_accept4, "accept4"),
        (libc::SYS_recvfrom, "recvfrom"),
        (libc::SYS_recvmsg, "recvmsg"),
        (libc::SYS_sendto, "sendto"),
        (libc::SYS_sendmsg, "sendmsg"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_pselect6, "pselect6"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_wait4, "wait4"),
        (libc::SYS_waitid, "waitid"),
        (libc::SYS_mmap, "mmap"),
        (libc::SYS_munmap, "munmap"),
        (libc::SYS_madvise, "madvise"),
        (libc::SYS_sched_yield, "sched_yield"),
        (libc::SYS_restart_syscall, "restart_syscall"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, "poll"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_select, "select"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, "epoll_wait"),
    ];
    let found = known.iter().find(|(known, _)| *known == number);
    found.map(|(_, name)| *name)
}

/// Name, state, and the ticks spent in user and kernel mode.
fn parse_stat(stat: &str) -> Option<(String, char, u64)> {
    // The name may hold anything, parentheses and spaces too; the last one closes it.
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is the third field, user and system time are the 14th and 15th.
    let user: u64 = fields.nth(10)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), state, user.saturating_add(system)))
}

/// The first field: a number, −1 outside of any call, or `running`.
fn parse_syscall(text: &str) -> Option<i64> {
    let number = text.split_whitespace().next()?.parse().ok()?;
    (number >= 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_line_is_read_whatever_the_name_is() {
        let line = "42 (a) R (b) S 1 42 42 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 1 0 100";
        assert_eq!(parse_stat(line), Some(("a) R (b".into(), 'S', 12)));
        for wrong in ["", "42 (a", "42 (a) S 1 2", "42 (a) "] {
            assert_eq!(parse_stat(wrong), None, "{wrong:?}");
        }
        assert_eq!(parse_syscall("202 0x7f 0x0 0x1\n"), Some(202));
        assert_eq!(parse_syscall("running\n"), None);
        assert_eq!(parse_syscall("-1 0x7ff 0x7f\n"), None);
    }

    #[test]
    fn a_sleeping_and_a_spinning_thread_are_told_apart() {
        let (end, ends) = mpsc::channel::<()>();
        let sleeper = std::thread::Builder::new()
            .name("a-sleeper".into())
            .spawn(move || {
                let _ = ends.recv();
            })
            .unwrap();
        let find = |name: &str| {
            let all = threads(std::process::id()).unwrap();
            all.into_iter().find(|thread| thread.name == name)
        };
        let began = Instant::now();
        let sleeping = loop {
            let found = find("a-sleeper").filter(|thread| thread.state == 'S');
            if let Some(found) = found {
                break found;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it never slept");
        };
        if let Some(number) = sleeping.syscall {
            assert_eq!(syscall_name(number), Some("futex"));
        }
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let find_own = || {
            let all = threads(std::process::id()).unwrap();
            all.into_iter()
                .find(|thread| i32::try_from(thread.tid) == Ok(own))
                .unwrap()
        };
        let before = find_own();
        assert_eq!(before.state, 'R');
        let began = Instant::now();
        while find_own().cpu_ms < before.cpu_ms + 20 {
            assert!(began.elapsed() < Duration::from_secs(20), "no time passed");
        }
        drop(end);
        sleeper.join().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_has_no_threads() {
        let error = threads(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
