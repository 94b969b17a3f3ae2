//! The verbs that look back: `exits` and `events`.

use std::io::Write as _;
use std::ops::ControlFlow;

use hatchery_ipc::control::{Request, Response, Verb};
use hatchery_ipc::events::Event;
use hatchery_ipc::exits::Exit;
use hatchery_master::client::Client;
use hatchery_master::{exits_file, read_exits};

use super::args::Invocation;
use super::say;
use super::show::{duration, size};
use super::verbs::{STATUS_TIMEOUT, connect_to_answer, socket};
use crate::Package;
use crate::complain::complain;

/// `exits`: from the running master, else from the file that the last one has left.
pub(super) fn exits(package: Package, options: &Invocation) -> anyhow::Result<()> {
    let socket = socket(package, options)?;
    let exits = match Client::connect(&socket) {
        Ok(mut client) => ask_exits(&mut client)?,
        Err(error) if error.is_not_running() => {
            let name = options.app.as_deref().unwrap_or(package.name);
            let file = exits_file(socket.parent().unwrap_or(&socket), name);
            read_exits(&file)
                .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", file.display()))?
        }
        Err(error) => return Err(error.into()),
    };
    if options.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&exits)?));
    } else if exits.is_empty() {
        say("no process has ended\n");
    } else {
        let texts: Vec<_> = exits.iter().map(exit_text).collect();
        say(&texts.join("\n"));
    }
    Ok(())
}

fn ask_exits(client: &mut Client) -> anyhow::Result<Vec<Exit>> {
    let mut exits = Vec::new();
    let keep = |response: Response| {
        exits.extend(response.exit.map(|exit| *exit));
        ControlFlow::Continue(())
    };
    let request = Request::new(Verb::Exits);
    let end = client.stream(&request, Some(STATUS_TIMEOUT), keep)?;
    finished(client, end, "exits")?;
    Ok(exits)
}

/// An answer whose last line says that it is not, or that is cut off, is a failure.
fn finished(client: &Client, end: Option<Response>, what: &str) -> anyhow::Result<()> {
    match end {
        Some(end) if end.ok => Ok(()),
        Some(end) => anyhow::bail!("{}", end.message.unwrap_or_default()),
        None => anyhow::bail!(
            "the master (pid {}) ended before it had told all {what}",
            client.pid()
        ),
    }
}

/// `events`; with `-f` until the master ends or nobody reads any more.
pub(super) fn events(package: Package, options: &Invocation) -> anyhow::Result<()> {
    let mut client = connect_to_answer(package, options)?;
    let request = Request::new(Verb::Events {
        follow: options.follow,
    });
    let mut last = 0;
    let mut is_read = true;
    let show = |response: Response| {
        let Some(event) = response.event else {
            return ControlFlow::Continue(());
        };
        if last > 0 && event.seq > last + 1 {
            let missed = event.seq - last - 1;
            complain(format_args!(
                "{missed} events are lost: this reader is too slow"
            ));
        }
        last = event.seq;
        let text = if options.json {
            serde_json::to_string(&event).unwrap_or_default()
        } else {
            event_text(&event)
        };
        let mut out = std::io::stdout().lock();
        is_read = writeln!(out, "{text}").and_then(|()| out.flush()).is_ok();
        if is_read {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let timeout = (!options.follow).then_some(STATUS_TIMEOUT);
    let end = client.stream(&request, timeout, show)?;
    if end.is_none() && (options.follow || !is_read) {
        return Ok(());
    }
    finished(&client, end, "events")
}

/// One event, a line.
fn event_text(event: &Event) -> String {
    format!("{}  {:<8}  {}", event.time, event.kind, event.text)
}

/// One report, as a person reads it at night: the reason first, then what it was doing.
fn exit_text(exit: &Exit) -> String {
    let place = exit.slot.map(|slot| format!(" {slot}")).unwrap_or_default();
    let mut text = format!(
        "{}  {}{place} #{} pid {} generation {}\n  {}\n  up {}, memory {}\n",
        exit.time,
        exit.role,
        exit.instance,
        exit.pid,
        exit.generation,
        exit.summary,
        duration(exit.uptime_ms),
        size(exit.rss_bytes),
    );
    let requests = exit.in_flight.iter().map(|request| {
        let running = if request.running {
            ", had the thread"
        } else {
            ""
        };
        let age = duration(request.age_ms);
        format!("{} {}, for {age}{running}", request.method, request.path)
    });
    section(&mut text, "in flight", requests);
    section(&mut text, "stack", exit.stack.iter().cloned());
    section(
        &mut text,
        "threads while it was silent",
        exit.evidence.iter().cloned(),
    );
    section(
        &mut text,
        "last lines of stderr",
        exit.stderr.iter().cloned(),
    );
    text
}

/// Indented lines below a title; nothing when there are none.
fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.map(|line| format!("    {line}\n")).collect();
    if !lines.is_empty() {
        text.push_str("  ");
        text.push_str(title);
        text.push_str(":\n");
        text.push_str(&lines.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hatchery_ipc::exits::InFlight;

    #[test]
    fn a_report_reads_from_the_reason_down() {
        let exit = Exit {
            instance: 7,
            slot: Some(2),
            pid: 4711,
            role: "worker".into(),
            generation: 1,
            summary: "hang, silent for 10.0s".into(),
            in_flight: vec![InFlight {
                method: "POST".into(),
                path: "/orders".into(),
                age_ms: 10_100,
                running: true,
            }],
            stack: vec!["shop::checkout (src/checkout.rs:15)".into()],
            rss_bytes: 3 << 20,
            uptime_ms: 61_000,
            time: "2026-01-02T03:04:05.678Z".into(),
            ..Exit::default()
        };
        assert_eq!(
            exit_text(&exit),
            "2026-01-02T03:04:05.678Z  worker 2 #7 pid 4711 generation 1\n  \
             hang, silent for 10.0s\n  up 1m 1s, memory 3.0 MiB\n  in flight:\n    \
             POST /orders, for 10s, had the thread\n  stack:\n    \
             shop::checkout (src/checkout.rs:15)\n"
        );
    }
}
