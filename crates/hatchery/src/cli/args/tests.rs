//! Command lines and what they mean.

use std::os::unix::ffi::OsStringExt;

use serde_json::json;

use super::*;

fn parse(line: &str) -> Result<Invocation, String> {
    Invocation::parse(line.split_whitespace().map(OsString::from))
        .map_err(|error| error.to_string())
}

#[test]
fn verbs_and_flags_are_understood() {
    type Change = fn(&mut Invocation);
    let cases: &[(&str, Verb, Change)] = &[
        ("", Verb::Start, |_| ()),
        ("start", Verb::Start, |_| ()),
        ("--daemon", Verb::Start, |i| i.daemon = true),
        ("start --single --env prod", Verb::Start, |i| {
            i.single = true;
            i.env = Some("prod".to_owned());
        }),
        (
            "--env=prod start --listen :1 --listen=:2 --workers 3 --title t",
            Verb::Start,
            |i| {
                i.env = Some("prod".to_owned());
                i.listen = vec![":1".to_owned(), ":2".to_owned()];
                i.workers = Some("3".to_owned());
                i.title = Some("t".to_owned());
            },
        ),
        (
            "--check --emit-fd 3 --base-dir /a --run-dir b",
            Verb::Start,
            |i| {
                i.check = true;
                i.emit_fd = Some(3);
                i.base_dir = Some("/a".into());
                i.run_dir = Some("b".into());
            },
        ),
        ("--ready-fd 7", Verb::Start, |i| i.ready_fd = Some(7)),
        ("stop --fast --timeout 5", Verb::Stop, |i| {
            i.fast = true;
            i.timeout = Some(Duration::from_secs(5));
        }),
        ("--app shop stop --no-wait", Verb::Stop, |i| {
            i.app = Some("shop".to_owned());
            i.no_wait = true;
        }),
        ("restart", Verb::Restart, |_| ()),
        ("reload --run-dir /r", Verb::Reload, |i| {
            i.run_dir = Some("/r".into());
        }),
        ("scale 8", Verb::Scale(8), |_| ()),
        ("--no-wait scale 1024", Verb::Scale(1024), |i| {
            i.no_wait = true;
        }),
        ("status --json", Verb::Status, |i| i.json = true),
        ("list", Verb::List, |_| ()),
        ("help", Verb::Help(None), |_| ()),
        ("-h", Verb::Help(None), |_| ()),
        ("--daemon --help", Verb::Help(None), |_| ()),
        ("help stop", Verb::Help(Some(VerbId::Stop)), |_| ()),
        ("stop --help", Verb::Help(Some(VerbId::Stop)), |_| ()),
        ("scale -h", Verb::Help(Some(VerbId::Scale)), |_| ()),
        ("version", Verb::Version, |_| ()),
        ("-V", Verb::Version, |_| ()),
        ("status --version", Verb::Version, |_| ()),
    ];
    for (line, verb, change) in cases {
        let mut expected = Invocation::new(*verb);
        change(&mut expected);
        assert_eq!(parse(line), Ok(expected), "{line}");
    }
}

