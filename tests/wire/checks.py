"""What the tests of a running server share: unittest with ctest's exit codes, programs to run, the server's kind.

Run one by hand, against any server that takes memcached's options:

    PYTHONPATH=tests/wire CAIRND=/usr/bin/memcached /usr/bin/python3 tests/clients/pymemcache_test.py [TestClass[.test_name]]

Where cairnd is meant to behave otherwise than memcached the test carries `cairnd_only` or `since`, with the reason: together
they are the list of differences that these tests know of.
"""

import functools
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

import servers

DEADLINE = 30.0  # seconds; for conditions that normally hold within milliseconds


def skip_all(reason):
    """Ends the whole script as skipped."""
    print(f"skipped: {reason}", flush=True)
    sys.exit(servers.SKIPPED)


def tool(name):
    """The path of a program in $PATH or the usual system folders, or None."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(name, path=folders)


def need_program(name):
    """The path of a program as by tool(); skips the script when it is not installed."""
    return tool(name) or skip_all(f"{name} is not installed")


def need_module(name):
    """Imports a Python client; skips the script when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        return skip_all(f"Python module {name} is not installed ({error})")


class Program:
    """The server under test: which kind and version it is."""

    def __init__(self, path):
        self.path = path
        text = subprocess.run([path, "-V"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE, check=False).stdout
        self.is_cairnd = text.startswith("cairnd")
        numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
        self.version = tuple(int(part) for part in numbers.groups()) if numbers else (0, 0, 0)
        self.name = text.splitlines()[0] if text else os.path.basename(path)

    def at_least(self, *version):
        """Whether it behaves as memcached of that version does."""
        return self.is_cairnd or self.version >= version


@functools.lru_cache(maxsize=None)
def program():
    return Program(servers.find_candidate())


def cairnd_only(reason):
    """For a test of what cairnd does otherwise than memcached, on purpose."""
    return unittest.skipUnless(program().is_cairnd, f"memcached: {reason}")


def since(*version, reason):
    """For what memcached does from a version on: skipped when an older one is tested."""
    wanted = ".".join(str(part) for part in version)
    return unittest.skipUnless(program().at_least(*version), f"before {wanted}: {reason}")


def is_root():
    return os.geteuid() == 0


def run(command, timeout=60, **more):
    """A program's exit code and output, as text with its line ends; kills it after `timeout` s with an exception."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout, check=False, **more)
    done.stdout, done.stderr = (data.decode(errors="replace") for data in (done.stdout, done.stderr))
    return done


def until(condition, what, deadline=DEADLINE):
    """Waits until condition() is true and returns its value; AssertionError after the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not after {deadline:g} s: {what}")
        time.sleep(0.01)


class ServerCase(unittest.TestCase):
    """Tests that share one server, started with `options`. `self.server`, `self.address`, `self.client()`."""

    options = ()
    server_arguments = {}

    @classmethod
    def setUpClass(cls):
        cls.server = servers.Server(servers.find_candidate(), list(cls.options), **cls.server_arguments)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)  # raises unless it exits 0

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    def client(self):
        client = self.server.connect()
        self.addCleanup(client.close)
        return client

    def stats(self, group=b""):
        with self.server.connect() as client:
            return client.stats(group)

    def flush(self):
        with self.server.connect() as client:
            self.assertEqual(client.ask(b"flush_all\r\n"), b"OK\r\n")


def flags_and_value(server, key):
    """What is stored, as it is on the wire."""
    with server.connect() as client:
        words = client.ask(f"get {key}\r\n".encode()).split()
        if words[0] != b"VALUE":
            raise AssertionError(f"{key}: {words}")
        return int(words[2]), client.read_exactly(int(words[3]))


def store(server, key, flags, value):
    with server.connect() as client:
        answer = client.ask(f"set {key} {flags} 0 {len(value)}\r\n".encode() + value + b"\r\n")
        if answer != b"STORED\r\n":
            raise AssertionError(f"{key}: {answer}")


def main():
    """Runs the tests of the calling script. Exit code 0, 1 for a failure, 77 when every test was skipped."""
    runner = unittest.main(exit=False, verbosity=2)
    result = runner.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == 0:
        sys.exit("no test was run")
    whole = [test for test, reason in result.skipped if not hasattr(test, "test_case")]  # not the subtests
    sys.exit(servers.SKIPPED if len(whole) >= result.testsRun else 0)
