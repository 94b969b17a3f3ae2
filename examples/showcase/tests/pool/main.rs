//! Real processes under real faults: what the showcase and the pool around it do, seen from
//! outside.
//!
//! No mocks, no fixed sleeps: a test starts a pool in a directory of its own, does something to it
//! and waits for what must come of it. The clients never retry, so that every request that a user
//! would have lost is seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod agent;
mod chaos;
mod cli;
mod cluster;
mod crash;
mod events;
mod exits;
mod handover;
mod hang;
mod http;
mod lifetime;
mod listen;
mod master;
mod memory;
mod orphans;
mod pressure;
mod releases;
mod reload;
mod scale;
mod service;
mod spares;
mod start;
mod static_files;
mod support;
mod upgrade;
mod websocket;
