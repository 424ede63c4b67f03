"""Cache::Memcached::Fast (Perl): see cache_memcached_fast.pl. One server over TCP, one over UNIX, three."""

import os
import unittest

import checks
import servers

PERL = checks.need_program("perl")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cache_memcached_fast.pl")

if checks.run([PERL, "-MCache::Memcached::Fast", "-MTest::More", "-e", "1"]).returncode != 0:
    checks.skip_all("Perl's Cache::Memcached::Fast is not installed")


class Perl(unittest.TestCase):
    def run_client(self, *addresses):
        done = checks.run([PERL, SCRIPT, *addresses])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("not ok", done.stdout)

    def server(self, **arguments):
        return self.enterContext(servers.Server(servers.find_candidate(), **arguments))

    def test_tcp(self):
        self.run_client(f"127.0.0.1:{self.server().port}")

    def test_unix(self):
        self.run_client(self.server(unix=True).path)

    def test_three_servers(self):
        self.run_client(*(f"127.0.0.1:{self.server().port}" for _ in range(3)))


if __name__ == "__main__":
    checks.main()
