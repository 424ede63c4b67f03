"""The older PHP extension "memcache" (text): see php_memcache.php. Its binary mode works with no server any more."""

import os
import unittest

import checks
import servers

PHP = checks.need_program("php")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "php_memcache.php")

if "memcache" not in checks.run([PHP, "-m"]).stdout.split():
    checks.skip_all("PHP's memcache extension is not installed")


class Memcache(unittest.TestCase):
    def run_client(self, protocol, count):
        running = [self.enterContext(servers.Server(servers.find_candidate())) for _ in range(count)]
        done = checks.run([PHP, "-d", f"memcache.protocol={protocol}", "-d", "memcache.hash_strategy=consistent",
                           "-d", "display_errors=stderr", SCRIPT,
                           *(f"127.0.0.1:{server.port}" for server in running)])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_text(self):
        self.run_client("ascii", 1)

    def test_text_three_servers(self):
        self.run_client("ascii", 3)


if __name__ == "__main__":
    checks.main()
