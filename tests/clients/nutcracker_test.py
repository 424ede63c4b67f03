"""twemproxy (nutcracker) in front of three servers, asked by pymemcache and by hand."""

import os
import socket
import subprocess
import tempfile
import unittest

import checks
import servers

NUTCRACKER = checks.need_program("nutcracker")

CONFIG = """
pool:
  listen: 127.0.0.1:{port}
  hash: md5
  distribution: ketama
  timeout: 20000
  auto_eject_hosts: false
  server_connections: 1
  preconnect: true
  servers:
{servers}
"""


class Proxy:
    def __init__(self, ports):
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-test-")
        self.port = servers.free_port()
        config = os.path.join(self.folder.name, "nutcracker.yml")
        with open(config, "w", encoding="ascii") as file:
            lines = "".join(f"   - 127.0.0.1:{port}:1 server{number}\n" for number, port in enumerate(ports))
            file.write(CONFIG.format(port=self.port, servers=lines))
        self.log = os.path.join(self.folder.name, "log")
        self.process = subprocess.Popen(
            [NUTCRACKER, "-c", config, "-o", self.log, "-v", "5", "-a", "127.0.0.1", "-s", str(servers.free_port()),
             "-p", os.path.join(self.folder.name, "pid")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def __enter__(self):
        checks.until(self.accepts, "nutcracker accepts connections")
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(checks.DEADLINE)
        self.folder.cleanup()

    def accepts(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8") as log:
                raise AssertionError(f"nutcracker ended: {log.read()}")
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def connect(self):
        return servers.Client(socket.create_connection(("127.0.0.1", self.port), 20))


class ThreeServers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = [servers.Server(servers.find_candidate()) for _ in range(3)]
        for server in cls.servers:
            server.start()
            cls.addClassCleanup(server.stop)
        cls.proxy = cls.enterClassContext(Proxy([server.port for server in cls.servers]))

    def setUp(self):
        for server in self.servers:
            with server.connect() as client:
                client.ask(b"flush_all\r\n")
        self.client = self.proxy.connect()
        self.addCleanup(self.client.close)

    def ask(self, request, reply):
        self.assertEqual(self.client.ask(request, reply[-5:]), reply)

    def test_commands(self):
        self.ask(b"set a 5 0 3\r\nabc\r\n", b"STORED\r\n")
        self.ask(b"get a\r\n", b"VALUE a 5 3\r\nabc\r\nEND\r\n")
        self.ask(b"add a 0 0 1\r\nx\r\n", b"NOT_STORED\r\n")
        self.ask(b"replace a 0 0 2\r\n10\r\n", b"STORED\r\n")
        self.ask(b"incr a 5\r\n", b"15\r\n")
        self.ask(b"decr a 6\r\n", b"9\r\n")
        self.ask(b"append a 0 0 1\r\n1\r\n", b"STORED\r\n")
        self.ask(b"prepend a 0 0 1\r\n2\r\n", b"STORED\r\n")
        self.ask(b"get a\r\n", b"VALUE a 0 4\r\n29 1\r\nEND\r\n")
        self.ask(b"touch a 100\r\n", b"TOUCHED\r\n")
        self.ask(b"touch none 100\r\n", b"NOT_FOUND\r\n")
        self.ask(b"delete a\r\n", b"DELETED\r\n")
        self.ask(b"delete a\r\n", b"NOT_FOUND\r\n")

    def test_cas(self):
        self.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")
        value = self.client.ask(b"gets a\r\n", b"END\r\n").split()
        self.ask(b"cas a 0 0 1 %s\r\ny\r\n" % value[4], b"STORED\r\n")
        self.ask(b"cas a 0 0 1 %s\r\nz\r\n" % value[4], b"EXISTS\r\n")

    def test_values_of_all_sizes(self):
        for size in (0, 1, 1000, 16383, 16384, 16385, 300000, 1000000):
            with self.subTest(size):
                body = b"v" * size
                self.ask(b"set big%d 0 0 %d\r\n%s\r\n" % (size, size, body), b"STORED\r\n")
                self.ask(b"get big%d\r\n" % size, b"VALUE big%d 0 %d\r\n%s\r\nEND\r\n" % (size, size, body))

    def test_multiget_is_split_over_the_servers(self):
        names = [b"key%d" % number for number in range(300)]
        for name in names:
            self.client.send(b"set %s 0 0 %d\r\n%s\r\n" % (name, len(name), name))
        for _ in names:
            self.assertEqual(self.client.read_line(), b"STORED\r\n")
        self.client.send(b"get " + b" ".join(names) + b"\r\n")
        found = {}
        while True:
            words = self.client.read_line().split()
            if words == [b"END"]:
                break
            found[words[1]] = self.client.read_exactly(int(words[3]) + 2)[:-2]
        self.assertEqual(found, {name: name for name in names})
        for server in self.servers:
            with server.connect() as client:
                self.assertGreater(int(client.stats()["curr_items"]), 20)

    def test_pipelined(self):
        count = 2000
        for number in range(count):
            self.client.send(b"set p%d 0 0 4\r\n%04d\r\nget p%d\r\n" % (number, number, number))
        for number in range(count):
            reply = b"STORED\r\nVALUE p%d 0 4\r\n%04d\r\nEND\r\n" % (number, number)
            self.assertEqual(self.client.read_exactly(len(reply)), reply)

    def test_pymemcache_through_the_proxy(self):
        try:
            from pymemcache.client.base import Client
        except ImportError:
            self.skipTest("pymemcache is not installed")
        mc = Client(("127.0.0.1", self.proxy.port), timeout=20, default_noreply=False)
        self.addCleanup(mc.close)
        pairs = {f"key{number}": b"v" * number for number in range(300)}
        self.assertEqual(mc.set_many(pairs), [])
        self.assertEqual(mc.get_many(list(pairs)), pairs)
        self.assertTrue(mc.delete("key7"))
        self.assertIsNone(mc.get("key7"))


if __name__ == "__main__":
    checks.main()
