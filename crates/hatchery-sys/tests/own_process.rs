//! What changes or ends the whole process: each `alone_` test runs in a process of its own, started
//! by the test that follows it, which looks at the outcome.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::os::unix::thread::JoinHandleExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use hatchery_sys::epoll::Epoll;
use hatchery_sys::page::StatsPage;
use hatchery_sys::process::{self, Exit, ExitStatus};
use hatchery_sys::signals::{Signal, SignalFd};
use hatchery_sys::spawn::{Program, Spawn};
use hatchery_sys::{lock, memfd, packet, peer};

const SOON: Duration = Duration::from_secs(20);

fn arguments(test: &str) -> Vec<OsString> {
    [
        "test",
        "--ignored",
        "--exact",
        test,
        "--nocapture",
        "--test-threads=1",
    ]
    .map(OsString::from)
    .to_vec()
}

/// Runs a test in a process (and group) of its own.
fn run(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(&arguments(test)[1..])
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .unwrap()
}

fn succeeds(name: &str) {
    let output = run(name);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

#[test]
#[ignore = "ends its process"]
fn alone_exit_now() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            println!("dropped");
        }
    }
    let _loud = Loud;
    std::thread::scope(|scope| {
        scope.spawn(|| process::exit_now(17));
    });
}

#[test]
fn an_exit_at_once_runs_nothing_more() {
    let output = run("alone_exit_now");
    assert_eq!(output.status.code(), Some(17));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("dropped"));
}

#[test]
#[ignore = "ends its process"]
fn alone_kill_own_group() {
    let mut grandchild = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| process::kill_own_group());
        grandchild.wait().unwrap();
    });
}

#[test]
fn a_group_can_kill_itself() {
    // The output ends only when the grandchild, which has it too, is dead.
    assert_eq!(
        run("alone_kill_own_group").status.signal(),
        Some(libc::SIGKILL)
    );
}

#[test]
#[ignore = "changes its process"]
fn alone_redirect_to_null() {
    let target = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    for wrong in [-1, 3, 100] {
        let error = process::redirect_to_null(&[1, wrong]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert_ne!(target(1), Path::new("/dev/null"));
    // With 0 closed, the next file to be opened gets that number.
    // SAFETY: nobody in this process owns its standard input, and it is open again below.
    assert_eq!(unsafe { libc::close(0) }, 0);
    process::redirect_to_null(&[0, 2]).unwrap();
    assert_eq!(target(0), Path::new("/dev/null"));
    assert_eq!(target(2), Path::new("/dev/null"));
    assert_ne!(target(1), Path::new("/dev/null"));
    eprintln!("unseen");
    println!("seen");
    process::redirect_to_null(&[1]).unwrap();
    println!("unseen");
    std::io::stdout().flush().unwrap();
    process::exit_now(0)
}

#[test]
fn redirected_output_goes_nowhere() {
    let output = run("alone_redirect_to_null");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text} {errors}");
    assert!(
        text.contains("seen\n") && !text.contains("unseen"),
        "{text}"
    );
    assert!(!errors.contains("unseen"), "{errors}");
}

/// Where the test process `pid` locks a file.
fn locked_by(pid: u32) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("hatchery-lock-test-{pid}"))
}

