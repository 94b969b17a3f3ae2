//! The listeners across a change of the master's image: the same sockets in the same order.

use std::io;
use std::os::fd::AsFd as _;

use hatchery_sys::inherit::Inherited;
use hatchery_sys::listen::{Address, Options};
use serde::{Deserialize, Serialize};

use super::{Group, Listeners, Sockets};
use crate::state::{Bag, Fd};

/// [`Listeners`] for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedListeners {
    groups: Vec<SavedGroup>,
    backlog: i32,
    live: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedGroup {
    address: String,
    sockets: SavedSockets,
    file: Option<(u64, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum SavedSockets {
    Shared(Fd),
    Slots {
        sockets: Vec<Fd>,
        order: Option<Vec<u32>>,
    },
}

impl SavedListeners {
    /// The addresses, as far as this build understands them.
    pub(crate) fn addresses(&self) -> Result<Vec<Address>, String> {
        self.groups
            .iter()
            .map(|group| group.address.parse())
            .collect::<Result<_, hatchery_sys::listen::ParseAddressError>>()
            .map_err(|error| error.to_string())
    }
}

impl Listeners {
    pub(crate) fn save<'a>(&'a self, bag: &mut Bag<'a>) -> SavedListeners {
        let Self {
            groups,
            options,
            live,
            version: _,
        } = self;
        let Options {
            backlog,
            // The same in all of ours.
            reuse_port: _,
            unix_mode: _,
        } = options;
        SavedListeners {
            groups: groups.iter().map(|group| group.save(bag)).collect(),
            backlog: *backlog,
            live: live.iter().copied().collect(),
        }
    }

    /// `addresses` are the saved ones, read.
    pub(crate) fn restore(
        saved: SavedListeners,
        addresses: Vec<Address>,
        inherited: &mut Inherited,
    ) -> io::Result<Self> {
        let groups = saved
            .groups
            .into_iter()
            .zip(addresses)
            .map(|(group, address)| Group::restore(group, address, inherited))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            groups,
            options: Options {
                backlog: saved.backlog,
                ..Options::default()
            },
            live: saved.live.into_iter().collect(),
            version: 1,
        })
    }
}

impl Group {
    fn save<'a>(&'a self, bag: &mut Bag<'a>) -> SavedGroup {
        let Self {
            address,
            sockets,
            file,
        } = self;
        let sockets = match sockets {
            Sockets::Shared(socket) => SavedSockets::Shared(bag.put(socket.as_fd())),
            Sockets::Slots { sockets, order } => SavedSockets::Slots {
                sockets: sockets.iter().map(|fd| bag.put(fd.as_fd())).collect(),
                order: order.clone(),
            },
        };
        SavedGroup {
            address: address.to_string(),
            sockets,
            file: *file,
        }
    }

    fn restore(saved: SavedGroup, address: Address, inherited: &mut Inherited) -> io::Result<Self> {
        let sockets = match saved.sockets {
            SavedSockets::Shared(fd) => Sockets::Shared(inherited.take(fd.number())?),
            SavedSockets::Slots { sockets, order } => {
                let sockets = sockets.into_iter().map(|fd| inherited.take(fd.number()));
                Sockets::Slots {
                    sockets: sockets.collect::<io::Result<_>>()?,
                    order,
                }
            }
        };
        Ok(Self {
            address,
            sockets,
            file: saved.file,
        })
    }
}
