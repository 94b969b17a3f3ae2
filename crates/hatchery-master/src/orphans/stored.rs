//! Listeners in the service manager's keeping: they outlive every process of the service.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use hatchery_ipc::child::Kept;
use hatchery_ipc::environment as env;
use hatchery_sys::{listen, process};

use crate::listeners::Found;
use crate::settings::Listen;

/// How the names of ours begin; others may be kept, too.
const PREFIX: &str = "hatchery-";

/// The name of a listener: the number of its address, its slot, its place.
pub(super) fn name(group: usize, kept: &Kept) -> String {
    let Kept { slot, place, .. } = kept;
    match place {
        Some(place) => format!("{PREFIX}{group}-{slot}-{place}"),
        None => format!("{PREFIX}{group}-{slot}-x"),
    }
}

/// The inverse of [`name`]; `None` for one that is not ours.
fn parse(name: &str) -> Option<(usize, u32, Option<u32>)> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let (group, slot, place) = (parts.next()?, parts.next()?, parts.next()?);
    let place = match place {
        "x" => None,
        place => Some(place.parse().ok()?),
    };
    let none = parts.next().is_none();
    none.then_some((group.parse().ok()?, slot.parse().ok()?, place))
}

/// Takes those that the service manager has handed to this process. Call it before anything else
/// opens descriptors. With them come the names of all that it keeps.
pub(crate) fn take(listen: &Listen) -> (Found, BTreeSet<String>) {
    let (mut found, mut stored) = (Found::default(), BTreeSet::new());
    let variable = |name: &str| std::env::var(name).ok();
    let pid = variable(env::LISTEN_PID).and_then(|pid| pid.parse::<u32>().ok());
    if pid != Some(std::process::id()) {
        return (found, stored);
    }
    let names = variable(env::LISTEN_FDNAMES).unwrap_or_default();
    for (name, fd) in names.split(':').zip(env::LISTEN_FDS_START..) {
        // What is not open any more was for this process as it was before a restart.
        if let Some((group, slot, place)) = parse(name)
            && let Ok(socket) = process::take_fd(fd)
            && stored.insert(name.to_owned())
            && let Ok(address) = address(&socket, listen, group)
        {
            let kept = Kept {
                address,
                slot,
                place,
            };
            found.add(kept, socket);
        }
    }
    (found, stored)
}

/// A unix socket with a long path does not know it; the configuration does.
fn address(socket: &OwnedFd, listen: &Listen, group: usize) -> io::Result<String> {
    match listen::local_address(socket.as_fd()) {
        Ok(address) => Ok(address.to_string()),
        Err(error) => listen.addresses.get(group).cloned().ok_or(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (group, slot, place) in [(0, 0, Some(0)), (63, 1023, None), (2, 7, Some(11))] {
            let kept = Kept {
                address: String::new(),
                slot,
                place,
            };
            assert_eq!(parse(&name(group, &kept)), Some((group, slot, place)));
        }
        for other in [
            "http.socket",
            "hatchery-",
            "hatchery-1-2",
            "hatchery-1-2-3-4",
            "hatchery-1-2-y",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
