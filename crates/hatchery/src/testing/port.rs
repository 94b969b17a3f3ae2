//! Ports for the tests.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{SOON, wait_for};

/// A port nobody listens on. Below the range from which the kernel gives ports to clients, so that
/// no connection of a test running at the same time can sit on it; counted up, so that two tests
/// never get the same.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u32 = 16_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    wait_for("a free port", SOON, || {
        let number = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + u16::try_from(number % COUNT).expect("it is below COUNT");
        is_free(port).then_some(port)
    })
}

/// Whether a listener can be bound to this port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
