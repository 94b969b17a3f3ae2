//! A service manager that keeps descriptors: the listeners outlive every process of the service.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::Signal;

use crate::support::{
    Cluster, Connection, REQUEST_LIMIT, Request, SOON, Target, showcase, wait_for, wait_until,
};

/// Starts its arguments with the descriptors that come through its standard input from 3 on, and
/// says for whom they are.
const LAUNCHER: &str = "
import os, socket, sys
channel = socket.socket(fileno=os.dup(0))
data, fds, _, _ = socket.recv_fds(channel, 1, 64)
os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
channel.close()
high = [os.dup2(fd, 200 + n) for n, fd in enumerate(fds)]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
    os.set_inheritable(fd, False)
os.environ['LISTEN_PID'] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
";

/// What it keeps, and everything it was told.
#[derive(Default)]
struct Kept {
    fds: BTreeMap<String, OwnedFd>,
    ready: usize,
}

struct Manager {
    kept: Arc<Mutex<Kept>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    fn start(path: &std::path::Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let (kept, stop) = (
            Arc::new(Mutex::new(Kept::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let (ours, stopped) = (Arc::clone(&kept), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some((text, fd)) = receive(&socket) {
                    ours.lock().unwrap().take(&text, fd.as_ref());
                }
            }
        });
        Self {
            kept,
            stop,
            thread: Some(thread),
        }
    }

    fn names(&self) -> Vec<String> {
        self.kept.lock().unwrap().fds.keys().cloned().collect()
    }

    /// Starts the pool's master as a service manager would: with what is kept.
    fn launch(&self, pool: &mut Cluster) {
        let kept = self.kept.lock().unwrap();
        let names: Vec<String> = kept.fds.keys().cloned().collect();
        let (near, far) = UnixStream::pair().unwrap();
        let fds: Vec<BorrowedFd<'_>> = kept.fds.values().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(&fds)));
        let parts = [IoSlice::new(b"x")];
        sendmsg(&near, &parts, &mut control, SendFlags::empty()).unwrap();
        let binary = pool.executable();
        pool.launch_by("python3", |arguments: &mut Command| {
            arguments
                .arg("-c")
                .arg(LAUNCHER)
                .arg(&binary)
                .env("LISTEN_FDS", fds.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"))
                .stdin(Stdio::from(OwnedFd::from(far)));
        });
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Kept {
    fn take(&mut self, text: &str, fd: Option<&OwnedFd>) {
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
        let name = name.unwrap_or("stored").to_owned();
        for line in text.lines() {
            match (line, fd) {
                ("READY=1", _) => self.ready += 1,
                ("FDSTORE=1", Some(fd)) => {
                    self.fds.insert(name.clone(), fd.try_clone().unwrap());
                }
                ("FDSTOREREMOVE=1", _) => drop(self.fds.remove(&name)),
                _ => {}
            }
        }
    }
}

fn receive(socket: &UnixDatagram) -> Option<(String, Option<OwnedFd>)> {
    let mut buffer = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?
    };
    let fd = control.drain().find_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let text = String::from_utf8_lossy(&buffer[..message.bytes]).into_owned();
    Some((text, fd))
}

/// All processes of the service are killed at once, as a manager does with what is left of one.
#[test]
fn a_manager_keeps_the_listeners_and_what_waits_in_them() {
    let mut pool = showcase()
        .set("cluster.workers", 3)
        .variable("NOTIFY_SOCKET", "")
        .prepare();
    let directory = tempfile::tempdir().unwrap();
    let notify = directory.path().join("notify");
    let unix = pool.base().join("web.sock");
    let tcp = format!("127.0.0.1:{}", pool.port());
    let addresses = serde_json::json!([tcp, format!("unix:{}", unix.display())]);
    pool.set("listen.addresses", addresses);
    pool.set_variable("NOTIFY_SOCKET", notify.to_str().unwrap());
    let manager = Manager::start(&notify);
    manager.launch(&mut pool);
    pool.wait_started();
    let all = [
        "hatchery-0-0-0",
        "hatchery-0-1-1",
        "hatchery-0-2-2",
        "hatchery-1-0-0",
    ];
    wait_until("all is kept", SOON, || manager.names() == all);

    // More slots, more to keep.
    pool.cli_ok(&["scale", "4"]);
    wait_until("the fourth is kept", SOON, || {
        manager.names().contains(&"hatchery-0-3-3".to_owned())
    });
    for _ in 0..2 {
        for process in pool.processes() {
            process.signal(Signal::KILL);
        }
        pool.wait_master(SOON);
        wait_until("all are gone", SOON, || pool.processes().is_empty());
        let mut waiting: Vec<Connection> = Vec::new();
        for target in [pool.target(), Target::Unix(unix.clone())] {
            for _ in 0..10 {
                let mut connection = wait_for("a place in the queue", SOON, || {
                    Connection::open(&target, REQUEST_LIMIT).ok()
                });
                connection.send(&Request::get("/hello")).unwrap();
                waiting.push(connection);
            }
        }
        manager.launch(&mut pool);
        pool.wait_started();
        for mut connection in waiting {
            assert_eq!(connection.receive(REQUEST_LIMIT).unwrap().status, 200);
        }
        assert_eq!(manager.names().len(), 5);
        let says = pool.output().text();
        assert!(!says.contains("the kernel chooses"), "{says}");
    }
    // The next image of the master knows what is kept, and goes on from there.
    pool.cli_ok(&["upgrade"]);
    pool.cli_ok(&["scale", "5"]);
    wait_until("the fifth is kept", SOON, || {
        manager.names().contains(&"hatchery-0-4-4".to_owned())
    });
    assert_eq!(manager.names().len(), 6);
    assert_eq!(manager.kept.lock().unwrap().ready, 3);
    pool.stop();
    wait_until("nothing is kept", SOON, || manager.names().is_empty());
}
