//! One child as the loop sees it: its process, its sockets and pipes, its stats page.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use hatchery_ipc::child::{self, ToChild, ToMaster, Welcome};
use hatchery_ipc::environment as env;
use hatchery_ipc::exits::InFlight;
use hatchery_supervisor::{Generation, InstanceId, Role, Time};
use hatchery_sys::inherit::Inherited;
use hatchery_sys::packet;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use hatchery_sys::spawn::{Child, Spawn};
use serde::{Deserialize, Serialize};

use crate::exits::{Notes, in_flight};
use crate::lines::{Lines, Tail};
use crate::release::{Release, nonblocking_pipe};
use crate::state::{Bag, Fd};

/// Most bytes taken from one pipe at a time, so that a chatty child cannot keep the loop busy.
const READ_MAX: usize = 64 * 1024;

/// Most messages taken from one child at a time, for the same reason.
pub(crate) const MESSAGES_MAX: usize = 64;

/// Variables of the master's environment that children must not see: they are meant for the
/// master alone.
const PRIVATE: [&str; 7] = [
    env::NOTIFY_SOCKET,
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    env::LISTEN_FDS,
    env::LISTEN_PID,
    env::LISTEN_FDNAMES,
    "FDSTORE",
];

/// What all children of one master have in common.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) app: String,
    pub(crate) env: String,
    pub(crate) title: String,
    /// Where children find the next master.
    control_socket: PathBuf,
    inherited: Vec<(OsString, OsString)>,
}

/// What one child is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec<'a> {
    pub(crate) id: InstanceId,
    pub(crate) role: Role,
    pub(crate) generation: Generation,
    pub(crate) workers: u32,
    pub(crate) release: &'a Release,
    pub(crate) cwd: &'a Path,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: InstanceId,
    pub(crate) role: Role,
    pub(crate) generation: Generation,
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// SEQPACKET, never waited for.
    pub(crate) messages: OwnedFd,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) page: StatsPage,
    /// What it is doing, for when it dies or is silent.
    #[allow(dead_code, reason = "exit reports read it")]
    pub(crate) recorder: Recorder,
    /// The memory files of the two, for the next image of this master.
    page_fd: OwnedFd,
    recording: OwnedFd,
    /// The newest version of the protocol that the child has spoken; 1 until it says more.
    pub(crate) protocol: u8,
    /// For the report of its death.
    pub(crate) notes: Notes,
    /// For each serving loop, the last tick seen and when it last changed.
    ticks: Vec<(u64, Time)>,
}

/// A [`Process`] for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedProcess {
    pub(crate) id: InstanceId,
    role: Role,
    generation: Generation,
    pid: u32,
    pidfd: Fd,
    pub(crate) messages: Fd,
    pub(crate) stdout: SavedOutput,
    pub(crate) stderr: SavedOutput,
    pub(crate) page: Fd,
    pub(crate) recording: Fd,
    protocol: u8,
    #[serde(default)]
    notes: Notes,
    ticks: Vec<(u64, Time)>,
}

/// An [`Output`] for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedOutput {
    pub(crate) pipe: Option<Fd>,
    lines: Lines,
    tail: Tail,
}

/// What a child's message socket holds.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(ToMaster),
    /// Something that this master does not understand.
    Rubbish(String),
    /// Nothing now.
    Nothing,
    /// The child has closed its end.
    End,
}

/// One of a child's output pipes.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: Option<io::PipeReader>,
    lines: Lines,
    /// The last lines, for reports.
    pub(crate) tail: Tail,
}

impl Template {
    pub(crate) fn new(app: String, env: String, title: String, control_socket: PathBuf) -> Self {
        let ours = |name: &OsString| {
            name.to_str()
                .is_some_and(|n| PRIVATE.contains(&n) || n.starts_with("HATCHERY_"))
        };
        // `HATCHERY__SECTION__KEY` overrides are part of the pinned configuration already.
        let inherited = std::env::vars_os()
            .filter(|(name, _)| !ours(name))
            .collect();
        Self {
            app,
            env,
            title,
            control_socket,
            inherited,
        }
    }

