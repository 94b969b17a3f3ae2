//! Addresses: IPv4, IPv6, unix sockets, several at once, and both ways to share them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::support::client::ask;
use crate::support::{
    Load, Plan, REQUEST_LIMIT, Request, SOON, Target, alone, showcase, wait_until,
};

#[test]
fn several_addresses_of_every_kind_at_once() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    for mode in ["slots", "shared"] {
        let builder = showcase();
        let port = builder.port();
        let addresses = [
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
            format!("unix:{}", path.display()),
        ];
        let mut pool = builder
            .set("listen.addresses", json!(addresses))
            .set("listen.mode", mode)
            .start();
        assert_eq!(pool.status().listen, addresses);
        let targets = [
            pool.target(),
            Target::Tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
            Target::Unix(path.clone()),
        ];
        let loads = targets.map(|target| {
            let answer = ask(&target, &Request::get("/hello"), REQUEST_LIMIT).unwrap();
            assert_eq!(answer.text(), "Hello, Hatchery", "{target:?}");
            Load::start(
                &target,
                Plan {
                    fresh: 1,
                    keep_alive: 1,
                    ..Plan::BOTH
                },
            )
        });
        for _ in 0..2 {
            pool.cli_ok(&["reload"]);
            pool.wait_whole(SOON);
            for load in &loads {
                load.serve_more(20);
            }
        }
        for load in loads {
            load.finish().assert_flawless();
        }
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
        pool.stop();
    }
}

#[test]
fn new_connections_are_spread_over_the_slots() {
    const CONNECTIONS: u64 = 400;
    let pool = showcase().start();
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for _ in 0..CONNECTIONS {
        let whoami = pool.ask(&Request::get("/whoami").close()).json();
        *counts.entry(whoami["slot"].as_u64().unwrap()).or_default() += 1;
    }
    // 100 each are expected, with a standard deviation of 8.7: six of them either way.
    let fair = counts.len() == 4 && counts.values().all(|count| (48..=152).contains(count));
    assert!(fair, "{counts:?}");
}

#[test]
fn a_dead_masters_unix_socket_is_replaced_and_a_living_ones_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let address = format!("unix:{}", path.display());
    let on_it = || {
        let addresses = json!([address]);
        showcase()
            .set("cluster.workers", 1)
            .set("listen.addresses", addresses)
    };
    // Dropping a listener leaves its file, as a killed process does.
    drop(UnixListener::bind(&path).unwrap());
    let first = on_it().start();
    let target = Target::Unix(path.clone());
    assert_eq!(
        ask(&target, &Request::get("/hello"), REQUEST_LIMIT)
            .unwrap()
            .status,
        200
    );

    let ended = on_it().run(SOON);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("in use"), "{ended:?}");
    assert_eq!(
        ask(&target, &Request::get("/hello"), REQUEST_LIMIT)
            .unwrap()
            .status,
        200
    );
    drop(first);
    let refused = ask(&target, &Request::get("/hello"), REQUEST_LIMIT).is_err();
    assert!(refused, "nobody is behind it any more");
}

#[test]
fn the_kernel_may_choose_the_port() {
    let pool = showcase()
        .set("listen.addresses", json!(["127.0.0.1:0"]))
        .start();
    let listen = pool.status().listen;
    let address: SocketAddr = listen[0].parse().unwrap();
    assert_ne!(address.port(), 0);
    let target = Target::Tcp(address);
    let mut slots = std::collections::BTreeSet::new();
    wait_until("every slot is behind that port", SOON, || {
        let whoami = ask(&target, &Request::get("/whoami"), REQUEST_LIMIT).unwrap();
        slots.insert(whoami.json()["slot"].as_u64());
        slots.len() == 4
    });
}
