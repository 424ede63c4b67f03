"""pymemcache: every command of Client, PooledClient and HashClient, with and without noreply."""

import unittest

import checks
import servers

checks.need_module("pymemcache")
from pymemcache.client.base import Client, PooledClient  # noqa: E402
from pymemcache.client.hash import HashClient  # noqa: E402
from pymemcache.exceptions import MemcacheClientError, MemcacheError, MemcacheServerError  # noqa: E402


class Commands:
    """Each command; `noreply` is the client's default for those that store."""

    noreply = False

    def setUp(self):
        self.flush()
        self.mc = self.open()
        self.addCleanup(self.mc.close)

    def open(self):
        return Client(("127.0.0.1", self.server.port), default_noreply=self.noreply, timeout=20, connect_timeout=20)

    def test_set_and_get(self):
        for value in (b"", b"value", b"\r\nEND\r\n", bytes(range(256)) * 100):
            with self.subTest(value[:20]):
                self.assertTrue(self.mc.set("key", value))
                self.assertEqual(self.mc.get("key"), value)
        self.assertIsNone(self.mc.get("missing"))
        self.assertEqual(self.mc.get("missing", default=b"default"), b"default")

    def test_item_access(self):
        self.mc["key"] = b"value"
        self.assertEqual(self.mc["key"], b"value")
        del self.mc["key"]
        with self.assertRaises(KeyError):
            self.mc["key"]

    def test_add_replace(self):
        self.assertEqual(self.mc.replace("key", b"x"), self.noreply)
        self.assertTrue(self.mc.add("key", b"first"))
        self.assertEqual(self.mc.add("key", b"second"), self.noreply)
        self.assertEqual(self.mc.get("key"), b"first")
        self.assertTrue(self.mc.replace("key", b"third"))
        self.assertEqual(self.mc.get("key"), b"third")

    def test_append_prepend(self):
        self.assertEqual(self.mc.append("key", b"x"), self.noreply)
        self.mc.set("key", b"middle")
        self.assertTrue(self.mc.append("key", b">"))
        self.assertTrue(self.mc.prepend("key", b"<"))
        self.assertEqual(self.mc.get("key"), b"<middle>")

    def test_cas(self):
        self.mc.set("key", b"one")
        value, cas = self.mc.gets("key")
        self.assertEqual(value, b"one")
        self.assertTrue(self.mc.cas("key", b"two", cas))
        self.assertIs(self.mc.cas("key", b"three", cas), False)
        self.assertIsNone(self.mc.cas("missing", b"x", cas))
        self.assertTrue(self.mc.cas("key", b"four", cas, noreply=True))
        self.assertEqual(self.mc.get("key"), b"two")

    def test_many(self):
        pairs = {f"key{number}": b"v" * number for number in range(500)}
        self.assertEqual(self.mc.set_many(pairs), [])
        self.assertEqual(self.mc.get_many(list(pairs) + ["missing"]), pairs)
        found = self.mc.gets_many(list(pairs))
        self.assertEqual({key: value for key, (value, _) in found.items()}, pairs)
        self.assertEqual(len({cas for _, cas in found.values()}), len(pairs))
        self.assertTrue(self.mc.delete_many(list(pairs)))
        self.assertEqual(self.mc.get_many(list(pairs)), {})
        self.assertEqual(self.mc.set_multi({"a": b"1"}), [])
        self.assertEqual(self.mc.get_multi(["a"]), {"a": b"1"})
        self.assertTrue(self.mc.delete_multi(["a"]))

    def test_delete(self):
        self.mc.set("key", b"value")
        self.assertTrue(self.mc.delete("key"))
        self.assertEqual(self.mc.delete("key"), self.noreply)
        self.assertIsNone(self.mc.get("key"))

    def test_incr_decr(self):
        self.mc.set("n", b"10")
        self.assertEqual(self.mc.incr("n", 5), 15)
        self.assertEqual(self.mc.decr("n", 6), 9)
        self.assertEqual(self.mc.get("n"), b"9 ")
        self.assertIsNone(self.mc.incr("missing", 1))
        self.assertIsNone(self.mc.decr("missing", 1))
        self.assertIsNone(self.mc.incr("n", 1, noreply=True))
        self.assertIsNone(self.mc.decr("n", 2, noreply=True))
        self.assertEqual(self.mc.get("n"), b"8 ")

    def test_incr_of_a_word(self):
        self.mc.set("word", b"abc")
        with self.assertRaises(MemcacheClientError):
            self.mc.incr("word", 1)
        self.assertEqual(self.mc.get("word"), b"abc")

    def test_touch(self):
        self.mc.set("key", b"value")
        self.assertTrue(self.mc.touch("key", 1000))
        self.assertEqual(self.mc.touch("missing", 1000), self.noreply)
        self.assertIsNotNone(self.mc.get("key"))  # after which the quiet touch is done
        self.assertRegex(self.client().ask(b"mg key t\r\n"), rb"^HD t(999|1000)\r\n$")

    def test_flags(self):
        self.mc.set("key", b"value", flags=0xFFFFFFFF)
        self.assertEqual(self.mc.get("key"), b"value")
        self.assertEqual(self.client().ask(b"get key\r\n", b"END\r\n"),
                         b"VALUE key 4294967295 5\r\nvalue\r\nEND\r\n")

    def test_expiry(self):
        self.mc.set("key", b"value", expire=-1)
        self.assertIsNone(self.mc.get("key"))
        self.mc.set("key", b"value", expire=1000)
        self.assertEqual(self.mc.get("key"), b"value")

    def test_flush_all(self):
        self.mc.set("key", b"value")
        self.assertTrue(self.mc.flush_all(delay=1000))
        self.assertEqual(self.mc.get("key"), b"value")
        self.assertTrue(self.mc.flush_all())
        self.assertIsNone(self.mc.get("key"))

    def test_version(self):
        self.assertRegex(self.mc.version(), rb"^\d+\.\d+\.\d+$")

    def test_stats(self):
        stats = self.mc.stats()
        self.assertEqual(stats[b"pid"], self.server.pid)
        self.assertIsInstance(stats[b"rusage_user"], float)
        for kind in ("settings", "items", "slabs", "conns"):
            with self.subTest(kind):
                self.mc.set("key", b"value")
                self.mc.get("key")
                self.assertGreater(len(self.mc.stats(kind)), 3)

    def test_large_values(self):
        value = b"0123456789" * 100000
        self.assertTrue(self.mc.set("large", value))
        self.assertEqual(self.mc.get("large"), value)

    def test_too_large_value(self):
        if self.noreply:
            self.assertTrue(self.mc.set("large", b"x" * (2 << 20)))
        else:
            with self.assertRaises(MemcacheServerError):
                self.mc.set("large", b"x" * (2 << 20))
        self.assertIsNone(self.mc.get("large"))

    def test_quit(self):
        self.mc.set("key", b"value")
        self.mc.quit()
        # It connects again; without replies the set may still be on its way over the old connection, to another thread.
        checks.until(lambda: self.mc.get("key") == b"value", "the value can be read")


