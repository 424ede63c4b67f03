"""python-binary-memcached (module bmemcached): the binary protocol in plain Python, with SASL where there is a file for it."""

import tempfile
import unittest

import checks
import servers

bmemcached = checks.need_module("bmemcached")


class Commands(checks.ServerCase):
    def setUp(self):
        self.flush()
        self.mc = bmemcached.Client((self.address,))
        self.addCleanup(self.mc.disconnect_all)

    def test_values_of_every_type(self):
        for value in (b"bytes", "text \u20ac", 5, True, {"a": [1, 2, (3, None)]}, b"", "", b"x" * 500000):
            with self.subTest(str(value)[:20]):
                self.assertTrue(self.mc.set("key", value))
                self.assertEqual(self.mc.get("key"), value)
        self.assertIsNone(self.mc.get("missing"))

    def test_add_replace_delete(self):
        self.assertFalse(self.mc.replace("key", "x"))
        self.assertTrue(self.mc.add("key", "one"))
        self.assertFalse(self.mc.add("key", "two"))
        self.assertTrue(self.mc.replace("key", "three"))
        self.assertEqual(self.mc.get("key"), "three")
        self.assertTrue(self.mc.delete("key"))
        self.assertIsNone(self.mc.get("key"))

    def test_cas(self):
        self.mc.set("key", "one")
        value, cas = self.mc.gets("key")
        self.assertEqual(value, "one")
        self.assertTrue(self.mc.cas("key", "two", cas))
        self.assertFalse(self.mc.cas("key", "three", cas))
        self.assertFalse(self.mc.delete("key", cas=cas))
        self.assertEqual(self.mc.get("key"), "two")

    def test_counters(self):
        self.assertEqual(self.mc.incr("n", 1, default=10), 10)
        self.assertEqual(self.mc.incr("n", 5), 15)
        self.assertEqual(self.mc.decr("n", 6), 9)
        self.assertEqual(self.mc.decr("n", 100), 0)

    def test_many(self):
        pairs = {f"key{number}": "v" * number for number in range(500)}
        self.assertFalse(self.mc.set_multi(pairs))
        self.assertEqual(self.mc.get_multi([*pairs, "missing"]), pairs)
        self.assertEqual(len(self.mc.get_multi(list(pairs), get_cas=True)), len(pairs))
        self.assertTrue(self.mc.delete_multi(list(pairs)))
        self.assertEqual(self.mc.get_multi(list(pairs)), {})

    def test_stats_and_flush(self):
        self.mc.set("key", "value")
        stats, = self.mc.stats().values()
        self.assertEqual(stats["pid"], str(self.server.pid).encode())
        self.assertTrue(self.mc.flush_all())
        self.assertIsNone(self.mc.get("key"))


@checks.cairnd_only("only a build of its own for it reads MEMCACHED_SASL_PWDB")
class Sasl(unittest.TestCase):
    def test_user_and_password(self):
        with tempfile.NamedTemporaryFile(prefix="cairn-test-") as file:
            file.write(b"user:secret\n")
            file.flush()
            with servers.Server(servers.find_candidate(), ["-S"], env={"MEMCACHED_SASL_PWDB": file.name}) as server:
                mc = bmemcached.Client((f"127.0.0.1:{server.port}",), "user", "secret")
                self.assertTrue(mc.set("key", "value"))
                self.assertEqual(mc.get("key"), "value")
                mc.disconnect_all()
                wrong = bmemcached.Client((f"127.0.0.1:{server.port}",), "user", "wrong")
                with self.assertRaisesRegex(bmemcached.exceptions.MemcachedException, "Auth failure"):
                    wrong.set("key", "value")
                wrong.disconnect_all()


if __name__ == "__main__":
    checks.main()
