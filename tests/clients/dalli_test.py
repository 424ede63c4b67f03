"""Dalli (Ruby): see dalli.rb. The binary protocol, and the meta protocol from Dalli 3.2 on."""

import os
import unittest

import checks
import servers

RUBY = checks.need_program("ruby")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dalli.rb")
VERSION = checks.run([RUBY, "-e", "require 'dalli'; print Dalli::VERSION"])

if VERSION.returncode != 0:
    checks.skip_all("Ruby's dalli is not installed")


class Dalli(unittest.TestCase):
    def run_client(self, *addresses):
        for protocol in ("binary", "meta"):
            if protocol == "meta" and [int(part) for part in VERSION.stdout.split(".")[:2]] < [3, 2]:
                continue
            if protocol == "binary" and VERSION.stdout.startswith("5."):
                continue  # which has the meta protocol only
            with self.subTest(protocol):
                done = checks.run([RUBY, "-W0", SCRIPT, protocol, *addresses])
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

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
