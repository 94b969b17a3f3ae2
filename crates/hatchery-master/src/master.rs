//! The loop. A turn carries out what the supervisor wants, waits for the kernel, and tells the
//! supervisor what happened.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::Duration;

use hatchery_ipc::status::Losses;
use hatchery_ipc::{environment, events};
use hatchery_supervisor::{
    Event, Generation, InstanceId, RequestId, Role, State, Supervisor, Time,
};
use hatchery_sys::epoll::{Epoll, Interest, Ready};
use hatchery_sys::notify::Notifier;
use hatchery_sys::signals::{Signal, SignalFd};
use hatchery_sys::spawn::Program;
use hatchery_sys::{clock, proc, process};

use crate::adoption::Adoptions;
use crate::check::Check;
use crate::control::Control;
use crate::error::{Context as _, Error, ErrorCode};
use crate::events::Events;
use crate::exits::Remaining;
use crate::feeds::Feeds;
use crate::handover::Handovers;
use crate::journal::{self, Level};
use crate::launch::{Announcer, Launch, Outcome};
use crate::lines::Tail;
use crate::listeners::{Found, Listeners};
use crate::oom::OomWatch;
use crate::orphans::{self, Early, Keeping, Orphans};
use crate::pressure::Gauge;
use crate::process::{Process, Template};
use crate::registry;
use crate::release::{Release, with_tail};
use crate::reports::Reports;
use crate::requests::Asker;
use crate::run_dir::RunDir;
use crate::sink::Sink;
use crate::token::Token;
use crate::trace::Unnamed;
use crate::upgrade::Successor;
use crate::upkeep::Upkeep;

/// How long the last lines of output may take to be written when the master ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Retry of output that found its reader busy.
const OUTPUT_RETRY: Duration = Duration::from_millis(50);

/// What the master hears of. All are blocked in it.
pub(crate) const SIGNALS: [Signal; 9] = [
    Signal::Term,
    Signal::Int,
    Signal::Quit,
    Signal::Hup,
    Signal::Ttin,
    Signal::Ttou,
    Signal::Usr1,
    Signal::Usr2,
    Signal::Chld,
];

/// A running master.
pub(crate) struct Master {
    pub(crate) launch: Launch,
    pub(crate) announcer: Announcer,
    pub(crate) supervisor: Supervisor,
    /// The time of this turn.
    pub(crate) now: Time,
    pub(crate) started_at: Time,

    pub(crate) epoll: Epoll,
    pub(crate) signals: SignalFd,
    /// The service manager, where one wants to hear of us.
    pub(crate) notifier: Option<Notifier>,
    pub(crate) out: Sink<'static>,
    pub(crate) err: Sink<'static>,

    pub(crate) template: Template,
    pub(crate) processes: BTreeMap<InstanceId, Process>,
    /// Process ids for the log, until the death of each has been told.
    pub(crate) pids: BTreeMap<InstanceId, u32>,
    /// The last line on stderr of processes that have just ended.
    pub(crate) last_words: BTreeMap<InstanceId, String>,
    /// Why the last process of a place ended, until another is ready there.
    pub(crate) setbacks: BTreeMap<Role, String>,
    pub(crate) releases: BTreeMap<Generation, Rc<Release>>,
    /// Binaries that are being checked, on the way to be releases.
    pub(crate) checks: Vec<Check>,
    /// The generation whose executable a reload wants the master to follow to.
    pub(crate) upgrade_to: Option<Generation>,
    /// The executable that this process becomes as soon as everything wanted now is done.
    pub(crate) successor: Option<Successor>,
    /// The last lines of the instance that made the latest reload or start fail.
    pub(crate) failed_tail: Tail,

    pub(crate) listeners: Listeners,
    pub(crate) adoptions: Adoptions,
    /// The slots that the supervisor wants to receive connections.
    pub(crate) steered: Vec<u32>,
    pub(crate) keeping: Keeping,
    /// Asked before the loop ran.
    pub(crate) early: Early,
    /// Processes of a former master.
    pub(crate) orphans: Orphans,
    pub(crate) handovers: Handovers,

    pub(crate) events: Events,
    pub(crate) reports: Reports,
    /// What dead processes have left behind, until the supervisor has said why they died.
    pub(crate) remains: Remaining,
    /// Reports whose stacks wait for their names.
    pub(crate) unnamed: BTreeMap<InstanceId, Unnamed>,
    pub(crate) oom: OomWatch,

    pub(crate) control: Control,
    /// Answers of many lines that are under way.
    pub(crate) feeds: Feeds,
    pub(crate) askers: BTreeMap<RequestId, Asker>,
    pub(crate) next_request: u64,
    pub(crate) stop_requests: u32,

    pub(crate) upkeep: Upkeep,
    pub(crate) gauge: Gauge,
    pub(crate) registry: Option<registry::Entry>,
    /// The stop under way is the first half of a `restart`.
    pub(crate) restart_after_stop: bool,
    pub(crate) finished: Option<Result<(), String>>,
    /// Last, so that the control socket's file goes after everything else.
    pub(crate) run_dir: RunDir,
}

