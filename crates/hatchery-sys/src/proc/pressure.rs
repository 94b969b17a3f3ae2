//! How short memory is, for the control groups of this process or for the machine.
//!
//! Two kinds of reading. *Stall* (PSI) is the share of time in which somebody waited for memory: it
//! is what hurts, and the kernel tells at once when it passes a [threshold](Sensor::trigger). It is
//! our own group's where the group has it (version 2), else the machine's. *Room* is what is left:
//! of the tightest limit among our groups (version 2 and 1), and of the machine's memory. Kernels
//! may lack the first, and most containers of version 1 do for their group.
//!
//! Kernel traps:
//! - without `CAP_SYS_RESOURCE` a trigger's window must be a multiple of two seconds, and older
//!   kernels refuse any: readings by the clock must do then;
//! - a trigger lives as long as its descriptor, and fires at most once in its window, with
//!   `POLLPRI`. The poll that tells takes it back: nothing is there to be read;
//! - page cache counts as used until somebody needs the memory. What the kernel would give up
//!   first, the inactive files, is left out here, as container managers do.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::cgroup::{self, Group, Version};
use super::read;

/// Somebody stalled for 150 ms of 2 s.
const TRIGGER: &[u8] = b"some 150000 2000000\0";

/// No limit is written as the largest number of pages: anything beyond this is none.
const UNLIMITED: u64 = 1 << 60;

/// Where this process reads how short memory is.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// The file of the stall, where there is one.
    stall: Option<PathBuf>,
    groups: Vec<Group>,
    meminfo: PathBuf,
}

/// One look at everything that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `None` where the kernel does not measure it.
    pub stall: Option<Stall>,
    /// The group that is nearest to its limit; `None` where none has one.
    pub group: Option<Room>,
    /// The machine; `None` where it does not tell.
    pub machine: Option<Room>,
}

/// The share of the last ten seconds spent waiting for memory, in hundredths of a per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// In which at least one task waited.
    pub some: u32,
    /// In which all that could have run waited.
    pub full: u32,
}

/// Memory that there is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What cannot be had back without harm.
    pub used: u64,
    /// All of it.
    pub limit: u64,
}

/// Fires when memory has become short. Ready with `POLLPRI`.
#[derive(Debug)]
pub struct Trigger(std::fs::File);

impl Sensor {
    /// Looks where this process can read; costs a few system calls. Below `root` are `proc` and
    /// `sys`: `/`, but for tests.
    pub fn new(root: &Path) -> Self {
        let groups = cgroup::own("memory", root);
        let own = groups
            .iter()
            .map(|group| group.path.join("memory.pressure"));
        let machine = root.join("proc/pressure/memory");
        // The file is there and fails where the kernel was started without it.
        let stall = own
            .chain([machine])
            .find(|file| read(file).is_some_and(|text| parse_stall(&text).is_some()));
        Self {
            stall,
            groups,
            meminfo: root.join("proc/meminfo"),
        }
    }

    /// One look: a handful of small files, some tens of microseconds.
    pub fn read(&self) -> Reading {
        let stall = self.stall.as_deref().and_then(read);
        let rooms = self.groups.iter().filter_map(group_room);
        Reading {
            stall: stall.and_then(|text| parse_stall(&text)),
            group: rooms.max_by_key(Room::used_permille),
            machine: read(&self.meminfo).and_then(|text| parse_meminfo(&text)),
        }
    }

    /// A descriptor that tells, with `POLLPRI` and at most every 2 s, that somebody stalled for
    /// 150 ms of the last 2 s.
    ///
    /// Fails where the kernel does not measure stalls or does not let us ask.
    pub fn trigger(&self) -> io::Result<Trigger> {
        let file = self.stall.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut file = std::fs::File::options().read(true).write(true).open(file)?;
        // The kernel's files have no length; one that has is a copy, which a write would spoil.
        if file.metadata()?.len() > 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // In one write: the kernel takes each for a trigger of its own.
        if file.write(TRIGGER)? != TRIGGER.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(Trigger(file))
    }
}

impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Reading {
    /// What the service can still take, in bytes: the least that is left in any of its groups and
    /// in the machine. `None` when nobody tells.
    pub fn available(&self) -> Option<u64> {
        let rooms = [self.group, self.machine].into_iter().flatten();
        rooms.map(|room| room.limit.saturating_sub(room.used)).min()
    }
}

impl Room {
    /// The used part in thousandths.
    pub fn used_permille(&self) -> u32 {
        let permille = u128::from(self.used) * 1000 / u128::from(self.limit.max(1));
        u32::try_from(permille).unwrap_or(u32::MAX)
    }
}

fn group_room(group: &Group) -> Option<Room> {
    let number = |file: &str| read(&group.path.join(file))?.trim().parse::<u64>().ok();
    let (limit, used, idle_key) = match group.version {
        // Above `memory.high` the kernel throttles: that is as good as the end.
        Version::V2 => {
            let limits = [number("memory.high"), number("memory.max")];
            let limit = limits.into_iter().flatten().min();
            (limit?, number("memory.current")?, "inactive_file")
        }
        Version::V1 => (
            number("memory.limit_in_bytes")?,
            number("memory.usage_in_bytes")?,
            "total_inactive_file",
        ),
    };
    if limit >= UNLIMITED {
        return None;
    }
    let stat = read(&group.path.join("memory.stat")).unwrap_or_default();
    let idle = stat.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        value.trim().parse::<u64>().ok().filter(|_| key == idle_key)
    });
    Some(Room {
        used: used.saturating_sub(idle.unwrap_or(0)),
        limit,
    })
}

/// `some avg10=0.48 avg60=…` and `full avg10=…`; the machine's file of old kernels has no `full`.
fn parse_stall(text: &str) -> Option<Stall> {
    let average = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("avg10="))?;
        hundredths(value)
    };
    Some(Stall {
        some: average("some ")?,
        full: average("full ").unwrap_or(0),
    })
}

/// A number with two decimals, times 100.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let part = format!("{part:0<2.2}").parse::<u32>().ok()?;
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(part)
}

fn parse_meminfo(text: &str) -> Option<Room> {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib = line.trim().strip_suffix("kB")?.trim_end();
        kib.parse::<u64>().ok()?.checked_mul(1024)
    };
    let limit = bytes("MemTotal:")?;
    Some(Room {
        used: limit.saturating_sub(bytes("MemAvailable:")?),
        limit,
    })
}

#[cfg(test)]
mod tests;
