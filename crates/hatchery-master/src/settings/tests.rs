//! Good and bad settings.

use std::time::Duration;

use hatchery_supervisor::Policy;
use serde_json::{Value, json};

use super::*;

#[test]
fn settings_of_another_release_are_read_as_far_as_they_are_known() {
    let mut settings = Settings::default();
    settings.cluster.workers = Workers::Count(7);
    settings.cluster.memory_hard = Some(1 << 30);
    let mut saved = settings.save().unwrap();
    assert_eq!(Settings::restore(saved.clone()).unwrap(), settings);
    saved["cluster"]["telepathy"] = true.into();
    saved["metrics"] = serde_json::json!({"address": ":9"});
    assert_eq!(Settings::restore(saved.clone()).unwrap(), settings);
    saved["cluster"]["lifetime"] = "soon".into();
    assert!(Settings::restore(saved).unwrap_err().contains("soon"));
}

fn read(value: Value) -> Result<Settings, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn cluster(key: &str, value: Value) -> Result<Cluster, String> {
    let mut table = serde_json::Map::new();
    table.insert(key.to_owned(), value);
    read(json!({ "cluster": table })).map(|settings| settings.cluster)
}

#[test]
fn defaults_are_the_supervisors_and_valid() {
    let settings = Settings::default();
    assert_eq!(settings.policy(4), Policy::default());
    assert_eq!(settings.policy(7).workers, 7);
    assert_eq!(settings.validate(), []);
    assert_eq!(read(json!({})).unwrap(), settings);
    assert_eq!(settings.listen.addresses, ["127.0.0.1:7001"]);
}

#[test]
fn what_is_written_reads_back() {
    let changed = read(json!({
        "cluster": {
            "workers": 3, "surge": 2, "lifetime": "0s", "memory_soft": "100MiB",
            "memory_hard": "1GB", "heartbeat_interval": "1.5s",
        },
        "listen": { "addresses": [7001, ":7002", "[::1]:7003", "unix:/run/a.sock"], "mode": "shared" },
    }))
    .unwrap();
    assert_eq!(
        changed.listen.addresses,
        [":7001", ":7002", "[::1]:7003", "unix:/run/a.sock"]
    );
    for settings in [Settings::default(), changed] {
        let written = serde_json::to_value(&settings).unwrap();
        assert_eq!(read(written).unwrap(), settings);
    }
    let written = serde_json::to_value(Settings::default()).unwrap();
    assert_eq!(written["cluster"]["lifetime"], "1h");
    assert_eq!(written["cluster"]["heartbeat_interval"], "250ms");
    assert_eq!(written["cluster"]["memory_soft"], "512MiB");
    assert_eq!(written["cluster"]["surge"], "25%");
    assert_eq!(written["cluster"]["workers"], "auto");
    assert_eq!(written["listen"]["mode"], "slots");
}

