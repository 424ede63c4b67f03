"""What PHP's users wrote with php-memcached, libcairn finds, and the other way round."""

import os
import subprocess
import unittest
import zlib

import checks
import servers

PHP = checks.need_program("php")
CLI = os.environ["CAIRN_CLI"]
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "php_interchange.php")

if "memcached" not in checks.run([PHP, "-m"]).stdout.split():
    checks.skip_all("PHP's memcached extension is not installed")

# What php_interchange.php calls it, and the placement of libcairn that is the same ring.
RINGS = (("ketama-weighted", "libmemcached-weighted"), ("md5", "libmemcached-md5"), ("modula", "libmemcached-modula"))
KEYS = [f"key:{number}" for number in range(60)] + ["x" * 250]  # it refuses bytes outside ASCII


# What docs/client.md says of php-memcached's flags; what php_interchange.php stores under these names.
TYPES = {
    "string": (0, b"theirs"),
    "int": (1, b"-42"),
    "float": (2, b"1.5"),
    "true": (3, b"1"),
    "false": (3, b""),
    "serialize": (4, b"a:1:{i:0;i:1;}"),
    "json": (6, b"[1]"),
    "user-flags": (3 << 16, b"theirs"),
}
# Where PHP has the serializer.
SERIALIZED = {"igbinary": 5, "msgpack": 7}
COMPRESSED = {"zlib": 16 | 32, "fastlz": 16 | 64, "by-default": 16 | 64}


class Interchange(unittest.TestCase):
    def setUp(self):
        self.servers = [servers.Server(os.environ["CAIRND"]) for _ in range(3)]
        for server in self.servers:
            server.__enter__()
            self.addCleanup(server.__exit__, None, None, None)
        self.addresses = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def php(self, ring, verb, keys):
        done = checks.run([PHP, SCRIPT, ring, self.addresses, verb, *keys])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.splitlines()

    def cli(self, placement, *words):
        return subprocess.run(
            [CLI, "--servers=" + self.addresses, "--placement=" + placement, "--timeout=30s", *words],
            capture_output=True, text=True, timeout=checks.DEADLINE, check=False)

    def test_one_finds_what_the_other_wrote(self):
        for ring, placement in RINGS:
            with self.subTest(placement=placement):
                self.assertEqual(self.cli(placement, "flush_all").returncode, 0)
                self.php(ring, "set", KEYS)
                got = self.cli(placement, "get", *KEYS)
                self.assertEqual(got.returncode, 0, got.stderr)
                self.assertEqual(got.stdout.splitlines(), [f"{key} theirs {key}" for key in KEYS])
                for key in KEYS[::7]:
                    self.assertEqual(self.cli(placement, "set", key, "ours " + key).returncode, 0)
                self.assertEqual(self.php(ring, "get", KEYS[::7]), [f"{key} ours {key}" for key in KEYS[::7]])

    def test_values_have_the_flags_that_the_documentation_says(self):
        server = self.servers[0]
        self.addresses = f"127.0.0.1:{server.port}"
        there = self.php("modula", "types", [])
        for key, expected in TYPES.items():
            with self.subTest(key):
                self.assertEqual(checks.flags_and_value(server, key), expected)
        for key in [key for key in there if key in SERIALIZED]:
            self.assertEqual(checks.flags_and_value(server, key)[0], SERIALIZED[key])
        for key, flags in COMPRESSED.items():
            found_flags, found = checks.flags_and_value(server, key)
            self.assertEqual((key, found_flags), (key, flags))
            self.assertEqual(int.from_bytes(found[:4], "little"), 5000)
        self.assertEqual(zlib.decompress(checks.flags_and_value(server, "zlib")[1][4:]), b"z" * 5000)
        # And what libcairn stores with these flags is read as that.
        for flags, stored, value in ((0, b"ours", "'ours'"), (1, b"7", "7"), (2, b"2.5", "2.5"), (3, b"1", "true"),
                                     (3, b"", "false"), (6, b'"ours"', "'ours'")):
            checks.store(server, "ours", flags, stored)
            self.assertEqual(self.php("modula", "export", ["ours"]), [value])

    def test_another_ring_is_another_ring(self):
        self.php("ketama-weighted", "set", KEYS)
        self.assertEqual(self.cli("libmemcached-modula", "get", *KEYS).returncode, 1)


if __name__ == "__main__":
    checks.main()
