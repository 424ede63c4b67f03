"""memcached-tool, the Perl script that memcached's packages bring: every mode, and its output parses."""

import os
import re

import checks
import servers

TOOL = next((path for path in ("/usr/share/memcached/scripts/memcached-tool", "/usr/bin/memcached-tool")
             if os.path.exists(path)), None) or checks.need_program("memcached-tool")
PERL = checks.need_program("perl")


class Tool(checks.ServerCase):
    options = ["-o", "track_sizes"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.values = {}
        with cls.server.connect() as client:
            for number in range(200):
                size = number * number % 3000
                cls.values[f"key{number}"] = size
                client.ask(b"set key%d %d %d %d\r\n%s\r\n" % (
                    number, number % 7, 0 if number % 2 else 1000, size, b"v" * size))

    def tool(self, *arguments):
        done = checks.run([PERL, TOOL, self.target(), *arguments])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def target(self):
        return self.address

    def table(self, *arguments):
        lines = self.tool(*arguments).splitlines()
        self.assertIn(self.target(), lines[0])
        pairs = [line.split() for line in lines[1:]]
        for pair in pairs:
            self.assertEqual(len(pair), 2, pair)
        return dict(pairs)

    def test_stats(self):
        stats = self.table("stats")
        self.assertEqual(stats["curr_items"], "200")
        self.assertEqual(stats["pid"], str(self.server.pid))

    def test_settings(self):
        settings = self.table("settings")
        self.assertEqual(settings["maxbytes"], "67108864")
        self.assertEqual(settings["track_sizes"], "yes")

    def test_sizes(self):
        sizes = self.table("sizes")
        self.assertEqual(sum(int(count) for count in sizes.values()), 200)
        self.assertEqual([size for size in sizes if int(size) % 32], [])

    def test_display(self):
        lines = self.tool("display").splitlines()
        self.assertEqual(lines[0].split(), ["#", "Item_Size", "Max_age", "Pages", "Count", "Full?", "Evicted",
                                            "Evict_Time", "OOM"])
        count = 0
        for line in lines[1:]:
            row = re.match(r"^ *(\d+) +([\d.]+)([BK]) +(\d+)s +(\d+) +(\d+) +(yes|no) +(\d+) +(\d+) +(\d+)$", line)
            self.assertIsNotNone(row, line)
            self.assertGreater(int(row[5]), 0, "pages")
            count += int(row[6])
        self.assertEqual(count, 200)

    def test_dump_can_be_loaded_again(self):
        """dump prints `add` commands: they are fed to a second server, which must hold the same afterwards."""
        dump = self.tool("dump").encode()
        with servers.Server(servers.find_candidate()) as other, other.connect() as target, \
                self.server.connect() as source:
            target.send(dump)
            for _ in self.values:
                self.assertEqual(target.read_line(), b"STORED\r\n")
            for name in self.values:
                request = b"get %s\r\n" % name.encode()
                self.assertEqual(target.ask(request, b"END\r\n"), source.ask(request, b"END\r\n"))
            self.assertEqual(target.ask(b"mg key1 t\r\n"), b"HD t-1\r\n")
            self.assertRegex(target.ask(b"mg key2 t\r\n"), rb"^HD t(99\d|1000)\r\n$")

    def test_keys(self):
        lines = self.tool("keys").splitlines()
        found = {}
        for line in lines:
            row = re.match(r"^key=(\S+) exp=(-?\d+) la=\d+ cas=\d+ fetch=(yes|no) cls=\d+ size=(\d+)( flags=\d+)? ?$", line)
            self.assertIsNotNone(row, line)
            found[row[1]] = int(row[2])
        self.assertEqual(set(found), set(self.values))
        self.assertEqual({exp == -1 for name, exp in found.items() if int(name[3:]) % 2}, {True})
        self.assertEqual({exp > 1000 for name, exp in found.items() if not int(name[3:]) % 2}, {True})
        limited = self.tool("keys", "10").splitlines()
        self.assertLessEqual(len(limited), 10)
        self.assertGreaterEqual(len(limited), 8)


class ToolOverUnix(Tool):
    server_arguments = {"unix": True}

    def target(self):
        return self.server.path


if __name__ == "__main__":
    checks.main()
