//! What a thread is doing, recorded by the thread itself in the handler of a signal.
//!
//! A thread that is blocked cannot be asked otherwise from within, and one that crashes is about to
//! lose what it knows. Both write their return addresses into the process's [`Recorder`], which
//! outlives it. Names are found elsewhere, later: nothing here allocates, locks or reads debug
//! information while a handler runs.
//!
//! A stack is walked along its frame pointers, so the program is to be compiled with
//! `-C force-frame-pointers=yes`; without it stacks are short, not wrong. The C library keeps none:
//! see `walk`. x86-64 and aarch64; elsewhere no stacks are recorded.
//!
//! This is the one module of the crate with state of its own: a handler has no arguments.

mod handlers;
mod walk;

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize};
use std::sync::{Arc, OnceLock};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use crate::page::THREADS_MAX;
use crate::recorder::Recorder;

/// What the handler of a crash may use, besides a guard page below.
const ALTERNATE_BYTES: usize = 64 * 1024;
const GUARD_BYTES: usize = 64 * 1024;

/// Where handlers write; null until there is something to write to. Never freed.
static RECORDER: AtomicPtr<Recorder> = AtomicPtr::new(std::ptr::null_mut());
/// Where code was when that began; libraries that are loaded later are not known.
static IMAGE: OnceLock<walk::Image> = OnceLock::new();
/// The process that the recorder is of: a child that was forked without `execve` has our handlers.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// The signal that asks a thread for its stack; 0 until it is installed.
static QUESTION: AtomicI32 = AtomicI32::new(0);
static THREADS: [Thread; THREADS_MAX] = [const { Thread::new() }; THREADS_MAX];

/// A thread that can be asked for its stack.
struct Thread {
    /// 0: there is none.
    tid: AtomicI32,
    /// It was asked and has not answered. Real-time signals queue: one that is asked faster than it
    /// answers would do nothing else.
    is_asked: AtomicBool,
    /// The bounds of its stack.
    low: AtomicUsize,
    high: AtomicUsize,
}

impl Thread {
    const fn new() -> Self {
        Self {
            tid: AtomicI32::new(0),
            is_asked: AtomicBool::new(false),
            low: AtomicUsize::new(0),
            high: AtomicUsize::new(0),
        }
    }
}

/// From now on stacks are recorded: of [registered](register) threads when [asked](ask), of any
/// thread when `SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`, `SIGABRT` or `SIGSYS` is about to end the
/// process. What those signals do is as before: the process ends by them, with the standard
/// library's message for a stack overflow. Where something else than the standard library handles
/// one of them already, it is left alone.
///
/// `AlreadyExists` the second time, `Unsupported` where the executable's code cannot be found. The recorder is kept for the life of the process.
pub fn install(recorder: Arc<Recorder>) -> io::Result<()> {
    let recorder = Arc::into_raw(recorder).cast_mut();
    let null = std::ptr::null_mut();
    if RECORDER
        .compare_exchange(null, recorder, Release, Relaxed)
        .is_err()
    {
        // SAFETY: it is the pointer that `into_raw` gave, and nobody else has got it.
        drop(unsafe { Arc::from_raw(recorder) });
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    OWNER.store(std::process::id(), Relaxed);
    let Some(image) = walk::image() else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let image = IMAGE.get_or_init(|| image);
    if let Some(recorder) = self::recorder() {
        recorder.set_image(image.base, &image.text);
    }
    handlers::install()
}

/// The calling thread can be asked for its stack as number `index`, below
/// [`THREADS_MAX`], while the result lives; and it has room to record a crash when its stack is
/// used up.
///
/// Fails with `InvalidInput` for a greater number, and when memory is short.
pub fn register(index: usize) -> io::Result<Registered> {
    let thread = THREADS.get(index).ok_or(io::ErrorKind::InvalidInput)?;
    let (low, high) = walk::bounds()?;
    let alternate = Alternate::install()?;
    thread.low.store(low, Relaxed);
    thread.high.store(high, Relaxed);
    thread.is_asked.store(false, Relaxed);
    thread.tid.store(walk::tid(), Release);
    Ok(Registered {
        thread,
        _alternate: alternate,
        _here: PhantomData,
    })
}

/// Asks all registered threads for their stacks, and does not wait: each records its own as soon as
/// it can handle a signal; one that has not answered the last time is not asked again. System calls that it is in are restarted where the kernel can do that.
pub fn ask() {
    let question = QUESTION.load(Acquire);
    if question == 0 {
        return;
    }
    for thread in &THREADS {
        let tid = thread.tid.load(Acquire);
        if tid != 0 && !thread.is_asked.swap(true, Acquire) {
            handlers::send(tid, question);
        }
    }
}

/// A thread that can be asked; see [`register`].
#[must_use = "the thread is registered while this lives"]
pub struct Registered {
    thread: &'static Thread,
    _alternate: Alternate,
    /// It must be dropped on its own thread.
    _here: PhantomData<*const ()>,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").finish_non_exhaustive()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.thread.tid.store(0, Relaxed);
    }
}

/// What handlers write to.
fn recorder() -> Option<&'static Recorder> {
    // SAFETY: null, or what `install` took out of an `Arc` that is never dropped.
    unsafe { RECORDER.load(Acquire).as_ref() }
}

/// A stack for handlers, in place of the standard library's: that one is as small as the system
/// allows, and this thread's own may be used up.
struct Alternate {
    memory: NonNull<libc::c_void>,
    former: libc::stack_t,
}

impl Alternate {
    fn install() -> io::Result<Self> {
        let size = GUARD_BYTES + ALTERNATE_BYTES;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let memory =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), size, access, flags) }?;
        // SAFETY: the first pages of the mapping just made, which nobody uses yet.
        unsafe { rustix::mm::mprotect(memory, GUARD_BYTES, MprotectFlags::empty()) }?;
        let stack = libc::stack_t {
            ss_sp: memory.wrapping_byte_add(GUARD_BYTES),
            ss_flags: 0,
            ss_size: ALTERNATE_BYTES,
        };
        let mut former = no_stack();
        // SAFETY: both point to live values; the memory is unmapped only after `drop` has taken
        // it out of use.
        let failed = unsafe { libc::sigaltstack(&raw const stack, &raw mut former) };
        let memory = NonNull::new(memory).ok_or(io::ErrorKind::OutOfMemory)?;
        if failed != 0 {
            let error = io::Error::last_os_error();
            // SAFETY: the mapping just made, which nobody uses.
            let _ = unsafe { rustix::mm::munmap(memory.as_ptr(), size) };
            return Err(error);
        }
        Ok(Self { memory, former })
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        // SAFETY: the former stack is of this thread (`Registered` does not leave it) and is freed
        // by whoever made it after this; the call fails only while a handler runs on ours.
        let failed = unsafe { libc::sigaltstack(&raw const self.former, std::ptr::null_mut()) };
        if failed == 0 {
            let size = GUARD_BYTES + ALTERNATE_BYTES;
            // SAFETY: `install` made this mapping, and it is out of use.
            let _ = unsafe { rustix::mm::munmap(self.memory.as_ptr(), size) };
        }
    }
}

fn no_stack() -> libc::stack_t {
    libc::stack_t {
        ss_sp: std::ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    }
}