    /// The environment contract.
    fn environment(&self, spec: &Spec<'_>, listeners: usize) -> Vec<(OsString, OsString)> {
        let mut vars = self.inherited.clone();
        let mut set = |name: &str, value: String| vars.push((name.into(), value.into()));
        match spec.role {
            Role::Agent => set(env::ROLE, "agent".into()),
            Role::Worker(slot) => {
                set(env::ROLE, "worker".into());
                set(env::SLOT, slot.to_string());
            }
            // A worker that learns its slot later.
            Role::Spare => set(env::ROLE, "worker".into()),
        }
        set(env::APP, self.app.clone());
        set(env::ENV, self.env.clone());
        set(env::WORKERS, spec.workers.to_string());
        set(env::INSTANCE, spec.id.0.to_string());
        set(env::GENERATION, spec.generation.to_string());
        set(env::PROTOCOL, child::spoken().to_string());
        set(env::CONTROL_FD, control_fd(listeners).to_string());
        if child::spoken() >= 2 {
            set(env::RECORDER_FD, recorder_fd(listeners).to_string());
        }
        if listeners > 0 {
            let names: Vec<_> = (0..listeners).map(|n| format!("listen{n}")).collect();
            set(env::LISTEN_FDS, listeners.to_string());
            set(env::LISTEN_FDNAMES, names.join(":"));
        }
        let socket = self.control_socket.clone().into();
        vars.push((env::CONTROL_SOCKET.into(), socket));
        vars
    }
}

/// The control socket follows the listeners.
fn control_fd(listeners: usize) -> i32 {
    env::LISTEN_FDS_START + i32::try_from(listeners).unwrap_or(0)
}

/// The flight recorder follows the control socket.
fn recorder_fd(listeners: usize) -> i32 {
    control_fd(listeners) + 1
}

impl Process {
    /// Starts a child. Its welcome waits in the socket before it runs.
    pub(crate) fn start(
        template: &Template,
        spec: &Spec<'_>,
        listeners: &[BorrowedFd<'_>],
        welcome: Welcome,
    ) -> io::Result<Self> {
        let (messages, theirs) = packet::pair()?;
        let (page, page_fd) = StatsPage::create()?;
        let (recorder, recording) = Recorder::create()?;
        let welcome = child::encode(&ToChild::Welcome(welcome), child::VERSION_MIN)
            .map_err(io::Error::other)?;
        let attached = [page_fd.as_fd(), spec.release.config.as_fd()];
        packet::send(messages.as_fd(), &welcome, &attached, true)?;

        let null = std::fs::File::open("/dev/null")?;
        let (stdout, stdout_write) = nonblocking_pipe()?;
        let (stderr, stderr_write) = nonblocking_pipe()?;
        let mut fds = vec![
            (null.as_fd(), 0),
            (stdout_write.as_fd(), 1),
            (stderr_write.as_fd(), 2),
            (theirs.as_fd(), control_fd(listeners.len())),
            (recording.as_fd(), recorder_fd(listeners.len())),
        ];
        fds.extend(listeners.iter().copied().zip(env::LISTEN_FDS_START..));
        let Child { pid, pidfd } = Spawn {
            program: &spec.release.program,
            args: &[format!("{}: {}", template.title, spec.role).into()],
            env: &template.environment(spec, listeners.len()),
            listen_pid: !listeners.is_empty(),
            cwd: spec.cwd,
            fds: &fds,
        }
        .start()?;
        Ok(Self {
            id: spec.id,
            role: spec.role,
            generation: spec.generation,
            pid,
            pidfd,
            messages,
            stdout: Output::new(stdout),
            stderr: Output::new(stderr),
            page,
            recorder,
            page_fd,
            recording,
            protocol: child::VERSION_MIN,
            notes: Notes::default(),
            ticks: Vec::new(),
        })
    }

    pub(crate) fn save<'a>(&'a self, bag: &mut Bag<'a>) -> SavedProcess {
        let Self {
            id,
            role,
            generation,
            pid,
            pidfd,
            messages,
            stdout,
            stderr,
            page: _,
            recorder: _,
            page_fd,
            recording,
            protocol,
            notes,
            ticks,
        } = self;
        SavedProcess {
            id: *id,
            role: *role,
            generation: *generation,
            pid: *pid,
            pidfd: bag.put(pidfd.as_fd()),
            messages: bag.put(messages.as_fd()),
            stdout: stdout.save(bag),
            stderr: stderr.save(bag),
            page: bag.put(page_fd.as_fd()),
            recording: bag.put(recording.as_fd()),
            protocol: *protocol,
            notes: notes.saved(),
            ticks: ticks.clone(),
        }
    }