#[test]
fn bad_values_say_how_to_write_good_ones() {
    for (key, value, expected) in [
        ("lifetime", json!(3600), "write \"3600s\" or \"3600ms\""),
        (
            "lifetime",
            json!(-1),
            "a number without a unit is not a duration",
        ),
        ("lifetime", json!("soon"), "`soon` is not a duration"),
        ("lifetime", json!(true), "expected a duration"),
        ("memory_soft", json!(512), "write \"512MiB\" or \"512KiB\""),
        ("memory_hard", json!("512"), "`512` is not a size"),
        (
            "workers",
            json!("many"),
            "`many` is not \"auto\" or a number",
        ),
        (
            "workers",
            json!(0),
            "0 is not \"auto\" or a number of workers from 1 to 1024",
        ),
        ("workers", json!(1025), "1025 is not"),
        ("workers", json!(-4), "-4 is not"),
        ("workers", json!(2.5), "invalid type: floating point"),
        (
            "surge",
            json!("25"),
            "`25` is not a share from \"1%\" to \"100%\"",
        ),
        ("surge", json!("0%"), "`0%` is not"),
        ("surge", json!("101%"), "`101%` is not"),
        ("lifetme", json!("1h"), "unknown field `lifetme`"),
    ] {
        let error = cluster(key, value.clone()).unwrap_err();
        assert!(error.contains(expected), "{key} = {value}: {error}");
    }
    for (value, expected) in [
        (
            json!(["localhost:7001"]),
            "`localhost:7001` is not an address",
        ),
        (json!(["127.0.0.1"]), "is not an address"),
        (json!([70000]), "70000 is not a port"),
        (json!([-1]), "is not an address"),
        (json!(["unix:run/a.sock"]), "must begin with `/`"),
        (json!(["::1:7001"]), "is not an address"),
        (json!([""]), "is not an address"),
        (json!({}), "expected a list of addresses"),
    ] {
        let error = read(json!({ "listen": { "addresses": value } })).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = read(json!({ "listen": { "mode": "slot" } })).unwrap_err();
    assert!(error.contains("`slots` or `shared`"), "{error}");
}

#[test]
fn a_single_address_needs_no_list() {
    for (value, expected) in [
        (json!(7005), ":7005"),
        (json!("127.0.0.1:80"), "127.0.0.1:80"),
    ] {
        let settings = read(json!({ "listen": { "addresses": value } })).unwrap();
        assert_eq!(settings.listen.addresses, [expected]);
    }
}

#[test]
fn rules_between_keys() {
    type Change = fn(&mut Settings);
    let cases: &[(Change, &str)] = &[
        (
            |s| s.cluster.suspect_after = Duration::from_secs(10),
            "cluster.suspect_after: 10s must be less than `hang_timeout` (10s)",
        ),
        (
            |s| s.cluster.heartbeat_interval = Duration::from_millis(600),
            "cluster.suspect_after: 1s must be at least twice `heartbeat_interval` (600ms)",
        ),
        (
            |s| s.cluster.memory_hard = Some(512 << 20),
            "cluster.memory_hard: 512MiB must be more than `memory_soft` (512MiB)",
        ),
        (
            |s| s.cluster.backoff_initial = Duration::from_mins(1),
            "cluster.backoff_initial: 1m must be at most `backoff_max` (30s)",
        ),
        (
            |s| s.cluster.idle_grace = Duration::from_secs(31),
            "cluster.idle_grace: 31s must be at most `drain_timeout` (30s)",
        ),
        (
            |s| s.cluster.ready_timeout = Duration::ZERO,
            "cluster.ready_timeout: 0s is too short, the least is 10ms",
        ),
        (
            |s| s.cluster.spares = 1025,
            "cluster.spares: 1025 is not from 0 to 1024",
        ),
        (
            |s| s.cluster.workers = Workers::Count(0),
            "cluster.workers: 0 is not from 1 to 1024",
        ),
        (
            |s| s.cluster.crash_budget_per_worker = 0,
            "cluster.crash_budget_per_worker: 0 is not from 1 to 1000",
        ),
        (
            |s| s.cluster.lifetime = Duration::MAX,
            "cluster.lifetime: longer than 366 days",
        ),
        (
            |s| s.listen.addresses.clear(),
            "listen.addresses: at least one address is needed",
        ),
        (
            |s| s.listen.addresses.push("127.0.0.1:7001".to_owned()),
            "listen.addresses: `127.0.0.1:7001` is there twice",
        ),
        (
            |s| s.listen.backlog = 0,
            "listen.backlog: 0 is not from 1 to 65535",
        ),
    ];
    for (change, expected) in cases {
        let mut settings = Settings::default();
        change(&mut settings);
        let problems: Vec<String> = settings
            .validate()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(problems, [*expected]);
    }
}

#[test]
fn zeros_that_mean_something_are_valid() {
    let mut settings = Settings::default();
    let cluster = &mut settings.cluster;
    for duration in [
        &mut cluster.lifetime,
        &mut cluster.lifetime_spacing,
        &mut cluster.idle_grace,
        &mut cluster.min_ready,
        &mut cluster.orphan_grace,
        &mut cluster.memory_fresh,
        &mut cluster.abort_grace,
    ] {
        *duration = Duration::ZERO;
    }
    (cluster.memory_soft, cluster.memory_hard) = (0, None);
    settings.listen.addresses = vec!["127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()];
    assert_eq!(settings.validate(), []);
    assert_eq!(settings.policy(4).memory_hard, 0);
}

#[test]
fn a_count_of_surge_becomes_its_share() {
    for (surge, workers, percent) in [
        (Surge::Percent(25), 4, 25),
        (Surge::Percent(0), 4, 1),
        (Surge::Workers(1), 4, 25),
        (Surge::Workers(1), 3, 34),
        (Surge::Workers(2), 3, 67),
        (Surge::Workers(9), 4, 100),
        (Surge::Workers(1), 0, 100),
    ] {
        assert_eq!(surge.percent(workers), percent, "{surge:?} of {workers}");
        // What the supervisor makes of it, rounding down.
        if let Surge::Workers(count) = surge {
            assert_eq!(workers * percent / 100, count.min(workers));
        }
    }
}
