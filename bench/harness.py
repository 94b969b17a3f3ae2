"""What `bench/run` and `bench/start` share: building, starting, reading and ending servers."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"

# The baseline of every ratio is axum: it is what a reader would use otherwise.
BASELINE = "axum"
SERVERS = ("showcase", "hyper", "axum", "actix")
# Applications of ours, each in a directory of its name.
POOLS = ("showcase", "former", "blog")
# Another build of the showcase, to show what a change costs.
FORMER = "former"

START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 10.0
BUILD_SECONDS_MAX = 1800.0
REPLY_BYTES_MAX = 64 * 1024

ECHO = json.dumps({"message": "Hello, World!", "numbers": [1, 2, 3]})
# Route: method, path, body, and what must be in the answer.
ROUTES = {
    "hello": ("GET", "/hello", None, b"Hello, Hatchery"),
    "json": ("GET", "/json", None, b'"Hello, World!"'),
    "users": ("GET", "/users/42", None, b'"42"'),
    "echo": ("POST", "/echo", ECHO, b'"numbers"'),
    # The same text, in the showcase through a context, two middlewares and a service.
    "framework": ("GET", "/framework", None, b"Hello, Hatchery"),
}
# What a pool is asked first, when it has no /hello.
FRONT = {"front": ("GET", "/", None, b"<h1>")}


class BenchError(Exception):
    """Something that ends the comparison, said in one line."""


def default_workers():
    """As many workers as cores that this process may use."""
    return len(os.sched_getaffinity(0))


def build(servers, former=None):
    """Builds what is asked for, in release mode; returns the executable of each server. `former`
    is that of another build of the showcase."""
    programs = {FORMER: str(former)} if former else {}
    for example in ("showcase", "blog"):
        if example in servers:
            programs.update(_cargo_build(ROOT, ["-p", example]))
    if any(server not in POOLS for server in servers):
        programs.update(_cargo_build(PEERS, []))
    missing = [server for server in servers if server not in programs]
    if missing:
        raise BenchError(f"the build made no executable for {', '.join(missing)}")
    return programs


def _cargo_build(directory, arguments):
    command = ["cargo", "build", "--release", "--locked", *arguments]
    command += ["--message-format=json-render-diagnostics"]
    # The peers have their own dependencies and their own target directory.
    environment = dict(os.environ)
    if directory == PEERS:
        environment["CARGO_TARGET_DIR"] = str(PEERS / "target")
    done = subprocess.run(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, timeout=BUILD_SECONDS_MAX
    )
    if done.returncode != 0:
        raise BenchError(f"`{' '.join(command)}` failed in {directory}")
    programs = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            programs[message["target"]["name"].removeprefix("peer-")] = message["executable"]
    return programs


def require_wrk():
    """The load generator; there is no use in going on without it."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("wrk is not installed: apt-get install wrk")
    return wrk


def free_port():
    """A port that nothing listens on now. It is outside the range of clients' own ports."""
    for port in range(17001, 17100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise BenchError("no free port between 17001 and 17099")


class Server:
    """A server under test, with every process it started."""

    def __init__(self, name, program, workers):
        self.name = name
        self.port = free_port()
        self._program = program
        self._scratch = tempfile.TemporaryDirectory(prefix="hatchery-bench-")
        scratch = pathlib.Path(self._scratch.name)
        # A run directory of its own: a showcase that runs already is never touched.
        self._run_dir = str(scratch / "run")
        if name in POOLS:
            arguments = ["start", "--listen", f"127.0.0.1:{self.port}"]
            arguments += ["--workers", str(workers), "--run-dir", self._run_dir]
        else:
            arguments = [str(self.port), str(workers)]
        self._first = "front" if name == "blog" else "hello"
        example = "blog" if name == "blog" else "showcase"
        directory = ROOT / "examples" / example if name in POOLS else ROOT
        self._output = open(scratch / "output", "w+b")
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [program, *arguments],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_for_first_answer(self):
        """Seconds from just before the exec until a client has read its first 200."""
        limit = self.started + START_SECONDS_MAX
        while time.monotonic() < limit:
            if self._process.poll() is not None:
                raise BenchError(f"{self.name} ended at its start: {self.output_tail()}")
            with contextlib.suppress(OSError):
                status, _ = request(self.port, self._first)
                if status == 200:
                    return time.monotonic() - self.started
            time.sleep(0.0005)
        raise BenchError(f"{self.name} did not answer within {START_SECONDS_MAX:.0f} s")

    def wait_for_pool(self):
        """Waits until every worker of a showcase is ready; a peer is whole when it answers."""
        if self.name not in POOLS:
            return
        command = [self._program, "status", "--json", "--run-dir", self._run_dir]
        limit = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < limit:
            done = subprocess.run(command, capture_output=True, timeout=START_SECONDS_MAX)
            if done.returncode == 0 and json.loads(done.stdout)["state"] == "ready":
                return
            time.sleep(0.02)
        raise BenchError(f"{self.name} was never ready: {self.output_tail()}")

    def check(self, route):
        """Every server must do the work that it is measured at."""
        status, body = request(self.port, route)
        if status != 200 or ROUTES[route][3] not in body:
            raise BenchError(f"{self.name} answers /{route} with {status} {body!r}")

    def tree(self):
        """The ids of the server's processes, itself first."""
        children = {}
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal():
                with contextlib.suppress(OSError, IndexError):
                    pid = int(entry.name)
                    children.setdefault(int(_stat(pid)[1]), []).append(pid)
        found = [self.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_seconds(self):
        """CPU time of all its processes, also of those that it has reaped by now."""
        ticks = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                # utime, stime, and cutime, cstime of reaped children.
                ticks += sum(int(field) for field in _stat(pid)[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def output_tail(self):
        """The last lines it printed."""
        self._output.flush()
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "(no output)"

    def stop(self):
        """Ends it politely, or else with every process that it started."""
        family = self.tree()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            print(f"{self.name} ignores SIGTERM: killed", file=sys.stderr)
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()
        self._scratch.cleanup()


def _stat(pid):
    """The fields of /proc/PID/stat after the name, which may hold spaces: state is number 0."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def request(port, route):
    """One request on a connection of its own; returns the status and the rest of the answer."""
    method, path, body, _ = (ROUTES | FRONT)[route]
    payload = (body or "").encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
    if payload:
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(head.encode() + b"\r\n" + payload)
        answer = b""
        while len(answer) < REPLY_BYTES_MAX:
            part = stream.recv(4096)
            if not part:
                break
            answer += part
    line, _, rest = answer.partition(b"\r\n")
    words = line.split()
    if len(words) < 2:
        raise OSError("the connection was closed without an answer")
    return int(words[1]), rest


def pss_kib(pid):
    """The proportional set size of a process, KiB: shared pages count by their share."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise BenchError(f"process {pid} has no Pss line")


def command_line(pid):
    """What `ps` would show of a process."""
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def main(work):
    """Runs `work` and turns what can be expected to go wrong into one line and exit code 1."""
    # An end from outside must not leave a server behind: let the `with` blocks do their work.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by SIGTERM"))
    try:
        work()
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
