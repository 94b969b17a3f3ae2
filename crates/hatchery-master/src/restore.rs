//! The master's struct as [state](crate::state), and back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use hatchery_ipc::environment;
use hatchery_supervisor::{Generation, Supervisor, Time};
use hatchery_sys::epoll::{Epoll, Interest};
use hatchery_sys::inherit::Inherited;
use hatchery_sys::listen::Address;
use hatchery_sys::notify::Notifier;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use hatchery_sys::signals::SignalFd;
use hatchery_sys::{clock, process};

use crate::adoption::Adoptions;
use crate::control::Control;
use crate::exits::Remaining;
use crate::feeds::Feed;
use crate::launch::{Announcer, Launch};
use crate::listeners::Listeners;
use crate::master::{Master, SIGNALS};
use crate::oom::OomWatch;
use crate::orphans::{Keeping, Orphans};
use crate::pressure::Gauge;
use crate::process::{Process, Template};
use crate::registry;
use crate::release::Release;
use crate::reports::Reports;
use crate::run_dir::RunDir;
use crate::settings::Settings;
use crate::sink::Sink;
use crate::state::{Bag, Body, Fd, Head};
use crate::token::Token;

impl Master {
    /// Everything that the next image must know; `bag` gets what must stay open for it.
    pub(crate) fn save<'a>(&'a self, bag: &mut Bag<'a>) -> Result<Body, String> {
        let Self {
            launch,
            announcer,
            supervisor,
            now: _,
            started_at,
            // The next image makes its own of these.
            epoll: _,
            signals: _,
            notifier: _,
            template: _,
            out,
            err,
            processes,
            pids,
            last_words,
            setbacks,
            releases,
            // The one of this very upgrade is over; others are waited for.
            checks: _,
            upgrade_to: _,
            successor: _,
            failed_tail,
            listeners,
            // Asked again where something waits.
            adoptions: _,
            steered,
            keeping,
            // Of before the loop ran.
            early: _,
            // They look for this image as they would for another master.
            orphans: _,
            events,
            // Written before, and read again.
            reports,
            // Empty between two turns of the loop.
            remains: _,
            // They stay addresses.
            unnamed: _,
            oom,
            handovers,
            control,
            feeds,
            askers,
            next_request,
            stop_requests,
            upkeep,
            gauge,
            registry,
            restart_after_stop,
            finished: _,
            run_dir,
        } = self;
        Ok(Body {
            launch: launch.save()?,
            announcer: announcer.save(bag),
            supervisor: serde_json::to_value(supervisor)
                .map_err(|error| format!("cannot write the supervisor's state: {error}"))?,
            started_at: *started_at,
            out: out.save(),
            err: err.save(),
            processes: processes
                .values()
                .map(|process| process.save(bag))
                .collect(),
            pids: pairs(pids),
            last_words: pairs(last_words),
            setbacks: pairs(setbacks),
            releases: releases
                .iter()
                .map(|(generation, release)| release.save(*generation, bag))
                .collect::<Result<_, _>>()?,
            failed_tail: failed_tail.clone(),
            listeners: listeners.save(bag),
            steered: steered.clone(),
            stored: keeping.save(),
            events: events.clone(),
            losses: reports.losses(),
            oom: oom.save(),
            handovers: handovers.clone(),
            control: control.save(bag),
            feeds: feeds
                .iter()
                .map(|(key, feed)| (*key, feed.save()))
                .collect(),
            askers: pairs(askers),
            next_request: *next_request,
            stop_requests: *stop_requests,
            upkeep: upkeep.clone(),
            refused: gauge.refused,
            registry: registry.as_ref().map(registry::Entry::save),
            restart_after_stop: *restart_after_stop,
            run_dir: run_dir.save(bag),
        })
    }

    /// The master again. Nothing has been taken from the former image when this fails, so that one
    /// can go on.
    pub(crate) fn restore(
        head: &Head,
        body: Body,
        version: &str,
        arguments: Vec<OsString>,
    ) -> Result<Self, String> {
        let understood = understand(&body)?;
        let numbers: Vec<_> = head.fds.iter().map(|fd| fd.number()).collect();
        let mut inherited = Inherited::claim(&numbers).map_err(|error| error.to_string())?;
        let surroundings = Surroundings::make(&body, &inherited)
            .map_err(|error| format!("cannot take over: {error}"))?;
        let launch = Launch::restore(body.launch.clone(), version, arguments)?;
        let former = head.former.number();
        assemble(launch, body, understood, surroundings, &mut inherited)
            .and_then(|master| Ok((master, inherited.take(former)?)))
            .map(|(master, _)| master)
            // Everything was looked at before: a bug of ours, and there is no way back.
            .map_err(|error| format!("cannot take over: {error}"))
    }
}

/// What needs interpretation, interpreted.
pub(crate) struct Understood {
    supervisor: Supervisor,
    addresses: Vec<Address>,
    /// In the order of the releases.
    settings: Vec<Settings>,
}

