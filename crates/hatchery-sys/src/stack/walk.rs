//! From registers to return addresses, in a signal's handler.
//!
//! Rust code that was compiled for it keeps a chain: each frame pointer points to the caller's, and
//! the return address stands next to it. The C library keeps none. Interrupted there, the register
//! still holds the frame pointer of the last Rust function, or something else by now: then the first
//! link is looked for on the stack. In both cases that Rust function's own address is not in the
//! chain; it stands somewhere below it, as what the library was called from. So what there looks like
//! a return address into the executable is taken too, and marked as a guess.

use std::cell::Cell;
use std::io;
use std::ops::Range;

use crate::recorder::FRAMES_MAX;

const WORD: usize = size_of::<usize>();

/// How far above the stack pointer the first link is looked for, in words.
const SEARCH_WORDS: usize = 512;

/// Guesses are kept at most.
const GUESSES_MAX: usize = 2;

/// Farther than this from the stack pointer, nothing is of the same stack.
const REACH_BYTES: usize = 64 << 20;

/// Where a page of a machine begins at least.
const PAGE_BYTES: usize = 4096;

/// What a thread was doing when it was interrupted.
pub(super) struct Registers {
    pub(super) pc: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    /// Where the machine keeps a leaf function's return address in a register.
    link: Option<usize>,
}

impl Registers {
    /// Reads what the kernel has saved; `None` on machines that this does not know.
    ///
    /// # Safety
    /// `context` is the third argument of a handler that was installed with `SA_SIGINFO`.
    #[cfg(target_arch = "x86_64")]
    pub(super) unsafe fn of(context: *mut libc::c_void) -> Option<Self> {
        // SAFETY: the caller's promise.
        let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() }?;
        let register = |number: i32| {
            let number = usize::try_from(number).ok()?;
            let value = context.uc_mcontext.gregs.get(number)?;
            usize::try_from(value.cast_unsigned()).ok()
        };
        Some(Self {
            pc: register(libc::REG_RIP)?,
            sp: register(libc::REG_RSP)?,
            fp: register(libc::REG_RBP)?,
            link: None,
        })
    }

    /// Reads what the kernel has saved; `None` on machines that this does not know.
    ///
    /// # Safety
    /// `context` is the third argument of a handler that was installed with `SA_SIGINFO`.
    #[cfg(target_arch = "aarch64")]
    pub(super) unsafe fn of(context: *mut libc::c_void) -> Option<Self> {
        // SAFETY: the caller's promise.
        let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() }?;
        let machine = &context.uc_mcontext;
        let [.., fp, link] = machine.regs;
        Some(Self {
            pc: usize::try_from(machine.pc).ok()?,
            sp: usize::try_from(machine.sp).ok()?,
            fp: usize::try_from(fp).ok()?,
            link: usize::try_from(link).ok(),
        })
    }

    /// Reads what the kernel has saved; `None` on machines that this does not know.
    ///
    /// # Safety
    /// None is needed here.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(super) unsafe fn of(_: *mut libc::c_void) -> Option<Self> {
        None
    }
}

/// The part of a stack that may be read.
pub(super) struct Memory {
    range: Range<usize>,
    /// The last page that was found readable; `None` when all of the range is known to be.
    page: Option<Cell<usize>>,
}

impl Memory {
    /// The calling thread's own stack, from its stack pointer to its end.
    pub(super) fn own(sp: usize, high: usize) -> Self {
        Self {
            range: sp..high,
            page: None,
        }
    }

    /// A stack of unknown bounds, perhaps used up: each page is tried before it is read.
    pub(super) fn probed(sp: usize) -> Self {
        Self {
            range: sp..sp.saturating_add(REACH_BYTES),
            page: Some(Cell::new(usize::MAX)),
        }
    }

    fn read(&self, address: usize) -> Option<usize> {
        let is_word = address.is_multiple_of(WORD)
            && self.range.contains(&address)
            && self.range.end - address >= WORD;
        if !is_word {
            return None;
        }
        if let Some(known) = &self.page {
            let page = address / PAGE_BYTES;
            if known.get() != page && !is_readable(address) {
                return None;
            }
            known.set(page);
        }
        let word = std::ptr::with_exposed_provenance::<usize>(address);
        // SAFETY: a word of a live stack (see `own`), or of a page that can be read. What it means
        // does not matter: it is taken as a number.
        Some(unsafe { word.read_volatile() })
    }

