//! The listeners: made once by the master, inherited by workers, never closed while it lives.
//!
//! In `slots` mode each TCP address has one `SO_REUSEPORT` socket a slot, and a classic BPF program
//! that chooses among the slots which can serve. The kernel numbers the sockets of a group in the
//! order in which they began to listen, and moves the last into the place of one that leaves, so
//! the group's order is tracked here. Sockets are never closed when the pool shrinks: what was
//! queued in them would be reset. They are steered away from and kept for the next growth.
//!
//! A slot that cannot serve may still have connections in its queue. The loop watches such sockets
//! and has a sibling empty them ([`Listeners::unattended`]).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use hatchery_ipc::child::Kept;
use hatchery_sys::listen::{self, Address, Options};

use crate::error::{Error, ErrorCode};
use crate::settings::{Listen, Mode};

mod found;
mod saved;

pub(crate) use found::Found;
pub(crate) use saved::SavedListeners;

/// All listeners of the application.
#[derive(Debug)]
pub(crate) struct Listeners {
    groups: Vec<Group>,
    options: Options,
    /// The slots that receive new connections.
    live: BTreeSet<u32>,
    /// Changes whenever there is another socket or another order.
    version: u64,
}

/// One address.
#[derive(Debug)]
struct Group {
    /// As the kernel tells it: port 0 has become a number.
    address: Address,
    sockets: Sockets,
    /// The unix socket's file, by device and inode, as it was when it was made.
    file: Option<(u64, u64)>,
}

#[derive(Debug)]
enum Sockets {
    /// One socket for all workers.
    Shared(OwnedFd),
    /// One a slot.
    Slots {
        sockets: Vec<OwnedFd>,
        /// The slot of each place in the kernel's group. `None`: not known, the kernel chooses.
        order: Option<Vec<u32>>,
    },
}

/// Names one socket: the address's place in the configuration, and the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerId {
    pub(crate) group: u16,
    pub(crate) slot: u16,
}

impl ListenerId {
    /// As a number for messages and tokens.
    pub(crate) fn to_u32(self) -> u32 {
        u32::from(self.group) << 16 | u32::from(self.slot)
    }

    /// The inverse of [`to_u32`](Self::to_u32).
    pub(crate) fn from_u32(number: u32) -> Self {
        Self {
            group: (number >> 16) as u16,
            slot: (number & 0xffff) as u16,
        }
    }
}

impl Listeners {
    /// Takes over what was found and binds every other address. A failure names the address; what
    /// was bound is closed again.
    pub(crate) fn open(listen: &Listen, slots: u32, found: &mut Found) -> Result<Self, Error> {
        let options = Options {
            backlog: listen.backlog,
            ..Options::default()
        };
        let mut groups = Vec::new();
        for text in &listen.addresses {
            let address: Address = text.parse().map_err(|error| {
                Error::new(ErrorCode::Listen, format!("listen {text:?}: {error}"))
            })?;
            let group = match found.take(&address) {
                Some(taken) => Group::take_over(taken, &options, slots),
                None => Group::open(&address, listen.mode, &options, slots),
            };
            let group = group.map_err(|error| cannot_listen(text, &error))?;
            groups.push(group);
        }
        Ok(Self {
            groups,
            options,
            live: BTreeSet::new(),
            version: 1,
        })
    }

