//! The signals: one that asks, and those that end the process.
//!
//! Kernel traps:
//! - a handler runs in the midst of anything: `errno` must be as before when it returns, and only
//!   async-signal-safe calls may be made;
//! - returning from the handler of a fault repeats the instruction; from that of a signal that was
//!   sent, or of `SIGSYS`, the program goes on. So the former action is put back, and what would not
//!   come again by itself is sent again;
//! - a fault within the handler of the same signal, which is blocked then, ends the process by the
//!   default action: whatever goes wrong here, it dies of what it would have died of.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::walk::{self, Memory, Registers};
use super::{IMAGE, OWNER, QUESTION, THREADS, recorder};

/// The standard library handles the first two, to tell of stack overflows.
const FATAL: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGSYS,
];

/// What those signals did before; empty where somebody else handles one.
static FORMER: [OnceLock<libc::sigaction>; FATAL.len()] = [const { OnceLock::new() }; FATAL.len()];

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

pub(super) fn install() -> io::Result<()> {
    for (signal, former) in FATAL.into_iter().zip(&FORMER) {
        let before = action(signal, None)?;
        if before.sa_sigaction == libc::SIG_DFL || is_fault(signal) {
            // Stored first: the handler may run at once.
            let _ = former.set(before);
            action(signal, Some(&handler(crashed, libc::SA_ONSTACK)))?;
        }
    }
    // A real-time signal that nobody uses; libraries begin at the low end.
    for signal in (libc::SIGRTMIN()..libc::SIGRTMAX()).rev() {
        if action(signal, None)?.sa_sigaction == libc::SIG_DFL {
            let flags = libc::SA_ONSTACK | libc::SA_RESTART;
            action(signal, Some(&handler(asked, flags)))?;
            QUESTION.store(signal, Release);
            return Ok(());
        }
    }
    Ok(())
}

/// Sends a signal to a thread of this process; one that has ended is none.
pub(super) fn send(tid: i32, signal: i32) {
    // SAFETY: a number only.
    let pid = unsafe { libc::getpid() };
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
}

/// Somebody wants to know what this thread does.
extern "C" fn asked(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = errno();
    let tid = walk::tid();
    let found = THREADS
        .iter()
        .enumerate()
        .find(|(_, thread)| thread.tid.load(Acquire) == tid);
    // SAFETY: the kernel gives a handler of this kind the registers of what it interrupted.
    let registers = unsafe { Registers::of(context) };
    let where_to = recorder().zip(IMAGE.get());
    if let (Some((index, thread)), Some(registers), Some((recorder, image))) =
        (found, registers, where_to)
    {
        let (low, high) = (thread.low.load(Relaxed), thread.high.load(Relaxed));
        // Its own stack, down to where it is now, is mapped. Should the number be another thread's
        // by now, it is on another stack.
        if (low..high).contains(&registers.sp) {
            let memory = Memory::own(registers.sp, high);
            let name = walk::thread_name();
            recorder.record_stack(Some(index), 0, &name, |frame| {
                walk::walk(&registers, &memory, image, frame);
            });
        }
    }
    if let Some((_, thread)) = found {
        thread.is_asked.store(false, Release);
    }
    set_errno(errno);
}

/// The process is about to end.
extern "C" fn crashed(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = errno();
    // SAFETY: as in `asked`.
    let registers = unsafe { Registers::of(context) };
    // SAFETY: a number only.
    let pid = unsafe { libc::getpid() };
    let is_ours = u32::try_from(pid) == Ok(OWNER.load(Relaxed));
    let where_to = recorder().zip(IMAGE.get());
    if let (true, Some(registers), Some((recorder, image))) = (is_ours, registers, where_to) {
        let memory = Memory::probed(registers.sp);
        let name = walk::thread_name();
        recorder.record_stack(None, signal, &name, |frame| {
            walk::walk(&registers, &memory, image, frame);
        });
    }
    // SAFETY: the kernel gives a handler of this kind what it knows of the signal.
    let is_sent = unsafe { info.as_ref() }.is_none_or(|info| info.si_code <= 0);
    let comes_again = is_fault(signal) && !is_sent;
    let former = FATAL.iter().position(|fatal| *fatal == signal);
    let former = former.and_then(|place| FORMER.get(place)?.get());
    let default = handler_of(libc::SIG_DFL, 0);
    // The standard library would swallow a fault that was sent.
    let next = former.filter(|_| comes_again).unwrap_or(&default);
    let _ = action(signal, Some(next));
    if !comes_again {
        send(walk::tid(), signal);
    }
    set_errno(errno);
}

/// Whether it is a fault's, which comes again when nothing was done about it.
fn is_fault(signal: i32) -> bool {
    matches!(signal, libc::SIGSEGV | libc::SIGBUS)
}

fn handler(handler: Handler, flags: i32) -> libc::sigaction {
    handler_of(handler as usize, flags | libc::SA_SIGINFO)
}

fn handler_of(handler: usize, flags: i32) -> libc::sigaction {
    // SAFETY: all zeroes is a valid value: the default action, no signals masked.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// What a signal does; with `new`, what it has done so far.
fn action(signal: i32, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = handler_of(libc::SIG_DFL, 0);
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: null or a live value, and a live value to write to; handlers of ours keep to what a
    // handler may do.
    if unsafe { libc::sigaction(signal, new, &raw mut before) } == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn set_errno(errno: i32) {
    // SAFETY: a place only.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the thread's own variable, which always exists.
    unsafe { place.write(errno) };
}
