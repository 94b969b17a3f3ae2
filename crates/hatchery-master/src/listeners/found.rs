//! Listeners that others have kept while there was no master: orphans, or the service manager.
//!
//! They are the very sockets of the former master, so what waits in their queues is not lost, and
//! the processes that accept from them go on doing so.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};

use hatchery_ipc::child::Kept;
use hatchery_sys::listen::{self, Address, SLOTS_MAX};

use super::Sockets;

/// What was found, until its addresses are opened.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<(Kept, OwnedFd)>);

/// The sockets of one address.
pub(super) struct Taken {
    pub(super) address: Address,
    pub(super) sockets: Sockets,
    /// Slots between the others that nobody has kept a socket for.
    pub(super) missing: Vec<u32>,
}

impl Found {
    pub(crate) fn add(&mut self, kept: Kept, socket: OwnedFd) {
        self.0.push((kept, socket));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses that nobody has asked for.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut rest: Vec<_> = self
            .0
            .iter()
            .map(|(kept, _)| kept.address.clone())
            .collect();
        rest.sort_unstable();
        rest.dedup();
        rest
    }

    /// The sockets of an address of the configuration.
    pub(super) fn take(&mut self, wanted: &Address) -> Option<Taken> {
        let address = self
            .0
            .iter()
            .filter(|(_, socket)| listen::queue(socket).is_ok_and(|queue| queue.listening))
            .filter_map(|(kept, _)| kept.address.parse::<Address>().ok())
            .find(|address| stands_for(wanted, address))?;
        let text = address.to_string();
        let mut slots: BTreeMap<u32, (Option<u32>, OwnedFd)> = BTreeMap::new();
        let mut shared = None;
        let (these, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(kept, _)| kept.address == text);
        self.0 = others;
        for (kept, socket) in these {
            let listens = listen::queue(socket.as_fd()).is_ok_and(|queue| queue.listening);
            if !listens || kept.slot as usize >= SLOTS_MAX {
                continue;
            }
            if !listen::is_grouped(&socket).unwrap_or(false) {
                shared = Some(socket);
                continue;
            }
            // A keeper knows the place, the worker that accepts from the socket does not.
            let known = slots
                .get(&kept.slot)
                .is_some_and(|(place, _)| place.is_some());
            if kept.place.is_some() || !known {
                slots.insert(kept.slot, (kept.place, socket));
            }
        }
        if let Some(socket) = shared {
            return Some(Taken {
                address,
                sockets: Sockets::Shared(socket),
                missing: Vec::new(),
            });
        }
        let end = slots.last_key_value().map(|(slot, _)| slot + 1)?;
        Some(Taken {
            address,
            missing: (0..end).filter(|slot| !slots.contains_key(slot)).collect(),
            sockets: Sockets::Slots {
                order: order(&slots),
                sockets: slots.into_values().map(|(_, socket)| socket).collect(),
            },
        })
    }
}

/// Whether a socket at `address` serves what the configuration wants.
fn stands_for(wanted: &Address, address: &Address) -> bool {
    match (wanted, address) {
        (Address::Tcp(wanted), Address::Tcp(address)) if wanted.port() == 0 => {
            wanted.ip() == address.ip()
        }
        _ => wanted == address,
    }
}

