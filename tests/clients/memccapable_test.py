"""memccapable of libmemcached: nothing fails against the server under test that passes against the packaged memcached."""

import re
import subprocess

import checks
import servers

MEMCCAPABLE = checks.need_program("memccapable")
# A line per test; after a failure the next name follows on the same line.
RESULT = re.compile(r"((?:ascii|binary)(?: \w+)+) {2,}(\[pass\])?")

# What memccapable 1.1 passes against memcached 1.6.18.
KNOWN = """
ascii: version, quit, verbosity, set, set noreply, get, gets, mget, flush, flush noreply, add, add noreply, replace,
  replace noreply, cas, cas noreply, delete, delete noreply, incr, incr noreply, decr, decr noreply, append,
  append noreply, prepend, prepend noreply, stat
binary: noop, quit, quitq, set, setq, flush, flushq, add, addq, replace, replaceq, delete, deleteq, get, getq, getk,
  getkq, incr, incrq, decr, decrq, version, append, appendq, prepend, prependq, stat
"""

# Passes with memcached before 1.6.40 only: `delete a b c d e` was an error there, later versions ignore what follows the key.
CHANGED = {"ascii delete": "receive_error_response()", "ascii delete noreply": "receive_error_response()"}


def known_tests():
    names = set()
    for protocol, words in re.findall(r"^(\w+):((?:.+\n)(?:  .+\n)*)", KNOWN, re.MULTILINE):
        names |= {f"{protocol} {' '.join(word.split())}" for word in words.split(",")}
    return names


def run(server, *options):
    """The names that passed and everything it printed. -t bounds each read: an absent reply is a failure."""
    command = [MEMCCAPABLE, "-h", "127.0.0.1", "-p", str(server.port), "-t", "5", "-v", *options]
    try:
        done = checks.run(command, timeout=100)
    except subprocess.TimeoutExpired:
        return set(), "no end after 100 s"
    passed = {name for name, result in RESULT.findall(done.stdout) if result}
    return passed, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


class Memccapable(checks.ServerCase):
    def test_nothing_fails_that_passes_against_memcached(self):
        expected = known_tests()
        oracle = servers.find_oracle()
        if oracle:
            with servers.Server(oracle) as server:
                expected, output = run(server)
                self.assertGreaterEqual(len(expected), 50, output)
        passed, output = run(self.server)
        for name in sorted(expected - passed):
            with self.subTest(name):
                _, alone = run(self.server, "-T", name)
                self.assertIn(name, CHANGED, f"{alone}\n--- all tests:\n{output}")
                self.assertIn(CHANGED[name], alone)


if __name__ == "__main__":
    checks.main()
