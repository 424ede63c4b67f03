#!/usr/bin/python3
"""watch and the dumps over sockets: lines that a script can read, and slow readers that cost the server nothing.

memcached 1.6.45 passes what is not marked `cairnd_only`.
"""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks
import servers

LINE = re.compile(rb"ts=\d+\.\d+ gid=\d+ (type=.*)\n")
MIB = 1 << 20
GROWTH = (256 if os.environ.get("CAIRN_SANITIZE") else 8) * MIB


def next_event(watcher, kind, port=None):
    """The next line of this type (and of the client with this port: others may still be leaving, such as who waited for the
    server to start), without time and number."""
    wanted = b"" if port is None else b" rport=%d " % port
    while True:
        line = watcher.read_line()
        match = LINE.fullmatch(line)
        if not match:
            raise AssertionError(f"not an event: {line!r}")
        if match.group(1).startswith(b"type=" + kind + b" ") and wanted in match.group(1):
            return match.group(1).decode()


class Watch(checks.ServerCase):
    options = ["-m", "8", "-I", "1m"]

    def watch(self, kinds):
        client = self.client()
        self.assertEqual(client.ask(b"watch " + kinds + b"\r\n"), b"OK\r\n")
        return client

    def test_requests_are_logged(self):
        watcher = self.watch(b"fetchers mutations deletions")
        client = self.client()
        client.ask(b"set a%b 0 50 3\r\nxyz\r\n")
        self.assertRegex(next_event(watcher, b"item_store"),
                         r"^type=item_store key=a%25b status=stored cmd=set ttl=50 clsid=\d+ cfd=\d+ size=3$")
        client.ask(b"get a%b\r\n", b"END\r\n")
        self.assertRegex(next_event(watcher, b"item_get"),
                         r"^type=item_get key=a%25b status=found clsid=\d+ cfd=\d+ size=3$")
        client.ask(b"get nope\r\n")
        self.assertRegex(next_event(watcher, b"item_get"),
                         r"^type=item_get key=nope status=not_found clsid=0 cfd=\d+ size=0$")
        client.ask(b"delete a%b\r\n")
        self.assertRegex(next_event(watcher, b"deleted"), r"^type=deleted key=a%25b cmd=delete clsid=\d+ size=3$")

    def test_what_meta_arithmetic_creates_is_logged(self):
        watcher = self.watch(b"mutations")
        client = self.client()
        client.ask(b"ma created\r\n")  # does not
        client.ask(b"ma created N90 J500\r\n")
        client.ask(b"ma created\r\n")  # not again
        client.send(b"ma Y3JlIHRlZA== N0 q b\r\n")
        client.ask(b"mn\r\n")
        for key, size in ((b"created", 3), (b"cre%20ted", 1)):
            # The TTL is given to the item after it was logged.
            self.assertRegex(next_event(watcher, b"item_store"),
                             rf"^type=item_store key={key.decode()} status=stored cmd=add ttl=0 clsid=\d+ cfd=\d+ size={size}$")

    def test_connections_are_logged(self):
        watcher = self.watch(b"connevents")
        client = self.server.connect()
        port = client.sock.getsockname()[1]
        self.assertRegex(next_event(watcher, b"conn_new", port),
                         rf"^type=conn_new rip=127.0.0.1 rport={port} transport=tcp cfd=\d+$")
        client.close()
        self.assertRegex(next_event(watcher, b"conn_close", port),
                         rf"^type=conn_close rip=127.0.0.1 rport={port} transport=tcp reason=normal cfd=\d+$")

    def test_evictions_are_logged(self):
        watcher = self.watch(b"evictions")
        client = self.client()
        value = b"v" * 1000
        for start in range(0, 20000, 1000):
            client.send(b"".join(b"set e:%d 0 0 1000 noreply\r\n%s\r\n" % (i, value)
                                 for i in range(start, start + 1000)))
            client.ask(b"mn\r\n")
        self.assertRegex(next_event(watcher, b"eviction"),
                         r"^type=eviction key=e%3A\d+ fetch=no ttl=-1 la=\d+ clsid=\d+ size=1000$")

    def test_a_watcher_only_receives(self):
        watcher = self.watch(b"mutations")
        watcher.send(b"version\r\nget a\r\n")
        client = self.client()
        client.ask(b"set k 0 0 1\r\nx\r\n")
        self.assertIn("key=k ", next_event(watcher, b"item_store"))

    def test_watchers_are_limited_and_leave(self):
        watchers = [self.watch(b"fetchers") for _ in range(20)]
        client = self.client()
        self.assertEqual(client.ask(b"watch\r\n"), b"WATCHER_TOO_MANY log watcher limit reached\r\n")
        for watcher in watchers:
            watcher.close()
        checks.until(lambda: self.stats()["log_watchers"] == "0", "watchers are gone")
        self.watch(b"fetchers").close()

    def test_who_does_not_read_loses_lines_and_is_told(self):
        slow = self.watch(b"fetchers")
        client = self.client()
        before = self.server.rss()
        batches, batch = 100, 2000
        for _ in range(batches):
            client.send(b"mg some:key:that:is:not:there\r\n" * batch + b"mn\r\n")
            client.read_until(b"MN\r\n")
        self.assertLess(self.server.rss(), before + GROWTH)
        seen = skipped = 0
        while not skipped:
            line = slow.read_line()
            match = re.fullmatch(rb"skipped=(\d+)\n", line)
            if match:
                skipped = int(match.group(1))
            else:
                self.assertRegex(line, LINE)
                seen += 1
        self.assertLessEqual(seen + skipped, batches * batch)
        client.ask(b"get last\r\n")
        line = b""
        while b" key=last " not in line:
            line = slow.read_line()