class WithReplies(Commands, checks.ServerCase):
    def test_cache_memlimit(self):
        self.assertTrue(self.mc.cache_memlimit(128))
        self.assertEqual(self.mc.stats()[b"limit_maxbytes"], 128 << 20)
        self.assertTrue(self.mc.cache_memlimit(64))


class WithNoReply(Commands, checks.ServerCase):
    noreply = True


class Pooled(Commands, checks.ServerCase):
    def open(self):
        return PooledClient(("127.0.0.1", self.server.port), max_pool_size=4, default_noreply=False, timeout=20)


class UnixSocket(Commands, checks.ServerCase):
    server_arguments = {"unix": True}

    def open(self):
        return Client(self.server.path, default_noreply=False, timeout=20)


class Shutdown(unittest.TestCase):
    def test_shutdown(self):
        for graceful in (False, True):
            with self.subTest(graceful=graceful):
                server = servers.Server(servers.find_candidate(), ["-A"])
                server.start()
                self.addCleanup(server.stop)
                Client(("127.0.0.1", server.port)).shutdown(graceful=graceful)
                self.assertEqual(server.process.wait(checks.DEADLINE), 0)

    def test_shutdown_is_not_allowed_by_default(self):
        with servers.Server(servers.find_candidate()) as server:
            client = Client(("127.0.0.1", server.port), timeout=20)
            self.addCleanup(client.close)
            with self.assertRaises(MemcacheError):
                client.shutdown()
            self.assertEqual(client.version().count(b"."), 2)