#[test]
#[ignore = "is another process than its parent"]
fn alone_lock() {
    let parent = std::os::unix::process::parent_id();
    let path = locked_by(parent);
    assert_eq!(lock::holder(&path).unwrap(), Some(parent));
    let error = lock::claim(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_lock_names_its_holder_and_ends_with_it() {
    let path = locked_by(std::process::id());
    assert_eq!(lock::holder(&path).unwrap(), None);
    let held = lock::claim(&path).unwrap();
    succeeds("alone_lock");
    drop(held);
    assert_eq!(lock::holder(&path).unwrap(), None);
    std::fs::remove_file(path).unwrap();
}

#[test]
#[ignore = "replaces its process"]
fn alone_exec() {
    let env = [(OsString::from("WORD"), OsString::from("there"))];
    let args = ["sh", "-c", "echo $0 $WORD $HOME. $$", "hello"].map(OsString::from);
    let error = process::exec(Path::new("/nonexistent"), &args, &env);
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error = process::exec(Path::new("/bin/sh"), &["a\0".into()], &env);
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    println!("pid {}", std::process::id());
    panic!("{}", process::exec(Path::new("/bin/sh"), &args, &env));
}

#[test]
fn a_process_can_become_another_program() {
    let output = run("alone_exec");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pid = text
        .lines()
        .find_map(|line| line.split("pid ").nth(1))
        .unwrap();
    assert!(
        output.status.success() && text.contains(&format!("hello there . {pid}\n")),
        "{text}"
    );
}

#[test]
#[ignore = "replaces its process"]
fn alone_exec_self() {
    // The signal is blocked and pending while the image changes.
    let _signals = SignalFd::new(&[Signal::Term]).unwrap();
    // SAFETY: raises a valid signal in this thread, which has blocked it.
    assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
    let program = Program::running().unwrap();
    panic!(
        "{}",
        program.exec(&arguments("alone_after_exec_self"), &environment())
    );
}

#[test]
#[ignore = "what the test above becomes"]
fn alone_after_exec_self() {
    // Tests run in a thread that the main thread starts; it is the main thread that came through.
    // While it starts a thread it blocks more than that for a moment.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for field in ["SigPnd:", "SigBlk:"] {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap()
            .trim();
        let set = u64::from_str_radix(value, 16).unwrap();
        assert_ne!(set & (1 << (libc::SIGTERM - 1)), 0, "{field} {value}");
    }
}

#[test]
fn a_process_can_become_itself_and_keeps_a_blocked_signal() {
    succeeds("alone_exec_self");
}

#[test]
#[ignore = "changes its process"]
fn alone_ignored_sigchld() {
    // SAFETY: ignoring a signal touches no memory.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
    let _signals = SignalFd::new(&[Signal::Chld]).unwrap();
    let program = Program::open(Path::new("/bin/false")).unwrap();
    let args = [OsString::from("false")];
    let cwd = Path::new("/");
    let spawn = Spawn {
        program: &program,
        args: &args,
        env: &[],
        listen_pid: false,
        cwd,
        fds: &[],
    };
    let child = spawn.start().unwrap();
    assert!(peer::wait_gone(&child.pidfd, SOON).unwrap());
    let exit = Exit {
        pid: child.pid,
        status: ExitStatus::Code(1),
    };
    assert_eq!(process::next_exit().unwrap(), Some(exit));
    process::reap(child.pid).unwrap();
}

#[test]
fn exits_are_told_though_a_parent_ignored_them() {
    succeeds("alone_ignored_sigchld");
}

/// The child of the test below: as a worker begins.
#[test]
#[ignore = "needs what its parent hands over"]
fn alone_inherit() {
    assert_eq!(
        std::env::var("LISTEN_PID").unwrap(),
        std::process::id().to_string()
    );
    let control = process::take_fd(3).unwrap();
    let mut buffer = [0; 64];
    let packet = packet::receive(&control, &mut buffer, false)
        .unwrap()
        .unwrap();
    assert_eq!(&buffer[..packet.len], b"welcome");
    let page = StatsPage::map(&packet.fds[0]).unwrap();
    page.tick(0, 42);
    let config = memfd::read(&packet.fds[1]).unwrap();
    packet::send(&control, &config, &[], false).unwrap();
    assert!(
        packet::receive(&control, &mut buffer, false)
            .unwrap()
            .is_none()
    );
    page.tick(0, 43);
    process::exit_now(0)
}

#[test]
fn a_child_takes_over_what_was_placed_and_sent() {
    let program = Program::open(&std::env::current_exe().unwrap()).unwrap();
    let (near, far) = packet::pair().unwrap();
    let (page, page_fd) = StatsPage::create().unwrap();
    let config = memfd::with("configuration", b"{\"a\":1}").unwrap();
    packet::send(&near, b"welcome", &[page_fd.as_fd(), config.as_fd()], true).unwrap();
    let (mut errors, writer) = io::pipe().unwrap();
    let child = Spawn {
        program: &program,
        args: &arguments("alone_inherit"),
        env: &environment(),
        listen_pid: true,
        cwd: &std::env::current_dir().unwrap(),
        fds: &[(far.as_fd(), 3), (writer.as_fd(), 1), (writer.as_fd(), 2)],
    }
    .start()
    .unwrap();
    drop((far, writer));
    let mut buffer = [0; 64];
    let answer = packet::receive(&near, &mut buffer, false).unwrap();
    let mut text = String::new();
    let Some(answer) = answer else {
        errors.read_to_string(&mut text).unwrap();
        panic!("{text}");
    };
    assert_eq!(&buffer[..answer.len], b"{\"a\":1}");
    assert_eq!(page.ticks()[0], 42);
    drop(near);
    assert!(peer::wait_gone(&child.pidfd, SOON).unwrap());
    process::reap(child.pid).unwrap();
    // The page tells of the child's last moment after its death.
    assert_eq!(page.ticks()[0], 43);
}

/// Makes the kernel refuse the newer calls, as old kernels and strict filters do.
fn forget_new_calls() {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let call = |number: libc::c_long| u32::try_from(number).unwrap();
    let (load, equal) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
    );
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut filter = [
        instruction(load, 0, 0, 0),
        instruction(equal, 1, 0, call(libc::SYS_execveat)),
        instruction(equal, 0, 1, call(libc::SYS_close_range)),
        instruction(libc::BPF_RET, 0, 0, unknown),
        instruction(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true).unwrap();
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its instructions are live; the kernel copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
#[ignore = "changes its process"]
fn alone_old_kernel() {
    forget_new_calls();
    let (leaky, _writer) = io::pipe().unwrap();
    let leaky = rustix::io::fcntl_dupfd_cloexec(&leaky, 30).unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let program = Program::open(Path::new("/bin/sh")).unwrap();
    let script = format!(
        "test -e /proc/self/fd/{} || echo $LISTEN_PID $$",
        leaky.as_raw_fd()
    );
    let child = Spawn {
        program: &program,
        args: &["sh".into(), "-c".into(), script.into()],
        env: &[],
        listen_pid: true,
        cwd: Path::new("/"),
        fds: &[(writer.as_fd(), 1)],
    }
    .start()
    .unwrap();
    drop(writer);
    let text = io::read_to_string(reader).unwrap();
    assert_eq!(text, format!("{0} {0}\n", child.pid));
}

#[test]
fn children_start_on_older_kernels_too() {
    succeeds("alone_old_kernel");
}

extern "C" fn ignore(_: libc::c_int) {}

#[test]
#[ignore = "changes its process"]
fn alone_interrupted() {
    let handler: extern "C" fn(libc::c_int) = ignore;
    // SAFETY: all zeroes are a valid `sigaction`: no flags, so calls are not restarted by the kernel.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the action is live, and its handler does nothing.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(result, 0);

    let time = Duration::from_millis(50);
    let (near, far) = packet::pair().unwrap();
    let pidfd = peer::pidfd_open(std::process::id()).unwrap();
    let (sender, done) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let epoll = Epoll::new().unwrap();
        let mut ready = Vec::new();
        let start = Instant::now();
        epoll.wait(&mut ready, Some(time)).unwrap();
        assert!(start.elapsed() >= time && ready.is_empty());
        assert!(!peer::wait_gone(&pidfd, time).unwrap());
        assert!(start.elapsed() >= time * 2);
        sender.send(()).unwrap();
        // And one that waits for another process, not for a time.
        packet::receive(&near, &mut [0; 8], false)
            .unwrap()
            .unwrap()
            .len
    });
    let interrupt = || {
        // SAFETY: the thread was not joined yet, so its handle is valid.
        let result = unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGUSR1) };
        assert_eq!(result, 0);
        std::thread::sleep(Duration::from_millis(1));
    };
    while done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
        interrupt();
    }
    (0..20).for_each(|_| interrupt());
    packet::send(&far, b"end", &[], false).unwrap();
    assert_eq!(waiter.join().unwrap(), 3);
}

#[test]
fn interrupted_waits_go_on() {
    succeeds("alone_interrupted");
}
