"""What a program on libmemcached wrote, libcairn finds and deletes, and the other way round: on three servers with and
without weights, on every ring of libmemcached's that libcairn has a preset for."""

import os
import unittest

import checks
import servers

PROGRAM = os.environ.get("CAIRN_LIBMEMCACHED_INTERCHANGE") or checks.skip_all("libmemcached was not found by CMake")

# What libmemcached_interchange.cc calls it, and the placement of libcairn that is the same ring.
RINGS = (
    ("ketama-weighted", "libmemcached-weighted"),
    ("ketama-md5", "libmemcached-md5"),
    ("ketama", "libmemcached-ketama"),
    ("default", "libmemcached-modula"),
)
WEIGHTS = ((1, 1, 1), (1, 2, 5))
KEYS = 1000


class Interchange(unittest.TestCase):
    def both(self, program):
        """Three servers of this kind; answers how the program ended, and what it said."""
        started = [servers.Server(program) for _ in range(3)]
        for server in started:
            server.__enter__()
            self.addCleanup(server.__exit__, None, None, None)

        def run(ring, placement, prefix, weights):
            addresses = [f"127.0.0.1:{server.port}:{weight}" for server, weight in zip(started, weights)]
            done = checks.run([PROGRAM, ring, placement, prefix, KEYS, *addresses], timeout=120)
            return done.returncode, f"{addresses}\n{done.stdout}{done.stderr}"
        return run

    def one_finds_what_the_other_wrote(self, program):
        run = self.both(program)
        for ring, placement in RINGS:
            for weights in WEIGHTS:
                for prefix in ("none", "apart", "hashed"):
                    with self.subTest(ring=ring, weights=weights, prefix=prefix):
                        code, said = run(ring, placement, prefix, weights)
                        self.assertEqual(code, 0, said)

    def test_on_cairnd(self):
        self.one_finds_what_the_other_wrote(os.environ["CAIRND"])

    def test_on_memcached(self):
        memcached = servers.find_oracle()
        if memcached is None:
            self.skipTest("memcached is not installed")
        self.one_finds_what_the_other_wrote(memcached)

    def test_another_ring_is_another_ring(self):
        run = self.both(os.environ["CAIRND"])
        for ring, _ in RINGS:
            for _, placement in RINGS:
                if (ring, placement) not in RINGS:
                    with self.subTest(ring=ring, placement=placement):
                        code, said = run(ring, placement, "none", (1, 1, 1))
                        self.assertEqual(code, 1, said)
                        self.assertIn("libcairn did not find user:", said)


if __name__ == "__main__":
    checks.main()