/// Runs a master until it is told to stop, or cannot start.
///
/// # Errors
///
/// The run directory is held by another master, an address cannot be listened on, or the pool did
/// not come up; in each case nothing is left behind.
pub fn run(mut launch: Launch) -> Result<Outcome, Error> {
    let mut announcer = Announcer::new(launch.ready_fd.take());
    let mut master = match Master::new(launch) {
        Ok(master) => master,
        Err(error) => {
            announcer.failed(&error.to_string());
            return Err(error);
        }
    };
    master.announcer = announcer;
    master.run()
}

impl Master {
    fn new(launch: Launch) -> Result<Self, Error> {
        // Before anything else has a descriptor.
        let (mut found, stored) = orphans::take_stored(&launch.settings.listen);
        let run_dir = RunDir::claim(&launch.run_dir, &launch.app)?;
        let policy = launch.settings.policy(proc::cpu_num());
        let mut control = Control::open(&run_dir.control_socket())?;
        let listen = &launch.settings.listen;
        let gathered = orphans::gather(&mut control, &run_dir, listen, &mut found);
        let listeners = Listeners::open(listen, policy.workers, &mut found)?;
        let system = |what: &'static str| move || format!("cannot set up {what}");
        let epoll = Epoll::new().context(ErrorCode::System, system("epoll"))?;
        let signals = SignalFd::new(&SIGNALS).context(ErrorCode::System, system("signals"))?;
        process::become_subreaper().context(ErrorCode::System, system("reaping"))?;
        epoll
            .add(signals.as_fd(), Token::Signals.to_u64(), Interest::READ)
            .and_then(|()| epoll.add(control.listener(), Token::Control.to_u64(), Interest::READ))
            .context(ErrorCode::System, system("epoll"))?;

        let program = Program::open(&launch.binary).context(ErrorCode::StartFailed, || {
            format!("cannot open the executable {}", launch.binary.display())
        })?;
        let release = Release::new(program, &launch.config, launch.settings.clone())
            .context(ErrorCode::System, system("the configuration"))?;
        let gauge = Gauge::new(&epoll, 0);
        let now = Time::from_millis(clock::monotonic_ms());
        let seed = now.as_millis() ^ u64::from(std::process::id()) << 32;
        let template = Template::new(
            launch.app.clone(),
            launch.env.clone(),
            launch.title.clone(),
            run_dir.control_socket(),
        );
        let notify_socket = std::env::var_os(environment::NOTIFY_SOCKET);
        let notifier = Notifier::from_env(notify_socket).context(
            ErrorCode::System,
            system("the service manager's NOTIFY_SOCKET"),
        )?;
        let mut master = Self {
            announcer: Announcer::new(None),
            supervisor: Supervisor::new(policy, seed),
            now,
            started_at: now,
            epoll,
            signals,
            notifier,
            out: Sink::new(rustix::stdio::stdout()),
            err: Sink::new(rustix::stdio::stderr()),
            template,
            processes: BTreeMap::new(),
            pids: BTreeMap::new(),
            last_words: BTreeMap::new(),
            setbacks: BTreeMap::new(),
            releases: BTreeMap::from([(Generation(1), Rc::new(release))]),
            checks: Vec::new(),
            upgrade_to: None,
            successor: None,
            failed_tail: Tail::default(),
            listeners,
            adoptions: Adoptions::default(),
            steered: Vec::new(),
            keeping: Keeping::new(stored),
            early: Vec::new(),
            orphans: Orphans::new(gathered.orphans),
            events: Events::default(),
            reports: Reports::open(run_dir.exits_file(), Losses::default()),
            remains: Remaining::new(),
            unnamed: BTreeMap::new(),
            oom: OomWatch::new(now),
            handovers: Handovers::default(),
            control,
            feeds: Feeds::new(),
            askers: BTreeMap::new(),
            next_request: 1,
            stop_requests: 0,
            upkeep: Upkeep::new(now),
            gauge,
            registry: None,
            restart_after_stop: false,
            finished: None,
            run_dir,
            launch,
        };
        master.recall(gathered.early, &gathered.remarks, &found);
        Ok(master)
    }

    /// Sees to what came up before there was a loop.
    fn recall(&mut self, early: Early, remarks: &[String], unwanted: &Found) {
        for remark in remarks {
            self.log(Level::Warn, remark);
        }
        for address in unwanted.rest() {
            let text = format!("{address} is served by the former master's processes alone");
            self.log(Level::Warn, &text);
        }
        if self.listeners.is_adrift() {
            let text = "nobody has kept all listeners of the former master: \
                        the kernel chooses among the workers until a restart";
            self.log(Level::Warn, text);
        }
        self.early = early;
    }