class Dumps(checks.ServerCase):
    options = ["-m", "64"]
    items = 100000

    def setUp(self):
        super().setUp()
        writer = self.client()
        for start in range(0, self.items, 1000):
            writer.send(b"".join(b"set item:%d 0 0 2 noreply\r\nvv\r\n" % i for i in range(start, start + 1000)))
            writer.ask(b"mn\r\n")

    def test_a_dump_that_nobody_reads_hinders_nobody(self):
        slow = self.client()
        slow.send(b"lru_crawler metadump all\r\n")
        self.assertEqual(slow.read_line(), b"OK\r\n")
        before = self.server.rss()
        other = self.client()
        for i in range(1000):
            self.assertEqual(other.ask(b"set new:%d 0 0 1\r\nx\r\n" % i), b"STORED\r\n")
        self.assertLess(self.server.rss(), before + GROWTH)
        keys = set()
        while True:
            line = slow.read_line()
            if line == b"END\r\n":
                break
            self.assertRegex(line, rb"^key=\S+ exp=-1 la=\d+ cas=\d+ fetch=no cls=\d+ size=\d+ flags=0 \n$")
            keys.add(line.split(b" ")[0])
        self.assertEqual(len([key for key in keys if key.startswith(b"key=item%3A")]), self.items)
        self.assertEqual(slow.ask(b"mn\r\n"), b"MN\r\n")

    @checks.cairnd_only("memcached allows one dump at a time")
    def test_dumps_run_side_by_side(self):
        first, second = self.client(), self.client()
        for client in (first, second):
            client.send(b"lru_crawler mgdump all\r\n")
        for client in (first, second):
            self.assertEqual(client.read_line(), b"OK\r\n")
            self.assertEqual(client.read_until(b"EN\r\n").count(b"mg item:"), self.items)

    def test_who_leaves_in_the_middle_leaves_nothing(self):
        connections = int(self.stats()["curr_connections"])
        for _ in range(5):
            gone = self.server.connect()
            gone.send(b"lru_crawler metadump all\r\n")
            gone.read_line()
            gone.close()
            # memcached finishes with one client before it takes the next.
            checks.until(lambda: self.stats()["lru_crawler_running"] == "0", "the dump is over")
        checks.until(lambda: int(self.stats()["curr_connections"]) <= connections, "they are gone")


if __name__ == "__main__":
    checks.main()