    /// The caller's frame pointer and the return address, if a frame's link can be there.
    fn link(&self, fp: usize) -> Option<(usize, usize)> {
        Some((self.read(fp)?, self.read(fp.checked_add(WORD)?)?))
    }
}

/// Passes the frames on, innermost first, and whether each is a guess; at most [`FRAMES_MAX`].
pub(super) fn walk(
    registers: &Registers,
    memory: &Memory,
    image: &Image,
    frame: &mut dyn FnMut(usize, bool),
) {
    frame(registers.pc, false);
    let first = first_frame(registers, memory, image);
    if !image.text.contains(&registers.pc) {
        guess(registers, memory, image, first, frame);
    }
    let mut fp = first.unwrap_or(registers.fp);
    for _ in 0..FRAMES_MAX {
        match memory.link(fp) {
            Some((next, address)) if image.is_code(address) => {
                frame(address, false);
                // The stack grows downwards: a caller's frame lies above.
                if next <= fp {
                    return;
                }
                fp = next;
            }
            _ => return,
        }
    }
}

/// The frame that the chain begins with: the register's; or the one, of those that the C library may
/// have kept on the stack, from which the chain is longest. What earlier calls have left there leads
/// into the same chain, but farther out.
fn first_frame(registers: &Registers, memory: &Memory, image: &Image) -> Option<usize> {
    if length(registers.fp, memory, image) > 0 {
        return Some(registers.fp);
    }
    let start = registers.sp.next_multiple_of(WORD);
    let mut best = (0, None);
    for place in (0..SEARCH_WORDS).map(|place| start + place * WORD) {
        // A frame, or a saved register that points to one.
        let saved = memory.read(place).filter(|saved| *saved > place);
        for fp in [Some(place), saved].into_iter().flatten() {
            let length = length(fp, memory, image);
            if length > best.0 {
                best = (length, Some(fp));
            }
        }
    }
    best.1
}

/// How many frames the chain has from this one on; 0 when it begins outside of the executable, or
/// leads into something that was partly overwritten. A whole one leads out of the stack, or to a
/// library that keeps no frame pointers.
fn length(mut fp: usize, memory: &Memory, image: &Image) -> usize {
    let mut is_library = false;
    for length in 0..FRAMES_MAX {
        match memory.link(fp) {
            Some((next, address)) if image.is_code(address) && next > fp => {
                is_library = !image.text.contains(&address);
                if is_library && length == 0 {
                    return 0;
                }
                fp = next;
            }
            Some((_, address)) if !image.is_code(address) && !is_library => return 0,
            _ => return length,
        }
    }
    FRAMES_MAX
}

/// What may be the return address of the call into the library that was interrupted.
fn guess(
    registers: &Registers,
    memory: &Memory,
    image: &Image,
    first: Option<usize>,
    frame: &mut dyn FnMut(usize, bool),
) {
    let start = registers.sp.next_multiple_of(WORD);
    let end = first.unwrap_or(start + SEARCH_WORDS * WORD);
    for wanted in [Call::Indirect, Call::Direct] {
        let words = (0..SEARCH_WORDS)
            .map(|place| start + place * WORD)
            .take_while(|address| *address < end)
            .map_while(|address| memory.read(address));
        let mut count = 0;
        for address in registers.link.into_iter().chain(words) {
            if count < GUESSES_MAX && call_before(address, image) == Some(wanted) {
                frame(address, true);
                count += 1;
            }
        }
        if count > 0 {
            return;
        }
    }
}

/// How a function was called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// By an address in memory or a register, as libraries are.
    Indirect,
    /// By the distance, as most functions of the executable are.
    Direct,
}

