"""Starts memcached-compatible servers for tests, on loopback, and speaks to them.

A test names a program and its options; `Server` finds a free port, starts it in the foreground, waits until it accepts
connections and ends it by its process id. Works for cairnd and for memcached, which take the same options. Standard library
only.

    with Server(find_candidate(), ["-m", "64"]) as server:
        client = server.connect()
        client.send(b"set a 0 0 1\r\nx\r\n")
        assert client.read_line() == b"STORED\r\n"
"""

import atexit
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_TIMEOUT = 30.0  # seconds; generous because sanitizer builds on a busy machine start slowly
STOP_TIMEOUT = 30.0
READ_TIMEOUT = 20.0

SKIPPED = 77  # exit code by which ctest (SKIP_RETURN_CODE) knows that a test could not run here

_running = set()


def _stop_all():
    for server in list(_running):
        server.kill()


def _on_sigterm(signum, frame):
    sys.exit(128 + signum)  # runs the atexit handlers: no server outlives the test


atexit.register(_stop_all)
if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _on_sigterm)


def find_candidate(path=None):
    """The server under test: `path`, else $CAIRND, else exits with a message."""
    path = path or os.environ.get("CAIRND")
    if not path:
        sys.exit("no server to test: give --candidate PATH or set CAIRND")
    if not os.access(path, os.X_OK):
        sys.exit(f"{path}: not an executable")
    return path


def find_oracle(path=None):
    """The packaged memcached: `path`, else $MEMCACHED, else the one in $PATH, else None."""
    return path or os.environ.get("MEMCACHED") or shutil.which("memcached")


def free_port(kind=socket.SOCK_STREAM):
    """A port of the loopback that was free just now. It lies below those that the kernel gives to outgoing connections: one of
    those would soon be taken by a test that runs beside this one."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        end = int(file.read().split()[0])
    while True:
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", random.randrange(min(10240, end - 1), end)))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                continue
            return sock.getsockname()[1]


def tool(name):
    """The path of a program a test needs, or None when it is not installed."""
    return shutil.which(name)


class ServerError(Exception):
    """The server did not start, or ended when it should not have."""


class Closed(Exception):
    """The peer closed the connection; `.data` holds what was read before."""

    def __init__(self, data=b""):
        super().__init__(f"connection closed after {data!r}")
        self.data = data


class Client:
    """A blocking byte stream to a server, with a read buffer. Every read has a deadline."""

    def __init__(self, sock, timeout=READ_TIMEOUT):
        self.sock = sock
        self.buffer = b""
        self.timeout = timeout
        sock.settimeout(timeout)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        """Sends no more. A peer that has already hung up is for the read that follows to find."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def close(self):
        self.sock.close()

    def fill(self):
        """Reads once more into the buffer; False at end of stream. Raises socket.timeout."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def take(self, count):
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_until(self, mark):
        """All bytes up to and including `mark`."""
        start = 0
        while True:
            at = self.buffer.find(mark, start)
            if at >= 0:
                return self.take(at + len(mark))
            start = max(0, len(self.buffer) - len(mark))
            if not self.fill():
                raise Closed(self.take(len(self.buffer)))

    def read_line(self):
        """One line with its line end."""
        return self.read_until(b"\n")

    def read_exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Closed(self.take(len(self.buffer)))
        return self.take(count)

    def read_all(self):
        """Everything until the server closes."""
        while self.fill():
            pass
        return self.take(len(self.buffer))

    def ask(self, request, mark=b"\r\n"):
        """Sends `request` and returns the reply up to and including `mark`."""
        self.send(request)
        return self.read_until(mark)

    def stats(self, group=b""):
        """`stats [group]` as a dict of str."""
        self.send(b"stats " + group + b"\r\n" if group else b"stats\r\n")
        result = {}
        while True:
            line = self.read_line().rstrip(b"\r\n").decode()
            if line == "END":
                return result
            word, name, *value = line.split(" ", 2)
            if word != "STAT":
                raise ServerError(f"stats answered {line!r}")
            result[name] = value[0] if value else ""


class Server:
    """One server process.

    options: extra arguments. unix=True listens on a UNIX socket in a private folder instead of TCP. udp=True opens a UDP
    port too. listen=False passes no -l/-p at all (the options do). stderr goes to a temporary file: see `log()`.
    """

    def __init__(self, program, options=(), unix=False, udp=False, listen=True, env=None):
        self.program = str(program)
        self.options = list(options)
        self.unix = unix
        self.udp = udp
        self.listen = listen
        self.env = dict(os.environ, **env) if env else None
        self.process = None
        self.port = None
        self.udp_port = None
        self.path = None
        self.folder = None
        self._log = None

    def __enter__(self):
        if not self.process:
            self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        args = [self.program]
        if os.geteuid() == 0 and "-u" not in self.options:
            args += ["-u", "root"]
        if self.unix:
            args += ["-s", self.path]
        elif self.listen:
            args += ["-l", "127.0.0.1", "-p", str(self.port), "-U", str(self.udp_port or 0)]
        return args + self.options

    def start(self):
        """Starts it and waits until it accepts; tries other ports when somebody was quicker."""
        for attempt in range(5):
            try:
                return self._start_once()
            except ServerError as error:
                if attempt == 4 or not self.listen or self.unix or not _port_taken(str(error)):
                    raise

    def _start_once(self):
        self._cleanup()
        self.folder = tempfile.mkdtemp(prefix="cairn-test-")
        if self.unix:
            self.path = os.path.join(self.folder, "socket")
        elif self.listen:
            self.port = free_port()
            self.udp_port = free_port(socket.SOCK_DGRAM) if self.udp else None
        self._log = open(os.path.join(self.folder, "log"), "w+b")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self._log,
                                        stderr=self._log, env=self.env)
        _running.add(self)
        if self.unix or self.listen:
            self._await_accepting()
        return self

    def _await_accepting(self):
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            if self.process.poll() is not None:
                code = self.process.returncode
                _running.discard(self)
                raise ServerError(f"{' '.join(self.command())}: exit code {code} at start\n{self.log()}")
            try:
                self._socket(1.0).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.kill()
                    raise ServerError(f"{' '.join(self.command())}: accepts no connection\n{self.log()}")
                time.sleep(0.01)

    def _socket(self, timeout):
        if self.unix:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            try:
                sock.connect(self.path)
            except OSError:
                sock.close()
                raise
            return sock
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def connect(self, timeout=READ_TIMEOUT):
        return Client(self._socket(timeout), timeout)

    def udp_socket(self, timeout=READ_TIMEOUT):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", self.udp_port))
        return sock

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def rss(self):
        """Resident memory of the process in bytes (Linux)."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def log(self):
        """What it wrote to stdout and stderr so far."""
        self._log.flush()
        with open(self._log.name, "rb") as log:
            return log.read().decode(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM and wait. Raises ServerError unless it exits 0 (a sanitizer's finding is not 0)."""
        if not self.process:
            return
        early = self.process.poll()
        if early is None:
            self.process.terminate()
        try:
            code = self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self.program} ignored SIGTERM") from None
        log = self.log()
        self._cleanup()
        if code != 0:
            when = "before it was stopped" if early is not None else "on SIGTERM"
            raise ServerError(f"{self.program} ended with code {code} {when}\n{log}")

    def kill(self):
        """SIGKILL: at once, without looking at the exit code."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._cleanup()

    def restart(self):
        """A fresh empty server on another port."""
        self.kill()
        self.start()

    def _cleanup(self):
        _running.discard(self)
        self.process = None
        if self._log:
            self._log.close()
            self._log = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def _port_taken(message):
    return "in use" in message or "failed to listen" in message
