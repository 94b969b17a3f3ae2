//! Which sockets of a `reuse_port` group get new connections: a classic BPF program.
//!
//! Without one, the kernel picks by a hash of the addresses, dead and hung slots included.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// The most slots that [`steer`] takes.
pub const SLOTS_MAX: usize = 1024;

/// Not among the names of `libc`.
const SO_DETACH_REUSEPORT_BPF: libc::c_int = 68;

/// Gives each new connection to one of `slots`, chosen at random with equal shares.
///
/// `fd` is any socket of the group; the program is the whole group's, outlives that socket, and
/// replaces the one before in one step. A slot is the index of a socket in the order of `listen()`
/// (see the module's traps). Repetitions and order do not matter. A slot that does not exist falls
/// back to the kernel's choice among *all* sockets, so name only those that do.
///
/// `InvalidInput` for no slots, more than [`SLOTS_MAX`], or a slot of that number or higher; the
/// kernel's error if the socket does not have `reuse_port`.
pub fn steer(fd: impl AsFd, slots: &[u32]) -> io::Result<()> {
    let mut program = program(slots)?;
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    let size = libc::socklen_t::try_from(size_of_val(&program));
    let size = size.map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the option takes a `sock_fprog` of this size, whose pointer is to as many instructions
    // as it says, alive during the call; the kernel copies and checks them.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes away what [`steer`] has put there: the kernel chooses by a hash again. Fine when there is
/// nothing to take away.
pub fn unsteer(fd: impl AsFd) -> io::Result<()> {
    let none: libc::c_int = 0;
    let size = libc::socklen_t::try_from(size_of_val(&none));
    let size = size.map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads an integer of this size, and does not use it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_DETACH_REUSEPORT_BPF,
            (&raw const none).cast(),
            size,
        )
    };
    match result {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            error => Err(error),
        },
    }
}

/// Loads a random number, reduces it to an index among the slots, and turns the index into a slot
/// by stepping over each gap between them: two instructions a gap, none for a whole group. The worst
/// case, every other one of 1024 slots, is 1027 instructions of the 4096 that the kernel takes.
fn program(slots: &[u32]) -> io::Result<Vec<libc::sock_filter>> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let mut slots = slots.to_vec();
    slots.sort_unstable();
    slots.dedup();
    let count = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let Some(highest) = slots.last() else {
        return refuse("no slot to steer connections to");
    };
    if usize::try_from(*highest).is_ok_and(|highest| highest >= SLOTS_MAX) {
        return refuse("slots beyond 1023 cannot be steered to");
    }
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM).cast_unsigned();
    let mut program = vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, random),
        statement(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count),
    ];
    let mut next = 0;
    for slot in slots {
        if slot > next {
            // A = index of a slot among those named so far; from here on it lies beyond the gap.
            program.push(skip_one_unless_at_least(next));
            program.push(statement(
                libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K,
                slot - next,
            ));
        }
        next = slot + 1;
    }
    program.push(statement(libc::BPF_RET | libc::BPF_A, 0));
    Ok(program)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "instruction codes have 16 bits"
)]
fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k: value,
    }
}

fn skip_one_unless_at_least(value: u32) -> libc::sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    libc::sock_filter {
        jf: 1,
        ..statement(code, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, for the instructions that we use.
    fn run(program: &[libc::sock_filter], random: u32) -> u32 {
        let (mut a, mut at) = (0, 0);
        loop {
            let instruction = &program[at];
            at += 1;
            match u32::from(instruction.code) {
                0x20 => a = random,
                0x94 => a %= instruction.k,
                0x04 => a += instruction.k,
                0x35 if a >= instruction.k => at += usize::from(instruction.jt),
                0x35 => at += usize::from(instruction.jf),
                0x16 => return a,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn each_slot_has_an_equal_share_and_no_other_has_any() {
        let odd: Vec<u32> = (0..512).map(|slot| slot * 2 + 1).collect();
        let all: Vec<u32> = (0..1024).collect();
        let table: [&[u32]; 9] = [
            &[0],
            &[5],
            &[0, 1, 2, 3],
            &[1, 3],
            &[0, 2, 3],
            &[3, 0, 3],
            &[0, 1, 7, 8, 1023],
            &odd,
            &all,
        ];
        for slots in table {
            let program = program(slots).unwrap();
            let mut expected = slots.to_vec();
            expected.sort_unstable();
            expected.dedup();
            let count = u32::try_from(expected.len()).unwrap();
            let reached: Vec<u32> = (0..count).map(|random| run(&program, random)).collect();
            assert_eq!(reached, expected);
            assert_eq!(
                run(&program, u32::MAX),
                expected[(u32::MAX % count) as usize]
            );
            assert!(program.len() <= 3 + 2 * slots.len());
        }
    }

    #[test]
    fn a_whole_group_needs_no_table() {
        assert_eq!(program(&(0..1024).collect::<Vec<_>>()).unwrap().len(), 3);
    }

    #[test]
    fn impossible_slots_are_refused() {
        for slots in [&[][..], &[1024], &[0, u32::MAX]] {
            assert_eq!(
                program(slots).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }
}