    /// Tells one state of the list below from another.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Every socket with all that another master must know of it, and the number of its address.
    pub(crate) fn to_keep(&self) -> Vec<(usize, Kept, BorrowedFd<'_>)> {
        let mut all = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            for (socket, slot) in group.all().zip(0..) {
                let kept = Kept {
                    address: group.address.to_string(),
                    slot,
                    place: group.place(slot),
                };
                all.push((number, kept, socket));
            }
        }
        all
    }

    /// Whether the kernel chooses among the slots of some address.
    pub(crate) fn is_adrift(&self) -> bool {
        let adrift = |group: &Group| matches!(group.sockets, Sockets::Slots { order: None, .. });
        self.groups.iter().any(adrift)
    }

    /// Leaves the files of unix sockets to the processes that serve on.
    pub(crate) fn leave_files(&mut self) {
        for group in &mut self.groups {
            group.file = None;
        }
    }

    /// The addresses, as clients would write them.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.groups
            .iter()
            .map(|group| group.address.to_string())
            .collect()
    }

    /// What the worker of `slot` inherits: one socket an address. Makes missing sockets.
    pub(crate) fn for_slot(&mut self, slot: u32) -> io::Result<Vec<BorrowedFd<'_>>> {
        for group in &mut self.groups {
            if group.grow(slot, &self.options)? {
                self.version += 1;
            }
        }
        Ok(self.groups.iter().map(|group| group.socket(slot)).collect())
    }

    /// From now on new connections go to these slots. An empty set changes nothing in the kernel:
    /// what arrives waits where it is.
    pub(crate) fn steer(&mut self, slots: impl Iterator<Item = u32>) -> io::Result<()> {
        self.live = slots.collect();
        self.apply()
    }

    fn apply(&self) -> io::Result<()> {
        if self.live.is_empty() {
            return Ok(());
        }
        for group in &self.groups {
            group.steer(&self.live)?;
        }
        Ok(())
    }

    /// The sockets that nobody accepts from although somebody else could: to be watched.
    pub(crate) fn unattended(&self) -> Vec<ListenerId> {
        if self.live.is_empty() {
            return Vec::new();
        }
        let mut ids = Vec::new();
        for (group, index) in self.groups.iter().zip(0..) {
            if let Sockets::Slots { sockets, .. } = &group.sockets {
                let slots = 0..u16::try_from(sockets.len()).unwrap_or(u16::MAX);
                let idle = slots.filter(|&slot| !self.live.contains(&u32::from(slot)));
                ids.extend(idle.map(|slot| ListenerId { group: index, slot }));
            }
        }
        ids
    }

    /// The socket of that name.
    pub(crate) fn get(&self, id: ListenerId) -> Option<BorrowedFd<'_>> {
        let group = self.groups.get(usize::from(id.group))?;
        match &group.sockets {
            Sockets::Shared(socket) => Some(socket.as_fd()),
            Sockets::Slots { sockets, .. } => Some(sockets.get(usize::from(id.slot))?.as_fd()),
        }
    }

    /// Makes sockets listen again that a worker has shut down (`shutdown()` on an inherited
    /// listener ends it for all who hold it). Returns the addresses that were revived.
    pub(crate) fn revive(&mut self) -> Vec<String> {
        let mut revived = Vec::new();
        for group in &mut self.groups {
            if group.revive(self.options.backlog) {
                revived.push(group.address.to_string());
            }
        }
        if !revived.is_empty() {
            self.version += 1;
            // The groups' order has changed. A failure leaves the kernel's own spread, which works.
            let _ = self.apply();
        }
        revived
    }

    /// Whether connections wait in a queue (of a unix socket nobody can tell).
    pub(crate) fn anybody_waits(&self) -> bool {
        let waits = |socket| listen::queue(socket).is_ok_and(|queue| queue.waiting > 0);
        self.groups.iter().any(|group| group.all().any(waits))
    }

    /// Refuses new connections from now on, in every process: the application stops.
    pub(crate) fn refuse(&self) {
        for group in &self.groups {
            for socket in group.all() {
                let _ = listen::shutdown(socket);
            }
        }
    }
}