/// The slot of each place in the kernel's group; `None` unless all are known and fit.
fn order(slots: &BTreeMap<u32, (Option<u32>, OwnedFd)>) -> Option<Vec<u32>> {
    let mut order = vec![None; slots.len()];
    for (slot, (place, _)) in slots {
        let place = usize::try_from((*place)?).ok()?;
        *order.get_mut(place)? = Some(*slot);
    }
    order.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::fd::BorrowedFd;

    use super::super::{ListenerId, Listeners};
    use super::*;
    use crate::settings::{Listen, Mode};

    fn settings(mode: Mode) -> Listen {
        Listen {
            addresses: vec!["127.0.0.1:0".into()],
            mode,
            ..Listen::default()
        }
    }

    /// What a keeper of these has, without the sockets that `lost` names.
    fn kept(listeners: &Listeners, lost: &[u32]) -> Found {
        let mut found = Found::default();
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
        for (_, kept, fd) in listeners.to_keep() {
            if !lost.contains(&kept.slot) {
                found.add(kept, own(fd));
            }
        }
        found
    }

    fn waiting(listeners: &Listeners, slot: u16) -> u32 {
        let socket = listeners.get(ListenerId { group: 0, slot }).unwrap();
        listen::queue(socket).unwrap().waiting
    }

    #[test]
    fn queues_and_places_are_those_of_the_former_master() {
        let settings = settings(Mode::Slots);
        let mut former = Listeners::open(&settings, 3, &mut Found::default()).unwrap();
        // The places are no longer those of the slots.
        let second = former.get(ListenerId { group: 0, slot: 1 }).unwrap();
        listen::shutdown(second).unwrap();
        former.revive();
        former.steer([1].into_iter()).unwrap();
        let address = former.addresses()[0].clone();
        let _early = TcpStream::connect(&address).unwrap();
        let mut found = kept(&former, &[]);
        drop(former);
        let former = vec![address.clone()];

        let mut next = Listeners::open(&settings, 4, &mut found).unwrap();
        assert!(found.rest().is_empty() && !next.is_adrift());
        assert_eq!(next.addresses(), former);
        assert_eq!(waiting(&next, 1), 1);
        for slot in 0..4_u16 {
            next.steer([u32::from(slot)].into_iter()).unwrap();
            let before = waiting(&next, slot);
            let _clients: Vec<_> = (0..10).map(|_| TcpStream::connect(&address)).collect();
            assert_eq!(waiting(&next, slot), before + 10, "{slot}");
        }
    }

    #[test]
    fn where_places_are_not_known_the_kernel_chooses() {
        let settings = settings(Mode::Slots);
        let former = Listeners::open(&settings, 3, &mut Found::default()).unwrap();
        let address = former.addresses()[0].clone();
        let mut found = kept(&former, &[1]);
        drop(former);
        let mut next = Listeners::open(&settings, 3, &mut found).unwrap();
        assert!(next.is_adrift());
        next.steer([0].into_iter()).unwrap();
        let _clients: Vec<_> = (0..100).map(|_| TcpStream::connect(&address)).collect();
        let all: Vec<u32> = (0..3).map(|slot| waiting(&next, slot)).collect();
        assert!(all.iter().all(|&count| count > 5), "{all:?}");
    }

    #[test]
    fn a_shared_socket_is_one_and_an_address_that_is_not_wanted_is_left() {
        let shared = settings(Mode::Shared);
        let former = Listeners::open(&shared, 3, &mut Found::default()).unwrap();
        let mut found = kept(&former, &[]);
        for (_, kept, socket) in former.to_keep() {
            let slot = 2;
            let kept = Kept { slot, ..kept };
            found.add(kept, socket.try_clone_to_owned().unwrap());
        }
        let other = Listen {
            addresses: vec!["[::1]:0".into()],
            ..shared.clone()
        };
        Listeners::open(&other, 3, &mut found).unwrap();
        assert_eq!(found.rest(), former.addresses());
        let next = Listeners::open(&shared, 3, &mut found).unwrap();
        assert_eq!(next.to_keep().len(), 1);
        assert_eq!(next.addresses(), former.addresses());
    }

    #[test]
    fn what_does_not_listen_any_more_is_no_listener() {
        let settings = settings(Mode::Slots);
        let former = Listeners::open(&settings, 2, &mut Found::default()).unwrap();
        let mut found = kept(&former, &[]);
        former.refuse();
        let next = Listeners::open(&settings, 2, &mut found).unwrap();
        assert_ne!(next.addresses(), former.addresses());
    }
}
