//! A worker's HTTP serving: listeners, connections, time-outs and the drain.
//!
//! One [`Server`] a thread, on a current-thread runtime of its own. It accepts, ticks the
//! instance's page and sweeps its connections for time-outs, all in one loop, so that the tick
//! proves that requests can be served. Each connection is one hand-written future
//! ([`connection`]) around hyper; there is no task, timer or lock for a request.
//!
//! - [`limits`]: the `[http]` table of the configuration.
//! - [`server`]: the loop: accept, tick, sweep, drain.
//! - [`connection`], [`sniff`], [`io`]: one connection, from its first byte to its last; [`common`]:
//!   what those of a thread share.
//! - [`endpoint`]: what answers requests, the application's.
//! - [`service`], [`body`]: one request: counters, panics, `Connection: close`. [`shed`]: which ones
//!   are refused while memory is short.
//! - [`arrivals`]: connections that come from another process, or come back; [`unread`]: those that
//!   can be taken from a thread that hangs.
//! - [`registry`], [`verdict`]: who is connected, and who has to go.

mod arrivals;
mod body;
mod common;
mod connection;
mod endpoint;
mod io;
mod limits;
mod listener;
mod registry;
mod server;
mod service;
mod shed;
mod sniff;
mod state;
#[cfg(test)]
mod tests;
mod unread;
mod verdict;

pub(crate) use arrivals::{Arrival, Arrivals};
pub(crate) use common::{Detached, Heir};
pub(crate) use endpoint::Endpoint;
pub(crate) use limits::Limits;
pub(crate) use listener::Socket;
pub(crate) use server::{Ended, Order, Server, Setup};
#[cfg(any(test, feature = "testing"))]
pub(crate) use service::body_limit;
pub(crate) use unread::Unread;
