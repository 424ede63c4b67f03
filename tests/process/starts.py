"""Ways to start the server under test: one that must fail, and one that says itself which ports it chose."""

import contextlib
import os
import subprocess
import tempfile

import checks
import servers

BAD, USAGE, NOUSER, OSERR = 1, 64, 67, 71  # exit codes; the last three are those of sysexits.h


def as_root():
    return ["-u", "root"] if checks.is_root() else []


def failing(*options, user=True, env=None):
    """Exit code and stderr of a start that is to fail."""
    command = [servers.find_candidate(), *options, *(as_root() if user else [])]
    try:
        done = checks.run(command, timeout=checks.DEADLINE, env=dict(os.environ, **env) if env else None)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{' '.join(options)}: it started and runs") from None
    return done.returncode, done.stderr


@contextlib.contextmanager
def choosing_ports(*options):
    """A server whose options name its listeners. Yields it with `.ports`: the lines of its port file as (kind, port)."""
    with tempfile.TemporaryDirectory(prefix="cairn-test-") as folder:
        name = os.path.join(folder, "ports")
        server = servers.Server(servers.find_candidate(), list(options), listen=False,
                                env={"MEMCACHED_PORT_FILENAME": name})
        with server:
            def written():
                if not server.alive():
                    raise AssertionError(f"{' '.join(options)}: it ended: {server.log()}")
                return os.path.exists(name)

            checks.until(written, "the port file is written")
            with open(name, encoding="ascii") as file:
                text = file.read()
            assert text.endswith("\n") and not os.path.exists(name + ".lck"), text
            server.ports = []
            for line in text.splitlines():
                kind, port = line.split(": ")
                server.ports.append((kind, int(port)))
            yield server
