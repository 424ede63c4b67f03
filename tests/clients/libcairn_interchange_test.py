"""What libmemcached's users wrote with ketama, libcairn finds, and the other way round: pylibmc and
cairn-cli on three servers of one ring."""

import os
import pickle
import subprocess
import unittest
import zlib

import checks
import servers

pylibmc = checks.need_module("pylibmc")
CLI = os.environ["CAIRN_CLI"]

# pylibmc's behaviors, and the placement of libcairn that is the same ring.
RINGS = (
    ({"ketama_weighted": True}, "libmemcached-weighted"),
    ({"ketama": True, "hash": "md5"}, "libmemcached-md5"),
    ({"ketama": True, "hash": "md5"}, "libmc"),
    ({"ketama": True}, "libmemcached-ketama"),
    ({}, "libmemcached-modula"),
)
KEYS = [f"key:{number}" for number in range(60)] + ["caf\u00e9", "x" * 250]


# What docs/client.md says of pylibmc's flags: a value, its flags, and the bytes that are stored, where
# those are given.
TYPES = (
    ("bytes", b"theirs", 0, b"theirs"),
    ("pickle", [1, "two", None], 1, None),
    ("true", True, 2, b"1"),
    ("false", False, 2, b"0"),
    ("int", -42, 4, b"-42"),
    ("str", "caf\u00e9", 16, "caf\u00e9".encode()),
)


class Interchange(unittest.TestCase):
    def setUp(self):
        self.servers = [servers.Server(os.environ["CAIRND"]) for _ in range(3)]
        for server in self.servers:
            server.__enter__()
            self.addCleanup(server.__exit__, None, None, None)
        self.addresses = [f"127.0.0.1:{server.port}" for server in self.servers]

    def cli(self, placement, *words, stdin=None):
        return subprocess.run(
            [CLI, "--servers=" + ",".join(self.addresses), "--placement=" + placement, "--timeout=30s", *words],
            input=stdin, capture_output=True, timeout=checks.DEADLINE, check=False)

    def test_one_finds_what_the_other_wrote(self):
        for behaviors, placement in RINGS:
            with self.subTest(placement=placement):
                theirs = pylibmc.Client(self.addresses, behaviors=behaviors)
                self.addCleanup(theirs.disconnect_all)
                theirs.flush_all()
                for key in KEYS:
                    self.assertTrue(theirs.set(key, b"theirs " + key[:9].encode()))
                got = self.cli(placement, "get", *KEYS)
                self.assertEqual(got.returncode, 0, got.stderr)
                lines = got.stdout.decode().splitlines()
                self.assertEqual(lines, [f"{key} theirs {key[:9]}" for key in KEYS])

                for key in KEYS[::7]:
                    stored = self.cli(placement, "set", key, "-", stdin=b"ours " + key[:9].encode())
                    self.assertEqual(stored.returncode, 0, stored.stderr)
                    self.assertEqual(theirs.get(key), b"ours " + key[:9].encode())

    def test_values_have_the_flags_that_the_documentation_says(self):
        theirs = pylibmc.Client(self.addresses[:1])
        self.addCleanup(theirs.disconnect_all)
        for key, value, flags, stored in TYPES:
            with self.subTest(key):
                self.assertTrue(theirs.set(key, value))
                found_flags, found = checks.flags_and_value(self.servers[0], key)
                self.assertEqual(found_flags, flags)
                if stored is None:
                    self.assertEqual(pickle.loads(found), value)
                else:
                    self.assertEqual(found, stored)
                    # And what libcairn stores with these flags is read as that. (A bool comes back as an int.)
                    checks.store(self.servers[0], "ours", flags, stored)
                    self.assertIs(type(theirs.get("ours")), type(theirs.get(key)))
                    self.assertEqual(theirs.get("ours"), value)
        for value, flags in ((b"x" * 5000, 8), ("x" * 5000, 24)):
            self.assertTrue(theirs.set("long", value, min_compress_len=100))
            found_flags, found = checks.flags_and_value(self.servers[0], "long")
            self.assertEqual((found_flags, zlib.decompress(found)), (flags, b"x" * 5000))

    def test_another_ring_is_another_ring(self):
        theirs = pylibmc.Client(self.addresses, behaviors={"ketama": True})
        self.addCleanup(theirs.disconnect_all)
        for key in KEYS:
            theirs.set(key, b"x")
        self.assertEqual(self.cli("libmemcached-weighted", "get", *KEYS).returncode, 1)

    def test_the_cli_counts_deletes_and_tells_a_miss_from_a_failure(self):
        self.assertEqual(self.cli("cairn", "get", "n").returncode, 1)
        self.assertEqual(self.cli("cairn", "set", "n", "41").returncode, 0)
        self.assertEqual(self.cli("cairn", "incr", "n").stdout, b"42\n")
        self.assertEqual(self.cli("cairn", "add", "n", "1").returncode, 1)
        self.assertEqual(self.cli("cairn", "--ttl=100s", "touch", "n").returncode, 0)
        self.assertEqual(self.cli("cairn", "delete", "n").returncode, 0)
        self.assertEqual(self.cli("cairn", "delete", "n").returncode, 1)
        self.assertEqual(self.cli("cairn", "ping").stdout.count(b" ms ("), 3)
        self.assertEqual(len(self.cli("cairn", "ring").stdout.splitlines()), 4)
        self.assertIn(b" curr_items 0\n", self.cli("cairn", "stats").stdout)
        self.assertEqual(self.cli("no-such-ring", "get", "n").returncode, 2)
        self.addresses = [f"127.0.0.1:{servers.free_port()}"]
        self.assertEqual(self.cli("cairn", "get", "n").returncode, 3)


if __name__ == "__main__":
    checks.main()