    fn run(mut self) -> Result<Outcome, Error> {
        self.greet();
        self.register();
        self.begin();
        self.answer_early();
        self.go_on()
    }

    /// The loop, to its end.
    pub(crate) fn go_on(mut self) -> Result<Outcome, Error> {
        let mut ready = Vec::new();
        let finished = loop {
            self.perform();
            self.keep_listeners();
            self.publish();
            match self.finished.take() {
                // Those who go with this master have not gone yet.
                Some(Ok(())) if !self.orphans.is_empty() => self.finished = Some(Ok(())),
                Some(finished) => break finished,
                None => {}
            }
            if let Some(program) = self.due_successor() {
                self.become_successor(&program);
                continue;
            }
            self.turn(&mut ready);
        };
        if !self.orphans.is_empty() {
            // A start that has failed leaves them as they were.
            self.listeners.leave_files();
        }
        // A check that still runs has nobody left to tell.
        for check in &mut self.checks {
            check.time_out();
            let _ = process::reap(check.pid);
        }
        self.out.finish(LAST_WORDS);
        self.err.finish(LAST_WORDS);
        match finished {
            Ok(()) if self.restart_after_stop => Ok(Outcome::Restart),
            Ok(()) => Ok(Outcome::Stopped),
            Err(reason) => {
                self.announcer
                    .failed(&with_tail(reason.clone(), &self.failed_tail));
                Err(Error::new(ErrorCode::StartFailed, reason))
            }
        }
    }

    /// Waits for the kernel and handles what it has to say.
    fn turn(&mut self, ready: &mut Vec<Ready>) {
        let timeout = self.timeout();
        if let Err(error) = self.epoll.wait(ready, Some(timeout)) {
            // Only a bug of ours can cause this; a loop that spins silently would be worse.
            self.log(Level::Error, &format!("epoll: {error}"));
        }
        self.now = Time::from_millis(clock::monotonic_ms());
        // Heartbeats first: after a sleep of our own nobody is judged by old readings.
        self.keep_up();
        for event in ready.drain(..) {
            if let Some(token) = Token::from_u64(event.token) {
                self.dispatch(token, event);
            }
        }
        self.tell(Event::Timer);
        self.out.flush();
        self.err.flush();
    }

    /// How long nothing needs to be done.
    fn timeout(&self) -> Duration {
        let mut next = self.upkeep.next_deadline();
        if let Some(deadline) = self.supervisor.next_deadline() {
            next = next.min(deadline);
        }
        for check in &self.checks {
            next = next.min(check.deadline);
        }
        for at in self
            .processes
            .values()
            .filter_map(|process| process.notes.next_look())
        {
            next = next.min(at);
        }
        if let Some(successor) = &self.successor {
            next = next.min(successor.at_latest);
        }
        if let Some(deadline) = self.adoptions.next_deadline() {
            next = next.min(deadline);
        }
        if let Some(deadline) = self.orphans.next_deadline() {
            next = next.min(deadline);
        }
        if self.out.is_pending() || self.err.is_pending() {
            next = next.min(self.now + OUTPUT_RETRY);
        }
        next.since(Time::from_millis(clock::monotonic_ms()))
    }

    /// Tells the supervisor what happened.
    pub(crate) fn tell(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
    }

    /// Writes one line to the log.
    pub(crate) fn log(&mut self, level: Level, text: &str) {
        self.err.line(&journal::prefix(level), text.as_bytes());
    }

    /// Writes one line to the log and remembers it as an event.
    pub(crate) fn announce(&mut self, level: Level, event: events::Event) {
        self.log(level, &event.text);
        self.events.push(event);
    }

    /// Passes on what has happened: to those who follow it, and to the file that outlives us.
    fn publish(&mut self) {
        self.pump_all();
        if let Err(error) = self.reports.write() {
            self.log(
                Level::Warn,
                &format!("cannot keep the exit reports: {error}"),
            );
        }
    }

    /// The supervisor's view of an instance; `None` once it is gone.
    pub(crate) fn state_of(&self, id: InstanceId) -> Option<State> {
        self.supervisor.instance(id).map(|instance| instance.state)
    }

    /// Tells the service manager, where there is one. A manager that does not listen is no reason
    /// not to serve.
    pub(crate) fn notify(&self, tell: impl FnOnce(&Notifier) -> io::Result<()>) {
        if let Some(notifier) = &self.notifier {
            let _ = tell(notifier);
        }
    }

    fn greet(&mut self) {
        let files: Vec<_> = self
            .launch
            .config_files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let files = if files.is_empty() {
            "no file".into()
        } else {
            files.join(", ")
        };
        let text = format!(
            "{} {} starts: env {}, {} workers, on {}; configuration from {files} in {}",
            self.launch.app,
            self.launch.version,
            self.launch.env,
            self.supervisor.policy().workers,
            self.listeners.addresses().join(", "),
            self.launch.base_dir.display(),
        );
        self.log(Level::Info, &text);
    }
}
