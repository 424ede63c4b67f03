"""pylibmc from several threads into a full cache: values of 100 bytes to 1 MB, text and binary, with and without expiry."""

import os
import random
import threading
import unittest

import checks
import servers

pylibmc = checks.need_module("pylibmc")

MEMORY = 64  # megabytes
OVERHEAD = 40  # megabytes for the process, its index and its buffers
ROUNDS = 2500
THREADS = 6


class Pressure(checks.ServerCase):
    options = ["-m", str(MEMORY)]

    def work(self, seed):
        choose = random.Random(seed)
        mc = pylibmc.Client([self.address], binary=bool(seed % 2), behaviors={"tcp_nodelay": True})
        for _ in range(ROUNDS):
            name = f"key{choose.randrange(20000)}"
            start = f"{name}:".encode()
            if choose.random() < 0.5:
                size = choose.randrange(choose.choice((200, 200, 5000, 100000, 1000000)))
                try:
                    if not mc.set(name, start + b"x" * size, time=choose.choice((0, 0, 1, 5))):
                        self.failed.append(f"set {name} of {size}: refused")
                except pylibmc.Error as error:
                    self.failed.append(f"set {name} of {size}: {error}")
            else:
                value = mc.get(name)
                if value is not None and (not value.startswith(start) or value.strip(b"x") != start):
                    self.wrong.append(f"{name}: {value[:40]}")
        mc.disconnect_all()

    def test_sets_do_not_fail_and_values_are_right(self):
        self.failed, self.wrong = [], []
        threads = [threading.Thread(target=self.work, args=(seed,)) for seed in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = self.stats()
        self.assertEqual(self.wrong[:5], [])
        self.assertGreater(int(stats["evictions"]), 0)
        self.assertLessEqual(int(stats["bytes"]), MEMORY << 20)
        if checks.program().is_cairnd:  # memcached runs out of memory in one of its slab classes now and then
            self.assertEqual(self.failed[:5], [])
            self.assertEqual(stats["store_no_memory"], "0")
        if not os.environ.get("CAIRN_SANITIZE"):
            self.assertLess(self.server.rss(), (MEMORY + OVERHEAD) << 20)


class NoEvictions(unittest.TestCase):
    def test_a_full_cache_refuses_and_keeps(self):
        with servers.Server(servers.find_candidate(), ["-M", "-m", "64"]) as server:
            mc = pylibmc.Client([f"127.0.0.1:{server.port}"], behaviors={"tcp_nodelay": True})
            body = b"x" * 100000
            stored = 0
            with self.assertRaisesRegex(pylibmc.Error, "error 48 "):  # MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE
                while stored < 2000:
                    mc.set(f"key{stored}", body)
                    stored += 1
            self.assertGreater(stored, 500)
            for number in range(stored):
                self.assertEqual(len(mc.get(f"key{number}")), len(body), number)
            with server.connect() as client:
                stats = client.stats()
            self.assertEqual((stats["evictions"], stats["store_no_memory"]), ("0", "1"))
            self.assertTrue(mc.delete("key0"))
            self.assertTrue(mc.set("again", b"y" * 90000))
            mc.disconnect_all()


if __name__ == "__main__":
    checks.main()