/// The call in the executable's code that returns to this address, if there is one.
#[cfg(target_arch = "x86_64")]
fn call_before(address: usize, image: &Image) -> Option<Call> {
    /// The longest call that is looked for.
    const CALL_BYTES: usize = 7;
    let start = address.checked_sub(CALL_BYTES)?;
    if !image.text.contains(&start) || !image.text.contains(&address) {
        return None;
    }
    let place = std::ptr::with_exposed_provenance::<[u8; CALL_BYTES]>(start);
    // SAFETY: within the executable's code, which is mapped and readable as long as it runs.
    let bytes = unsafe { place.read_volatile() };
    match bytes {
        // `call *distance(%rip)`, by the table of addresses: it says who was called.
        [_, 0xff, 0x15, distance @ ..] => {
            let distance = isize::try_from(i32::from_le_bytes(distance)).ok()?;
            let entry = address.checked_add_signed(distance)?;
            let is_entry = entry.is_multiple_of(WORD) && is_readable(entry);
            let entry = std::ptr::with_exposed_provenance::<usize>(entry);
            // SAFETY: just seen to be readable; the table is never unmapped.
            let target = is_entry.then(|| unsafe { entry.read_volatile() })?;
            image.is_library(target).then_some(Call::Indirect)
        }
        [_, _, 0xe8, ..] => Some(Call::Direct),
        // `call *operand` is ff /2, with an operand of one byte to six.
        [.., 0xff, operand] | [.., 0xff, operand, _] | [.., 0xff, operand, _, _]
            if operand >> 3 & 7 == 2 =>
        {
            Some(Call::Indirect)
        }
        _ => None,
    }
}

/// The call in the executable's code that returns to this address, if there is one.
#[cfg(not(target_arch = "x86_64"))]
fn call_before(address: usize, image: &Image) -> Option<Call> {
    (image.text.contains(&address) && address.is_multiple_of(4)).then_some(Call::Direct)
}

/// Whether the kernel can read there. It is asked to take a set of signals from that address for an
/// operation that does not exist: it looks at the address first.
fn is_readable(address: usize) -> bool {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel checks the address itself, and changes nothing.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, -1_i32, address, none, 8_usize) };
    result != 0 && io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
}

/// Where code is in memory.
pub(super) struct Image {
    /// What is added to the addresses in the executable file.
    pub(super) base: usize,
    /// The executable's code.
    pub(super) text: Range<usize>,
    /// That of the libraries.
    libraries: Vec<Range<usize>>,
}

impl Image {
    fn is_code(&self, address: usize) -> bool {
        self.text.contains(&address) || self.is_library(address)
    }

    fn is_library(&self, address: usize) -> bool {
        self.libraries.iter().any(|code| code.contains(&address))
    }
}

/// What is loaded now; `None` where the executable's code cannot be found. Not for handlers.
pub(super) fn image() -> Option<Image> {
    let mut found: Vec<(usize, Range<usize>)> = Vec::new();
    // SAFETY: the callback gets the pointer below, which is alive and used by nobody else meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(note_object), (&raw mut found).cast()) };
    let mut found = found.into_iter();
    // The first object is the executable.
    let (base, text) = found.next()?;
    Some(Image {
        base,
        text,
        libraries: found.map(|(_, code)| code).collect(),
    })
}

/// Notes an object's base and where its code is; one without code has an empty range.
extern "C" fn note_object(
    info: *mut libc::dl_phdr_info,
    _: usize,
    found: *mut libc::c_void,
) -> i32 {
    // SAFETY: `dl_iterate_phdr` passes a valid object.
    let info = unsafe { info.as_ref() };
    // SAFETY: the pointer that `image` has passed.
    let found = unsafe { found.cast::<Vec<(usize, Range<usize>)>>().as_mut() };
    let (Some(info), Some(found)) = (info, found) else {
        return 1;
    };
    // SAFETY: so many headers stand there, for the life of the object.
    let headers =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let code = headers
        .iter()
        .find(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0);
    let number = |number: u64| usize::try_from(number).unwrap_or(0);
    let base = number(info.dlpi_addr);
    let range = code.map_or(0..0, |code| {
        let start = base.wrapping_add(number(code.p_vaddr));
        start..start.saturating_add(number(code.p_memsz))
    });
    found.push((base, range));
    0
}

/// The calling thread's number.
pub(super) fn tid() -> i32 {
    // SAFETY: a number only.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    i32::try_from(tid).unwrap_or(0)
}

/// The calling thread's name, up to a NUL.
pub(super) fn thread_name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes 16 bytes at most.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

/// The bounds of the calling thread's stack. Not for handlers.
pub(super) fn bounds() -> io::Result<(usize, usize)> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: a number only.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: the calling thread exists, and the attributes are written when the result is 0.
    let failed = unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    let stack = (&raw mut low, &raw mut size);
    // SAFETY: initialised above; both results are alive.
    let failed = unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), stack.0, stack.1) };
    // SAFETY: initialised above, and not used any more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    let low = low.addr();
    Ok((low, low.saturating_add(size)))
}
