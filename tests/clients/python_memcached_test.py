"""python-memcached (module memcache), which Django used for years."""

import unittest

import checks
import servers

memcache = checks.need_module("memcache")


class Commands:
    def setUp(self):
        self.flush()
        self.mc = self.open()
        self.addCleanup(self.mc.disconnect_all)

    def open(self, **options):
        return memcache.Client([self.address], socket_timeout=20, **options)

    def test_values_of_every_type(self):
        for value in (b"bytes", "text \u20ac", 5, -7, {"a": [1, 2, (3, None)]}, "", b"", 1 << 70, b"x" * 500000):
            with self.subTest(str(value)[:20]):
                self.assertTrue(self.mc.set("key", value))
                self.assertEqual(self.mc.get("key"), value)

    def test_add_replace_append_prepend(self):
        self.assertFalse(self.mc.replace("key", "x"))
        self.assertFalse(self.mc.append("key", "x"))
        self.assertTrue(self.mc.add("key", "middle"))
        self.assertFalse(self.mc.add("key", "x"))
        self.assertTrue(self.mc.append("key", ">"))
        self.assertTrue(self.mc.prepend("key", "<"))
        self.assertEqual(self.mc.get("key"), "<middle>")
        self.assertTrue(self.mc.replace("key", "new"))
        self.assertEqual(self.mc.get("key"), "new")

    def test_delete_and_touch(self):
        self.mc.set("key", "value")
        self.assertTrue(self.mc.touch("key", 1000))
        self.assertRegex(self.client().ask(b"mg key t\r\n"), rb"^HD t(999|1000)\r\n$")
        self.assertEqual(self.mc.delete("key"), 1)
        self.assertIsNone(self.mc.get("key"))
        self.assertEqual(self.mc.delete("key"), 1)  # it takes NOT_FOUND for success
        self.assertFalse(self.mc.touch("key", 1000))

    def test_incr_decr(self):
        self.mc.set("n", 10)
        self.assertEqual(self.mc.incr("n"), 11)
        self.assertEqual(self.mc.incr("n", 89), 100)
        self.assertEqual(self.mc.decr("n", 1), 99)
        self.assertEqual(self.mc.get("n"), 99)
        self.assertEqual(self.mc.decr("n", 1000), 0)
        self.assertIsNone(self.mc.incr("missing"))

    def test_cas(self):
        mc = self.open(cache_cas=True)
        mc.set("key", "one")
        self.assertEqual(mc.gets("key"), "one")
        self.mc.set("key", "between")
        self.assertFalse(mc.cas("key", "two"))
        self.assertEqual(mc.gets("key"), "between")
        self.assertTrue(mc.cas("key", "two"))
        self.assertEqual(mc.get("key"), "two")
        mc.disconnect_all()

    def test_multi(self):
        pairs = {f"key{number}": "v" * number for number in range(500)}
        self.assertEqual(self.mc.set_multi(pairs, time=100), [])
        self.assertEqual(self.mc.get_multi(list(pairs) + ["missing"]), pairs)
        self.assertEqual(self.mc.delete_multi(list(pairs)), 1)
        self.assertEqual(self.mc.get_multi(list(pairs)), {})

    def test_noreply(self):
        self.mc.set("key", "one", noreply=True)
        self.assertEqual(self.mc.get("key"), "one")
        self.mc.append("key", "!", noreply=True)
        self.assertEqual(self.mc.get("key"), "one!")
        self.mc.delete("key", noreply=True)
        self.assertIsNone(self.mc.get("key"))
        self.assertEqual(self.mc.set_multi({"a": "1", "b": "2"}, noreply=True), [])
        self.assertEqual(self.mc.get_multi(["a", "b"]), {"a": "1", "b": "2"})
        self.mc.incr("a", noreply=True)
        self.mc.touch("a", 100, noreply=True)
        self.assertEqual(self.mc.get("a"), "2")

    def test_flush_all(self):
        self.mc.set("key", "value")
        self.mc.flush_all()
        self.assertIsNone(self.mc.get("key"))

    def test_stats(self):
        (_, stats), = self.mc.get_stats()
        self.assertEqual(stats["pid"], str(self.server.pid))
        (_, settings), = self.mc.get_stats("settings")
        self.assertEqual(settings["maxbytes"], stats["limit_maxbytes"])
        self.mc.set("key", "value")


class Tcp(Commands, checks.ServerCase):
    pass


class Unix(Commands, checks.ServerCase):
    server_arguments = {"unix": True}

    @property
    def address(self):
        return f"unix:{self.server.path}"


class Three(unittest.TestCase):
    def test_keys_spread_over_three_servers(self):
        running = [self.enterContext(servers.Server(servers.find_candidate())) for _ in range(3)]
        mc = memcache.Client([f"127.0.0.1:{server.port}" for server in running], socket_timeout=20)
        pairs = {f"key{number}": number for number in range(600)}
        self.assertEqual(mc.set_multi(pairs), [])
        self.assertEqual(mc.get_multi(list(pairs)), pairs)
        for server in running:
            with server.connect() as client:
                self.assertGreater(int(client.stats()["curr_items"]), 100)
        mc.disconnect_all()


if __name__ == "__main__":
    checks.main()
