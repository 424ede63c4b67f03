"""The command line tools of libmemcached, text and binary, against the server under test."""

import os
import re
import tempfile

import checks

TOOLS = {name: checks.need_program(name) for name in
         ("memccp", "memccat", "memcrm", "memcexist", "memctouch", "memcstat", "memcflush", "memcping", "memcslap",
          "memcdump")}


class Tools(checks.ServerCase):
    modes = {"text": [], "binary": ["--binary"], "buffered": ["--buffer"], "non-blocking": ["--non-blocking"]}

    def setUp(self):
        self.flush()
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-test-")
        self.addCleanup(self.folder.cleanup)

    def tool(self, name, *arguments):
        return checks.run([TOOLS[name], f"--servers={self.address}", *arguments], cwd=self.folder.name)

    def good(self, name, *arguments):
        done = self.tool(name, *arguments)
        self.assertEqual(done.returncode, 0, f"{name} {arguments}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def bad(self, name, *arguments):
        done = self.tool(name, *arguments)
        self.assertNotEqual(done.returncode, 0, f"{name} {arguments}: {done.stdout}")
        return done.stdout + done.stderr

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def ask(self, request, mark=b"END\r\n"):
        return self.client().ask(request, mark)

    def each_mode(self):
        for mode, options in self.modes.items():
            with self.subTest(mode):
                self.flush()
                yield options

    def test_copy_and_cat(self):
        large = "0123456789abcdef" * 60000
        for mode in self.each_mode():
            self.good("memccp", *mode, "--flags=7", "--expire=1000", self.write("page", "some text"),
                      self.write("large", large))
            self.assertEqual(self.ask(b"get page\r\n"), b"VALUE page 7 9\r\nsome text\r\nEND\r\n")
            self.assertEqual(self.good("memccat", *mode, "page"), "some text\n")
            self.assertEqual(self.good("memccat", *mode, "large"), large + "\n")
            self.assertIn("some text", self.good("memccat", *mode, "--flags", "page"))
            self.bad("memccat", *mode, "missing")

    def test_copy_with_add_and_replace(self):
        page = self.write("page", "first")
        other = self.write("other", "x")
        for mode in ([], ["--binary"]):
            with self.subTest(mode=mode):
                self.flush()
                self.bad("memccp", *mode, "--replace", page)
                self.good("memccp", *mode, "--add", page)
                self.bad("memccp", *mode, "--add", page)
                self.write("page", "second")
                self.good("memccp", *mode, "--replace", page)
                self.assertEqual(self.good("memccat", *mode, "page"), "second\n")
                self.good("memccp", *mode, "--set", other)

    def test_exist_touch_remove(self):
        for mode in self.each_mode():
            self.good("memccp", *mode, self.write("page", "text"))
            self.good("memcexist", *mode, "page")
            self.bad("memcexist", *mode, "missing")
            self.good("memctouch", *mode, "--expire=1000", "page")
            self.bad("memctouch", *mode, "--expire=1000", "missing")
            self.good("memcrm", *mode, "page")
            self.assertEqual(self.ask(b"get page\r\n"), b"END\r\n")

    def test_touch_sets_the_expiry(self):
        for mode in ([], ["--binary"]):
            with self.subTest(mode=mode):
                self.good("memccp", *mode, self.write("page", "text"))
                self.good("memctouch", *mode, "--expire=1000", "page")
                reply = self.ask(b"mg page t\r\n", b"\r\n")
                self.assertRegex(reply, rb"^HD t(999|1000)\r\n$")

    def test_exist_leaves_nothing_behind(self):
        self.bad("memcexist", "missing")
        self.assertEqual(self.ask(b"get missing\r\n"), b"END\r\n")

    def test_flush(self):
        for mode in self.each_mode():
            self.good("memccp", *mode, self.write("page", "text"))
            self.good("memcflush", *mode)
            self.assertEqual(self.ask(b"get page\r\n"), b"END\r\n")
            self.good("memcflush", *mode, "--expire=1000")

    def test_ping(self):
        self.good("memcping")
        nobody = checks.run([TOOLS["memcping"], "--servers=127.0.0.1:1"])
        self.assertNotEqual(nobody.returncode, 0)

    def test_dump_lists_every_key(self):
        names = {f"page{number:03}" for number in range(200)}
        client = self.client()
        for name in sorted(names):
            self.assertEqual(client.ask(f"set {name} 0 0 4\r\ntext\r\n".encode()), b"STORED\r\n")
        # cachedump shows only the coldest of memcached's LRUs, which its maintainer fills by and by.
        checks.until(lambda: set(self.good("memcdump").split()) >= names, "memcdump lists all keys")

    def test_stat(self):
        for mode in self.each_mode():
            general = self.good("memcstat", *mode)
            found = dict(re.findall(r"^\s+(\w+): (\S+)$", general, re.MULTILINE))
            for name in ("pid", "uptime", "curr_items", "cmd_get", "limit_maxbytes", "threads", "evictions"):
                self.assertRegex(found.get(name, f"no {name}"), r"^\d+$")
            self.assertEqual(found["pid"], str(self.server.pid))
            self.assertIn("maxbytes", self.good("memcstat", *mode, "settings"))
            self.good("memccp", *mode, self.write("page", "text"))
            self.assertIn("chunk_size", self.good("memcstat", *mode, "slabs"))
            self.assertIn("number", self.good("memcstat", *mode, "items"))

    def test_stat_analyses_and_says_the_version(self):
        self.assertRegex(self.good("memcstat", "--server-version"), r"\d+\.\d+\.\d+")
        self.assertIn("Number of Servers Analyzed", self.good("memcstat", "--analyze"))
        self.assertIn("Latency", self.good("memcstat", "--analyze=latency", "--iterations=100"))

    def test_slap(self):
        # Not --buffer: memcslap 1.1 stops at an assertion of its own then, with any server.
        for mode in ([], ["--binary"], ["--noreply"], ["--non-blocking", "--tcp-nodelay"]):
            for kind in ("get", "mget", "set"):
                with self.subTest(kind, mode=mode):
                    output = self.good("memcslap", *mode, f"--test={kind}", "--concurrency=4",
                                       "--execute-number=500", "--initial-load=500", "--flush")
                    self.assertIn("Time to", output)


if __name__ == "__main__":
    checks.main()