class Hash(unittest.TestCase):
    """HashClient over three servers."""

    @classmethod
    def setUpClass(cls):
        cls.servers = [servers.Server(servers.find_candidate()) for _ in range(3)]
        for server in cls.servers:
            server.start()
            cls.addClassCleanup(server.stop)

    def setUp(self):
        for server in self.servers:
            with server.connect() as client:
                client.ask(b"flush_all\r\n")

    def client(self, **options):
        client = HashClient([("127.0.0.1", server.port) for server in self.servers], timeout=20, connect_timeout=20,
                            **options)
        self.addCleanup(client.close)
        return client

    def test_commands_reach_the_right_server(self):
        for pooling in (False, True):
            for noreply in (False, True):
                with self.subTest(pooling=pooling, noreply=noreply):
                    self.commands(self.client(use_pooling=pooling, default_noreply=noreply))

    def commands(self, mc):
        pairs = {f"key{number}": str(number).encode() for number in range(300)}
        self.assertEqual(mc.set_many(pairs), [])
        self.assertEqual(mc.get_many(list(pairs)), pairs)
        self.assertEqual(set(mc.gets_many(list(pairs))), set(pairs))
        for server in self.servers:
            with server.connect() as client:
                self.assertGreater(int(client.stats()["curr_items"]), 30)
        self.assertEqual(mc.get("key7"), b"7")
        self.assertEqual(mc.incr("key7", 5), 12)
        self.assertEqual(mc.decr("key7", 1), 11)
        self.assertTrue(mc.append("key7", b"0"))
        self.assertTrue(mc.prepend("key7", b"1"))
        self.assertEqual(mc.get("key7"), b"1110")
        self.assertTrue(mc.touch("key7", 100))
        value, cas = mc.gets("key7")
        self.assertTrue(mc.cas("key7", b"new", cas))
        self.assertFalse(mc.cas("key7", b"newer", cas))
        self.assertEqual((value, mc.get("key7")), (b"1110", b"new"))
        self.assertTrue(mc.delete_many(list(pairs)))
        self.assertEqual(mc.get_many(list(pairs)), {})
        self.assertTrue(mc.add("key7", b"again"))
        self.assertTrue(mc.replace("key7", b"more"))
        self.assertTrue(mc.delete("key7"))
        mc.set("key7", b"x")
        mc.flush_all()
        self.assertIsNone(mc.get("key7"))

    def test_a_dead_server_is_passed_by(self):
        extra = servers.Server(servers.find_candidate())
        extra.start()
        mc = HashClient([("127.0.0.1", server.port) for server in self.servers + [extra]], timeout=20,
                        retry_attempts=0, dead_timeout=60, ignore_exc=True, default_noreply=False)
        extra.stop()
        for _ in range(2):
            for number in range(100):
                mc.set(f"key{number}", b"value")
        found = mc.get_many([f"key{number}" for number in range(100)])
        self.assertEqual(len(found), 100)
        mc.close()


if __name__ == "__main__":
    checks.main()