    /// `page` and `recorder` are mappings of what the saved descriptors lead to.
    pub(crate) fn restore(
        saved: SavedProcess,
        (page, recorder): (StatsPage, Recorder),
        inherited: &mut Inherited,
    ) -> io::Result<Self> {
        Ok(Self {
            id: saved.id,
            role: saved.role,
            generation: saved.generation,
            pid: saved.pid,
            pidfd: inherited.take(saved.pidfd.number())?,
            messages: inherited.take(saved.messages.number())?,
            stdout: Output::restore(saved.stdout, inherited)?,
            stderr: Output::restore(saved.stderr, inherited)?,
            page,
            recorder,
            page_fd: inherited.take(saved.page.number())?,
            recording: inherited.take(saved.recording.number())?,
            protocol: saved.protocol,
            notes: saved.notes,
            ticks: saved.ticks,
        })
    }

    /// The request that has a thread, or had it at the end.
    pub(crate) fn running(&self, now: Time) -> Option<InFlight> {
        let all = in_flight(&self.recorder.in_flight(now.as_millis()));
        all.into_iter().find(|request| request.running)
    }

    /// Sends a message without waiting. A child that does not read its messages has a full socket;
    /// it is then told by signals alone.
    pub(crate) fn tell(&self, message: &ToChild, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let packet = child::encode(message, self.protocol).map_err(io::Error::other)?;
        packet::send(self.messages.as_fd(), &packet, fds, true)
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Heard {
        let mut buffer = [0; child::PACKET_MAX];
        match packet::receive(self.messages.as_fd(), &mut buffer, true) {
            Ok(Some(packet)) => match child::decode(&buffer[..packet.len]) {
                Ok(message) => {
                    self.protocol = self.protocol.max(buffer[0]);
                    Heard::Message(message)
                }
                Err(error) => Heard::Rubbish(error.to_string()),
            },
            Ok(None) => Heard::End,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            Err(error) => Heard::Rubbish(error.to_string()),
        }
    }

    /// The last moment at which every serving loop was seen to turn; `None` before the first tick.
    pub(crate) fn last_beat(&mut self, now: Time) -> Option<Time> {
        let threads = self.page.threads();
        self.ticks.resize(threads, (0, now));
        for ((seen, changed), tick) in self.ticks.iter_mut().zip(self.page.ticks()) {
            if tick != *seen {
                *seen = tick;
                // The page is the child's to write: a tick from the future is one of now.
                *changed = Time::from_millis(tick).min(now).max(*changed);
            }
        }
        self.ticks.iter().map(|(_, changed)| *changed).min()
    }
}

impl Output {
    fn new(pipe: io::PipeReader) -> Self {
        Self {
            pipe: Some(pipe),
            lines: Lines::default(),
            tail: Tail::default(),
        }
    }

    fn save<'a>(&'a self, bag: &mut Bag<'a>) -> SavedOutput {
        let Self { pipe, lines, tail } = self;
        SavedOutput {
            pipe: pipe.as_ref().map(|pipe| bag.put(pipe.as_fd())),
            lines: lines.clone(),
            tail: tail.clone(),
        }
    }

    fn restore(saved: SavedOutput, inherited: &mut Inherited) -> io::Result<Self> {
        let SavedOutput { pipe, lines, tail } = saved;
        let pipe = pipe.map(|fd| inherited.take(fd.number())).transpose()?;
        Ok(Self {
            pipe: pipe.map(io::PipeReader::from),
            lines,
            tail,
        })
    }

    /// What epoll watches; `None` once the stream has ended.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.as_fd())
    }

    /// Takes what is there, at most [`READ_MAX`] bytes, and passes on the lines. Returns false when
    /// the stream has ended: the pipe is closed then.
    pub(crate) fn read(&mut self, mut line: impl FnMut(&[u8])) -> bool {
        let Some(pipe) = &mut self.pipe else {
            return false;
        };
        let mut chunk = [0; 8 * 1024];
        let mut taken = 0;
        while taken < READ_MAX {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => {
                    taken += n;
                    self.lines.push(&chunk[..n], |text| {
                        self.tail.push(text);
                        line(text);
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if taken >= READ_MAX {
            return true;
        }
        self.finish(line);
        false
    }

    /// The child is gone: passes on what it left without a newline.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        self.pipe = None;
        self.lines.finish(|text| {
            self.tail.push(text);
            line(text);
        });
    }
}
