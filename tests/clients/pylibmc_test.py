"""pylibmc (Python on libmemcached): its behaviours, text and binary."""

import threading
import unittest

import checks
import servers

pylibmc = checks.need_module("pylibmc")


class Commands:
    """Every operation of the client; subclasses say how it speaks."""

    binary = False
    behaviors = {}

    def open(self):
        client = pylibmc.Client([self.address], binary=self.binary, behaviors=self.behaviors)
        self.addCleanup(client.disconnect_all)
        return client

    def setUp(self):
        self.flush()
        self.mc = self.open()

    def test_values_of_every_type(self):
        for value in (b"bytes", "text \u20ac", 5, -7, True, {"a": [1, 2, (3, None)]}, b"", "", 1 << 70, 3.5):
            with self.subTest(value=value):
                self.assertTrue(self.mc.set("key", value))
                self.assertEqual(self.mc.get("key"), value)

    def test_get_of_a_missing_key(self):
        self.assertIsNone(self.mc.get("missing"))
        self.assertEqual(self.mc.get("missing", "default"), "default")
        self.assertFalse("missing" in self.mc)

    def test_add_replace_delete(self):
        if self.binary:  # the two protocols answer this with different statuses
            with self.assertRaises(pylibmc.NotFound):
                self.mc.replace("key", "x")
        else:
            self.assertFalse(self.mc.replace("key", "x"))
        self.assertTrue(self.mc.add("key", "first"))
        self.assertFalse(self.mc.add("key", "second"))
        self.assertTrue(self.mc.replace("key", "third"))
        self.assertEqual(self.mc.get("key"), "third")
        self.assertTrue(self.mc.delete("key"))
        self.assertFalse(self.mc.delete("key"))

    def test_append_prepend(self):
        self.assertTrue(self.mc.set("key", b"middle"))
        self.assertTrue(self.mc.append("key", b">"))
        self.assertTrue(self.mc.prepend("key", b"<"))
        self.assertEqual(self.mc.get("key"), b"<middle>")
        for method in (self.mc.append, self.mc.prepend):
            try:
                self.assertFalse(method("missing", b"x"))
            except pylibmc.Error:
                pass

    def test_incr_decr(self):
        self.mc.set("n", "10")
        self.assertEqual(self.mc.incr("n"), 11)
        self.assertEqual(self.mc.incr("n", 89), 100)
        self.assertEqual(self.mc.decr("n", 1), 99)
        self.assertEqual(self.mc.get("n").strip(), "99")
        self.assertEqual(self.mc.decr("n", 1000), 0)
        with self.assertRaises(pylibmc.NotFound):
            self.mc.incr("missing")

    def test_incr_of_a_word(self):
        self.mc.set("word", "abc")
        with self.assertRaises(pylibmc.Error):
            self.mc.incr("word")
        self.assertEqual(self.mc.get("word"), "abc")

    def test_touch(self):
        self.mc.set("key", "value")
        self.assertTrue(self.mc.touch("key", 1000))
        reply = self.client().ask(b"mg key t\r\n")
        self.assertRegex(reply, rb"^HD t(999|1000)\r\n$")
        self.assertFalse(self.mc.touch("missing", 1000))

    def test_time(self):
        self.mc.set("key", "value", time=500)
        self.assertRegex(self.client().ask(b"mg key t\r\n"), rb"^HD t(499|500)\r\n$")

    def test_multi(self):
        pairs = {f"key{number}": "v" * (number * 7 % 900) for number in range(1000)}
        self.assertEqual(self.mc.set_multi(pairs), [])
        self.assertEqual(self.mc.get_multi(list(pairs) + ["missing"]), pairs)
        self.assertEqual(self.mc.get_multi([key[3:] for key in pairs], key_prefix="key"),
                         {key[3:]: value for key, value in pairs.items()})
        self.assertEqual(self.mc.add_multi({"key1": "x", "new": "y"}), ["key1"])
        self.assertTrue(self.mc.delete_multi(list(pairs)))
        self.assertEqual(self.mc.get_multi(list(pairs)), {})
        self.assertFalse(self.mc.delete_multi(["missing"]))

    def test_incr_multi(self):
        self.mc.set_multi({"a": "1", "b": "2"})
        self.mc.incr_multi(["a", "b"], delta=10)
        self.assertEqual(self.mc.get_multi(["a", "b"]), {"a": "11", "b": "12"})

    def test_large_values(self):
        for size in (1000, 65536, 1000000):
            with self.subTest(size=size):
                value = bytes(range(256)) * (size // 256)
                self.assertTrue(self.mc.set("large", value))
                self.assertEqual(self.mc.get("large"), value)

    def test_too_large_value(self):
        with self.assertRaises(pylibmc.Error):
            self.mc.set("large", b"x" * (3 << 20))
        self.assertTrue(self.mc.set("after", "fine"))
        self.assertEqual(self.mc.get("after"), "fine")

    def test_compressed_values(self):
        value = "easily compressed " * 5000
        self.assertTrue(self.mc.set("key", value, min_compress_len=100))
        self.assertEqual(self.mc.get("key"), value)

    def test_gets_cas(self):
        mc = pylibmc.Client([self.address], binary=self.binary, behaviors=dict(self.behaviors, cas=True))
        self.addCleanup(mc.disconnect_all)
        mc.set("key", "one")
        value, cas = mc.gets("key")
        self.assertEqual(value, "one")
        self.assertTrue(mc.cas("key", "two", cas))
        self.assertFalse(mc.cas("key", "three", cas))
        self.assertEqual(mc.get("key"), "two")
        self.assertEqual(mc.gets("missing"), (None, None))

    def test_flush_all(self):
        self.mc.set("key", "value")
        self.assertTrue(self.mc.flush_all())
        self.assertIsNone(self.mc.get("key"))

    def test_stats(self):
        (name, stats), = self.mc.get_stats()
        self.assertTrue(name.startswith(self.address.encode()))
        self.assertEqual(stats["pid"], str(self.server.pid).encode())

    def test_threads_share_a_pool(self):
        pool = pylibmc.ClientPool(self.mc, 4)
        failures = []

        def work(thread):
            for number in range(200):
                key = f"t{thread}-{number}"
                with pool.reserve(block=True) as mc:
                    if not mc.set(key, key) or mc.get(key) != key:
                        failures.append(key)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(checks.DEADLINE)
        self.assertEqual(failures, [])
        self.assertFalse(any(thread.is_alive() for thread in threads))


class Text(Commands, checks.ServerCase):
    pass


class TextNoDelay(Commands, checks.ServerCase):
    behaviors = {"tcp_nodelay": True, "ketama": True}


class TextNonBlocking(Commands, checks.ServerCase):
    behaviors = {"tcp_nodelay": True, "no_block": True}


class Binary(Commands, checks.ServerCase):
    binary = True


class BinaryNoDelay(Commands, checks.ServerCase):
    binary = True
    behaviors = {"tcp_nodelay": True, "no_block": True, "ketama": True}


# Not buffer_requests: libmemcached 1.1 stops at an assertion of its own then, with any server.
class NoReply(checks.ServerCase):
    def test_pipelined_sets_without_replies(self):
        for binary in (False, True):
            with self.subTest(binary=binary):
                mc = pylibmc.Client([self.address], binary=binary, behaviors={"_noreply": True, "tcp_nodelay": True})
                names = [f"quiet{int(binary)}-{number}" for number in range(2000)]
                for name in names:
                    self.assertTrue(mc.set(name, "x" * 100))
                checks.until(lambda: mc.get(names[-1]) is not None, "the last set is seen")
                self.assertEqual(len(mc.get_multi(names)), 2000)
                mc.disconnect_all()


class Ketama(unittest.TestCase):
    def test_keys_spread_over_three_servers(self):
        for binary in (False, True):
            with self.subTest(binary=binary):
                running = [servers.Server(servers.find_candidate()) for _ in range(3)]
                for server in running:
                    self.enterContext(server)
                mc = pylibmc.Client([f"127.0.0.1:{server.port}" for server in running], binary=binary,
                                    behaviors={"ketama": True, "tcp_nodelay": True})
                pairs = {f"key{number}": str(number) for number in range(600)}
                self.assertEqual(mc.set_multi(pairs), [])
                self.assertEqual(mc.get_multi(list(pairs)), pairs)
                for server in running:
                    with server.connect() as client:
                        self.assertGreater(int(client.stats()["curr_items"]), 50)
                mc.disconnect_all()


if __name__ == "__main__":
    checks.main()