#[test]
fn usage_errors_are_one_line() {
    for (line, expected) in [
        ("stauts", "unknown verb `stauts`, did you mean `status`?"),
        ("frobnicate", "unknown verb `frobnicate`"),
        // Of the contract, but of a later version.
        ("levitate", "unknown verb `levitate`"),
        (
            "--demon",
            "unknown flag `--demon`, did you mean `--daemon`?",
        ),
        ("--emit-f 3", "unknown flag `--emit-f`"),
        ("-x", "unknown flag `-x`"),
        ("scale -1", "unknown flag `-1`"),
        ("stop --listen :1", "`stop` does not take `--listen`"),
        ("start --json", "`start` does not take `--json`"),
        ("--app shop", "`start` does not take `--app`"),
        ("list --app shop", "`list` does not take `--app`"),
        ("--listen", "`--listen` needs a value: ADDR"),
        ("--env=", "`--env` is empty"),
        ("--run-dir=", "`--run-dir` is empty"),
        ("--workers 1 --workers 2", "`--workers` is there twice"),
        ("--daemon --daemon", "`--daemon` is there twice"),
        (
            "--daemon --single",
            "`--daemon` and `--single` exclude each other",
        ),
        (
            "--single --check",
            "`--single` and `--check` exclude each other",
        ),
        (
            "--emit-fd 3",
            "`--emit-fd` needs `--check` or `--check-state`",
        ),
        (
            "--check --emit-fd 2",
            "`--emit-fd`: `2` is not a descriptor",
        ),
        ("--ready-fd x", "`--ready-fd`: `x` is not a descriptor"),
        ("scale", "`scale` needs a number of workers from 1 to 1024"),
        (
            "scale 0",
            "`scale`: `0` is not a number of workers from 1 to 1024",
        ),
        (
            "scale 1025",
            "`scale`: `1025` is not a number of workers from 1 to 1024",
        ),
        ("scale 2 3", "`scale`: one word too many: `3`"),
        ("stop now", "`stop`: one word too many: `now`"),
        ("help stpo", "unknown verb `stpo`, did you mean `stop`?"),
        (
            "stop --timeout 0",
            "`--timeout`: `0` is not a number of seconds from 1 to 86400",
        ),
        (
            "stop --timeout soon",
            "`--timeout`: `soon` is not a number of seconds from 1 to 86400",
        ),
        (
            "--daemon=yes",
            "unexpected argument for option '--daemon': \"yes\"",
        ),
    ] {
        assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
    }
    let strange = OsString::from_vec(b"\xff".to_vec());
    let env = Invocation::parse(["--env".into(), strange.clone()]).unwrap_err();
    assert_eq!(env.to_string(), "`--env` is not UTF-8");
    let path = Invocation::parse(["--run-dir".into(), strange.clone()]).unwrap();
    assert_eq!(path.run_dir, Some(strange.into()));
}

#[test]
fn flags_change_the_configuration() {
    let invocation = parse("--listen :1 --listen unix:/s --workers 3 --env e").unwrap();
    let overrides: Vec<_> = invocation
        .overrides()
        .into_iter()
        .map(|change| (change.key, change.value, change.flag))
        .collect();
    let expected = [
        (
            "listen.addresses".to_owned(),
            json!([":1", "unix:/s"]),
            "--listen".to_owned(),
        ),
        (
            "cluster.workers".to_owned(),
            json!(3),
            "--workers".to_owned(),
        ),
    ];
    assert_eq!(overrides, expected);
    for (word, value) in [
        ("auto", json!("auto")),
        ("-3", json!(-3)),
        ("3x", json!("3x")),
    ] {
        let invocation = parse(&format!("--workers={word}")).unwrap();
        assert_eq!(invocation.overrides()[0].value, value);
    }
    assert_eq!(parse("stop").unwrap().overrides(), []);
}

#[test]
fn configuration_arguments_read_back() {
    let line = "--listen :1 --listen :2 --workers auto --env prod --base-dir /b --run-dir /r";
    let invocation = parse(line).unwrap();
    assert_eq!(
        Invocation::parse(invocation.config_arguments()),
        Ok(invocation)
    );
    // What is not configuration stays behind.
    let invocation = parse("--daemon --title t --timeout 5").unwrap();
    assert!(invocation.config_arguments().is_empty());
}

#[test]
fn help_shows_what_the_tables_have() {
    let all = help("shop", None);
    for row in VERBS {
        assert!(all.contains(&format!("\n  {}", row.name)), "{}", row.name);
        let text = help("shop", Some(row.id));
        assert!(text.starts_with(row.help), "{text}");
        assert!(
            text.contains(&format!("Usage: shop {}", row.name)),
            "{text}"
        );
        for flag in FLAGS {
            let shown = text.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.any(|word| word == format!("--{}", flag.name))
            });
            assert_eq!(
                shown,
                !flag.hidden && flag.verbs.contains(&row.id),
                "{text}\n{}",
                flag.name
            );
        }
    }
    assert!(all.lines().all(|line| line.len() <= 100), "{all}");
    assert!(
        all.contains("      --listen ADDR      Listen here"),
        "{all}"
    );
    assert!(all.contains("  -h, --help             Show help"), "{all}");
    assert!(!all.contains("emit-fd") && !all.contains("resume-fd"));
    assert!(version("shop", "1.2.3").starts_with("shop 1.2.3 (hatchery "));
}
