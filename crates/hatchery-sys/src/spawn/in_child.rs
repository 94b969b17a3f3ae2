//! What happens in the child between `fork` and `execve`.
//!
//! Another thread of the parent may have held any lock at the fork, the allocator's included. So
//! nothing here allocates, locks or panics: only system calls on what was prepared before.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use crate::cstrings::CStrings;
use crate::process::exit_now;
use crate::signals;

/// What the child does at each step, for messages; the index goes through the report pipe.
pub(super) const STEPS: [&str; 4] = [
    "close other descriptors",
    "place its descriptors",
    "enter its directory",
    "execute it",
];
const STEP_CLOSE: i32 = 0;
const STEP_PLACE: i32 = 1;
const STEP_ENTER: i32 = 2;
const STEP_EXEC: i32 = 3;

/// Exit code of a child that could not become its program, by the shells' custom. Nobody sees it:
/// the parent reads the report and reaps it.
const EXIT_NOT_STARTED: i32 = 127;

/// Everything the child needs, built before the fork.
pub(super) struct Plan {
    pub(super) args: CStrings,
    pub(super) env: CStrings,
    /// Where in `env` the digits of the child's pid go, if anywhere: eleven bytes.
    pub(super) pid_digits: Option<*mut u8>,
    pub(super) cwd: CString,
    /// The program, above all targets.
    pub(super) program: OwnedFd,
    /// The same, for kernels without `execveat`.
    pub(super) program_path: CString,
    /// The sources, duplicated above all targets, with their targets.
    pub(super) placed: Vec<(OwnedFd, RawFd)>,
    /// The write end of the report pipe, above all targets.
    pub(super) report: OwnedFd,
    /// The mask that the program gets: nothing blocked.
    pub(super) mask: libc::sigset_t,
    /// Where marking descriptors one by one ends, on kernels that cannot mark them all at once.
    pub(super) fd_limit: RawFd,
}

impl Plan {
    /// Becomes the program, or reports why not and exits. Only for a child just forked.
    pub(super) fn run(&self) -> ! {
        let (step, errno) = self.become_program();
        let report = [step, errno];
        // SAFETY: the pointer is to as many live bytes, and the descriptor is open.
        unsafe {
            libc::write(
                self.report.as_raw_fd(),
                report.as_ptr().cast(),
                size_of_val(&report),
            )
        };
        exit_now(EXIT_NOT_STARTED)
    }

    /// Returns the step that failed and its errno.
    fn become_program(&self) -> (i32, i32) {
        // Cannot fail in a child that has not executed anything; the parent does it too.
        let _ = rustix::process::setpgid(None, None);
        reset_signals(&self.mask);
        if let Err(errno) = mark_all_close_on_exec(self.fd_limit) {
            return (STEP_CLOSE, errno);
        }
        for (source, target) in &self.placed {
            if let Err(errno) = place(source.as_raw_fd(), *target) {
                return (STEP_PLACE, errno);
            }
        }
        if let Err(errno) = rustix::process::chdir(self.cwd.as_c_str()) {
            return (STEP_ENTER, errno.raw_os_error());
        }
        if let Some(digits) = self.pid_digits {
            let text = pid_text(std::process::id());
            // SAFETY: it points to eleven bytes of a string in `env`, which nobody reads meanwhile:
            // this process has no other thread.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), digits, text.len()) };
        }
        (STEP_EXEC, self.execute())
    }

    /// Returns the errno, if at all.
    fn execute(&self) -> i32 {
        let (args, env) = (self.args.pointers(), self.env.pointers());
        let (fd, flags) = (self.program.as_raw_fd(), libc::AT_EMPTY_PATH);
        // SAFETY: an open descriptor, a C string, and two arrays of such that end in null; all live.
        unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), args, env, flags) };
        let errno = last_errno();
        if errno != libc::ENOSYS {
            return errno;
        }
        // SAFETY: as above.
        unsafe { libc::execve(self.program_path.as_ptr(), args, env) };
        last_errno()
    }
}

/// All signals to their default action, and the mask as given.
///
/// Not by the C library's `signal`: it refuses those it keeps for itself, which a parent of ours may
/// have left ignored all the same.
fn reset_signals(mask: &libc::sigset_t) {
    const SIGNALS: libc::c_int = 64;
    const MASK_BYTES: usize = 8;
    // The kernel's structure on any architecture, with room to spare: zeroes are the default
    // action, no flags and an empty mask.
    let default_action = [0_u64; 16];
    let none = std::ptr::null_mut::<u8>();
    for signal in 1..=SIGNALS {
        let (call, action) = (libc::SYS_rt_sigaction, default_action.as_ptr());
        // SAFETY: the structure is live and larger than what the kernel reads; nobody in the child
        // relies on a handler. SIGKILL and SIGSTOP are refused.
        unsafe { libc::syscall(call, signal, action, none, MASK_BYTES) };
    }
    signals::change_mask(libc::SIG_SETMASK, mask);
}

/// Marks all descriptors from 3 on; those that are placed afterwards are without the mark.
fn mark_all_close_on_exec(limit: RawFd) -> Result<(), i32> {
    const FIRST: libc::c_uint = 3;
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    let (call, last) = (libc::SYS_close_range, libc::c_uint::MAX);
    // SAFETY: it only sets flags of the child's own descriptors.
    if unsafe { libc::syscall(call, FIRST, last, CLOSE_RANGE_CLOEXEC) } == 0 {
        return Ok(());
    }
    match last_errno() {
        // Kernels before 5.11, and system call filters that do not know it.
        libc::ENOSYS | libc::EINVAL | libc::EPERM => mark_each_close_on_exec(limit),
        errno => return Err(errno),
    }
    Ok(())
}

fn mark_each_close_on_exec(limit: RawFd) {
    for fd in 3..limit {
        // SAFETY: it only sets a flag; numbers that are not open are refused.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Puts a duplicate of `source` at `target`, which it is never equal to: so it is not close-on-exec.
fn place(source: RawFd, target: RawFd) -> Result<(), i32> {
    loop {
        // SAFETY: the numbers are the child's own; whatever was at `target` is not needed any more.
        if unsafe { libc::dup2(source, target) } >= 0 {
            return Ok(());
        }
        match last_errno() {
            libc::EINTR | libc::EBUSY => {}
            errno => return Err(errno),
        }
    }
}

fn last_errno() -> i32 {
    // Neither allocates.
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// A pid in decimal, padded with NUL.
fn pid_text(pid: u32) -> [u8; 11] {
    let mut text = [0; 11];
    let (mut rest, mut length) = (pid, 0);
    for digit in text.iter_mut().take(10) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = text.get_mut(..length) {
        digits.reverse();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_written_in_decimal() {
        let table: [(u32, &[u8; 11]); 4] = [
            (0, b"0\0\0\0\0\0\0\0\0\0\0"),
            (7, b"7\0\0\0\0\0\0\0\0\0\0"),
            (4_194_304, b"4194304\0\0\0\0"),
            (u32::MAX, b"4294967295\0"),
        ];
        for (pid, text) in table {
            assert_eq!(&pid_text(pid), text);
        }
    }
}
