"""What PHP's users wrote with php-memcached, libcairn finds, and the other way round."""

import os
import subprocess
import unittest

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

    def test_another_ring_is_another_ring(self):
        self.php("ketama-weighted", "set", KEYS)
        self.assertEqual(self.cli("libmemcached-modula", "get", *KEYS).returncode, 1)


if __name__ == "__main__":
    checks.main()