/// Reads everything in the state that this build might not understand.
pub(crate) fn understand(body: &Body) -> Result<Understood, String> {
    let supervisor = serde_json::from_value(body.supervisor.clone())
        .map_err(|error| format!("the supervisor of the running master: {error}"))?;
    let settings =
        |release: &crate::release::SavedRelease| Settings::restore(release.settings.clone());
    body.launch.understand()?;
    Ok(Understood {
        supervisor,
        addresses: body.listeners.addresses()?,
        settings: body
            .releases
            .iter()
            .map(settings)
            .collect::<Result<_, _>>()?,
    })
}

/// What this image makes for itself, around descriptors that are not its own yet.
struct Surroundings {
    epoll: Epoll,
    signals: SignalFd,
    notifier: Option<Notifier>,
    /// In the order of the processes.
    pages: Vec<(StatsPage, Recorder)>,
}

impl Surroundings {
    fn make(body: &Body, inherited: &Inherited) -> io::Result<Self> {
        process::become_subreaper()?;
        let look = |fd: Fd| inherited.borrow(fd.number());
        let mut pages = Vec::new();
        for process in &body.processes {
            // A recorder of another version says nothing; its worker is as good as any.
            let recorder = Recorder::map(look(process.recording)?)
                .or_else(|_| Recorder::create().map(|(empty, _)| empty))?;
            pages.push((StatsPage::map(look(process.page)?)?, recorder));
        }
        let epoll = Epoll::new()?;
        let signals = SignalFd::new(&SIGNALS)?;
        epoll.add(&signals, Token::Signals.to_u64(), Interest::READ)?;
        // The kernel knows them by number and file, and both stay.
        let add =
            |fd: BorrowedFd<'_>, token: Token, interest| epoll.add(fd, token.to_u64(), interest);
        add(look(body.control.listener)?, Token::Control, Interest::READ)?;
        for (key, client) in &body.control.clients {
            let interest = if client.output.is_empty() {
                Interest::READ
            } else {
                Interest::READ_WRITE
            };
            add(look(client.stream)?, Token::Client(*key), interest)?;
        }
        for process in &body.processes {
            let id = process.id;
            add(look(process.messages)?, Token::Messages(id), Interest::READ)?;
            for (output, token) in [
                (&process.stdout, Token::Stdout(id)),
                (&process.stderr, Token::Stderr(id)),
            ] {
                if let Some(pipe) = output.pipe {
                    add(look(pipe)?, token, Interest::READ)?;
                }
            }
        }
        Ok(Self {
            epoll,
            signals,
            notifier: Notifier::from_env(std::env::var_os(environment::NOTIFY_SOCKET))?,
            pages,
        })
    }
}

fn assemble(
    launch: Launch,
    body: Body,
    understood: Understood,
    surroundings: Surroundings,
    inherited: &mut Inherited,
) -> io::Result<Master> {
    let mut processes = BTreeMap::new();
    for (saved, pages) in body.processes.into_iter().zip(surroundings.pages) {
        let process = Process::restore(saved, pages, inherited)?;
        processes.insert(process.id, process);
    }
    let mut releases: BTreeMap<Generation, Rc<Release>> = BTreeMap::new();
    for (saved, settings) in body.releases.into_iter().zip(understood.settings) {
        let generation = saved.generation;
        let release = Release::restore(saved, settings, inherited)?;
        releases.insert(generation, Rc::new(release));
    }
    let run_dir = RunDir::restore(body.run_dir, inherited)?;
    let now = Time::from_millis(clock::monotonic_ms());
    let feeds = body.feeds.into_iter();
    let template = Template::new(
        launch.app.clone(),
        launch.env.clone(),
        launch.title.clone(),
        run_dir.control_socket(),
    );
    let gauge = Gauge::new(&surroundings.epoll, body.refused);
    Ok(Master {
        announcer: Announcer::restore(body.announcer, inherited)?,
        supervisor: understood.supervisor,
        now,
        started_at: body.started_at,
        epoll: surroundings.epoll,
        signals: surroundings.signals,
        notifier: surroundings.notifier,
        out: Sink::restore(body.out, rustix::stdio::stdout()),
        err: Sink::restore(body.err, rustix::stdio::stderr()),
        template,
        processes,
        pids: body.pids.into_iter().collect(),
        last_words: body.last_words.into_iter().collect(),
        setbacks: body.setbacks.into_iter().collect(),
        releases,
        checks: Vec::new(),
        upgrade_to: None,
        successor: None,
        failed_tail: body.failed_tail,
        listeners: Listeners::restore(body.listeners, understood.addresses, inherited)?,
        adoptions: Adoptions::default(),
        steered: body.steered,
        keeping: Keeping::new(body.stored),
        early: Vec::new(),
        orphans: Orphans::default(),
        events: body.events,
        reports: Reports::open(run_dir.exits_file(), body.losses),
        remains: Remaining::new(),
        unnamed: BTreeMap::new(),
        oom: OomWatch::restore(body.oom),
        handovers: body.handovers,
        control: Control::restore(body.control, inherited)?,
        feeds: feeds
            .map(|(key, feed)| (key, Feed::restore(feed)))
            .collect(),
        askers: body.askers.into_iter().collect(),
        next_request: body.next_request,
        stop_requests: body.stop_requests,
        upkeep: body.upkeep,
        gauge,
        registry: body.registry.map(registry::Entry::restore),
        restart_after_stop: body.restart_after_stop,
        finished: None,
        run_dir,
        launch,
    })
}

fn pairs<K: Clone, V: Clone>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
