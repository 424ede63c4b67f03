"""cairnd-from-conf turns Debian's /etc/memcached.conf into cairnd's arguments."""

import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = sys.argv.pop(1)


class ConfTest(unittest.TestCase):
    def arguments(self, conf, *more):
        """What cairnd would be given: printf stands for it, and prints one argument a line."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "memcached.conf")
            if conf is not None:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(conf)
            fake = os.path.join(folder, "cairnd")
            with open(fake, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\nprintf "%s\\n" "$@"\n')
            os.chmod(fake, 0o755)
            printed = subprocess.run(
                ["/bin/sh", SCRIPT, path, *more], env={**os.environ, "CAIRND": fake},
                check=True, capture_output=True, text=True).stdout
            return printed.splitlines()

    def test_options_are_taken_and_the_rest_is_not(self):
        conf = """# memcached default config file
# Run memcached as a daemon. This command is implied
-d

logfile /var/log/memcached.log

# -v
-m 64
-p 11211
  -u memcache
-l 127.0.0.1,::1   # both
# -M
-P /var/run/memcached/memcached.pid
"""
        self.assertEqual(
            self.arguments(conf),
            ["-m", "64", "-p", "11211", "-u", "memcache", "-l", "127.0.0.1,::1",
             "-P", "/var/run/memcached/memcached.pid"])

    def test_quotes_keep_their_meaning(self):
        self.assertEqual(self.arguments("-u memcache\n-s '/run/a b.sock'\n"),
                         ["-u", "memcache", "-s", "/run/a b.sock"])

    def test_more_options_follow(self):
        self.assertEqual(self.arguments("-u memcache\n", "-o", "modern, x"),
                         ["-u", "memcache", "-o", "modern, x"])

    def test_root_is_not_the_default_user(self):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.assertEqual(self.arguments("-m 5\n"), user + ["-m", "5"])

    def test_without_a_file_the_defaults_of_debian(self):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.assertEqual(self.arguments(None),
                         user + ["-m", "64", "-p", "11211", "-l", "127.0.0.1"])


if __name__ == "__main__":
    unittest.main()