impl Drop for Listeners {
    /// A unix socket's file says that somebody listens: it goes with the listener.
    fn drop(&mut self) {
        for group in &self.groups {
            // Another application may have taken the path since this one has begun to refuse.
            if let Address::Unix(path) = &group.address
                && group.file.is_some()
                && group.file == file_of(path)
            {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn file_of(path: &std::path::Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

impl Group {
    fn open(address: &Address, mode: Mode, options: &Options, slots: u32) -> io::Result<Self> {
        if mode == Mode::Slots && matches!(address, Address::Tcp(_)) {
            // Asked first: `SO_REUSEPORT` would let two applications of one user share a port
            // without a word.
            if listen::in_use(address)? {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let reuse = Options {
                reuse_port: true,
                ..*options
            };
            let first = listen::bind(address, &reuse)?;
            // Where the filter is refused (some sandboxes), one shared socket serves as well.
            if listen::steer(first.as_fd(), &[0]).is_ok() {
                let address = listen::local_address(first.as_fd())?;
                let sockets = Sockets::Slots {
                    sockets: vec![first],
                    order: Some(vec![0]),
                };
                let mut group = Self {
                    address,
                    sockets,
                    file: None,
                };
                group.grow(slots.saturating_sub(1), options)?;
                return Ok(group);
            }
        }
        let socket = listen::bind(
            address,
            &Options {
                reuse_port: false,
                ..*options
            },
        )?;
        let address = match address {
            Address::Tcp(_) => listen::local_address(socket.as_fd())?,
            Address::Unix(_) => address.clone(),
        };
        let file = match &address {
            Address::Unix(path) => file_of(path),
            Address::Tcp(_) => None,
        };
        Ok(Self {
            address,
            file,
            sockets: Sockets::Shared(socket),
        })
    }

    /// Goes on with the sockets of a former master.
    fn take_over(taken: found::Taken, options: &Options, slots: u32) -> io::Result<Self> {
        let mut group = Self {
            file: match &taken.address {
                Address::Unix(path) => file_of(path),
                Address::Tcp(_) => None,
            },
            address: taken.address,
            sockets: taken.sockets,
        };
        let reuse = Options {
            reuse_port: true,
            ..*options
        };
        if let Sockets::Slots { sockets, order } = &mut group.sockets {
            for slot in taken.missing {
                sockets.insert(slot as usize, listen::bind(&group.address, &reuse)?);
                *order = None;
            }
            if order.is_none()
                && let Some(any) = sockets.first()
            {
                listen::unsteer(any)?;
            }
        }
        group.grow(slots.saturating_sub(1), options)?;
        Ok(group)
    }

    /// The place of a slot's socket in the kernel's group.
    fn place(&self, slot: u32) -> Option<u32> {
        match &self.sockets {
            Sockets::Shared(_) => Some(0),
            Sockets::Slots { order, .. } => {
                let place = order.as_ref()?.iter().position(|&other| other == slot)?;
                u32::try_from(place).ok()
            }
        }
    }

    /// Makes the sockets up to this slot's. Returns whether there was one to make.
    fn grow(&mut self, slot: u32, options: &Options) -> io::Result<bool> {
        let mut grown = false;
        if let Sockets::Slots { sockets, order } = &mut self.sockets {
            while sockets.len() <= slot as usize {
                let new = sockets.len();
                let reuse = Options {
                    reuse_port: true,
                    ..*options
                };
                sockets.push(listen::bind(&self.address, &reuse)?);
                if let Some(order) = order {
                    order.push(u32::try_from(new).unwrap_or(u32::MAX));
                }
                grown = true;
            }
        }
        Ok(grown)
    }

    fn socket(&self, slot: u32) -> BorrowedFd<'_> {
        match &self.sockets {
            Sockets::Shared(socket) => socket.as_fd(),
            Sockets::Slots { sockets, .. } => sockets[slot as usize].as_fd(),
        }
    }

    fn all(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        match &self.sockets {
            Sockets::Shared(socket) => std::slice::from_ref(socket),
            Sockets::Slots { sockets, .. } => sockets,
        }
        .iter()
        .map(|socket| socket.as_fd())
    }

    fn steer(&self, live: &BTreeSet<u32>) -> io::Result<()> {
        let Sockets::Slots {
            sockets,
            order: Some(order),
        } = &self.sockets
        else {
            return Ok(());
        };
        let places: Vec<u32> = (0..)
            .zip(order)
            .filter(|(_, slot)| live.contains(slot))
            .map(|(place, _)| place)
            .collect();
        match (places.is_empty(), sockets.first()) {
            (false, Some(any)) => listen::steer(any.as_fd(), &places),
            _ => Ok(()),
        }
    }

    fn revive(&mut self, backlog: i32) -> bool {
        let listens = |socket: &OwnedFd| listen::queue(socket.as_fd()).is_ok_and(|q| q.listening);
        match &mut self.sockets {
            Sockets::Shared(socket) => {
                matches!(self.address, Address::Tcp(_))
                    && !listens(socket)
                    && listen::relisten(socket.as_fd(), backlog).is_ok()
            }
            Sockets::Slots { sockets, order } => {
                let mut revived = false;
                for (socket, slot) in sockets.iter().zip(0_u32..) {
                    if listens(socket) {
                        continue;
                    }
                    // The kernel moved the last socket into the place of this one.
                    if let Some(order) = order
                        && let Some(place) = order.iter().position(|&other| other == slot)
                    {
                        order.swap_remove(place);
                    }
                    if listen::relisten(socket.as_fd(), backlog).is_ok() {
                        if let Some(order) = order {
                            order.push(slot);
                        }
                        revived = true;
                    }
                }
                revived
            }
        }
    }
}

fn cannot_listen(address: &str, error: &io::Error) -> Error {
    let hint = match error.kind() {
        _ if address.starts_with("unix:") => "",
        io::ErrorKind::AddrInUse => "; another process serves it (`ss -ltnp` names it)",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    };
    let error = error.to_string();
    let what = if error.contains("cannot listen") {
        error
    } else {
        format!("cannot listen on {address}: {error}")
    };
    Error::new(ErrorCode::Listen, format!("{what}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn open(mode: Mode, slots: u32) -> Listeners {
        let listen = Listen {
            addresses: vec!["127.0.0.1:0".into()],
            mode,
            ..Listen::default()
        };
        Listeners::open(&listen, slots, &mut Found::default()).unwrap()
    }

    fn waiting(listeners: &Listeners, slot: u16) -> u32 {
        listen::queue(listeners.get(ListenerId { group: 0, slot }).unwrap())
            .unwrap()
            .waiting
    }

    fn connect(listeners: &Listeners, count: usize) -> Vec<TcpStream> {
        let address = &listeners.addresses()[0];
        (0..count)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect()
    }

    #[test]
    fn connections_go_to_live_slots_only() {
        let mut listeners = open(Mode::Slots, 4);
        listeners.steer([1, 3].into_iter()).unwrap();
        let _clients = connect(&listeners, 60);
        assert_eq!(waiting(&listeners, 0) + waiting(&listeners, 2), 0);
        assert!(waiting(&listeners, 1) > 10 && waiting(&listeners, 3) > 10);
        let unattended: Vec<_> = listeners.unattended().iter().map(|id| id.slot).collect();
        assert_eq!(unattended, [0, 2]);
    }

    #[test]
    fn a_shared_listener_needs_nobody_to_watch_it() {
        let mut listeners = open(Mode::Shared, 4);
        listeners.steer([1].into_iter()).unwrap();
        assert!(listeners.unattended().is_empty());
        assert_eq!(listeners.for_slot(7).unwrap().len(), 1);
    }

    #[test]
    fn a_port_in_use_is_named_even_with_slots() {
        let first = open(Mode::Slots, 2);
        let address = first.addresses()[0].clone();
        let listen = Listen {
            addresses: vec![address.clone()],
            ..Listen::default()
        };
        let error = Listeners::open(&listen, 2, &mut Found::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Listen);
        assert!(error.to_string().contains(&address), "{error}");
    }

    #[test]
    fn a_listener_shut_down_by_a_worker_listens_again_in_its_place() {
        let mut listeners = open(Mode::Slots, 4);
        listeners.steer(0..4).unwrap();
        listen::shutdown(listeners.get(ListenerId { group: 0, slot: 1 }).unwrap()).unwrap();
        assert_eq!(listeners.revive().len(), 1);
        assert!(listeners.revive().is_empty());
        // Slot 3 has moved to place 1, slot 1 is the last: steering still finds the right ones.
        listeners.steer([3].into_iter()).unwrap();
        let _clients = connect(&listeners, 20);
        assert_eq!(waiting(&listeners, 3), 20);
        listeners.steer([1].into_iter()).unwrap();
        let _more = connect(&listeners, 20);
        assert_eq!(waiting(&listeners, 1), 20);
    }

    #[test]
    fn numbers_name_one_socket() {
        let id = ListenerId {
            group: 3,
            slot: 1023,
        };
        assert_eq!(ListenerId::from_u32(id.to_u32()), id);
    }
}
