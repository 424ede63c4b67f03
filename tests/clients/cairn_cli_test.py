"""cairn-cli: its views of running servers (top while there is traffic, and ping; with cairnd and memcached side by
side), and servers that want more than a connection: TLS, a password."""

import os
import re
import subprocess
import tempfile
import threading
import unittest

import checks
import servers
import tls

CLI = os.environ["CAIRN_CLI"]
ROW = re.compile(r"\d\d:\d\d:\d\d (\S+) +" + r" +".join([r"(\S+)"] * 11) + "$")


class Views(unittest.TestCase):
    def setUp(self):
        self.programs = [os.environ["CAIRND"]]
        if servers.find_oracle():
            self.programs.append(servers.find_oracle())
        self.servers = [servers.Server(program) for program in self.programs]
        for server in self.servers:
            server.__enter__()
            self.addCleanup(server.__exit__, None, None, None)
        self.addresses = [f"127.0.0.1:{server.port}" for server in self.servers]

    def cli(self, *words, addresses=None):
        return subprocess.run(
            [CLI, "--servers=" + ",".join(addresses or self.addresses), "--timeout=20s", *words], capture_output=True,
            text=True, timeout=checks.DEADLINE, check=False)

    def traffic(self, server):
        """Until the test is over: of two gets one is a hit, and there is a set."""
        client = server.connect()
        while not self.over.is_set():
            client.send(b"set k 0 0 1\r\nx\r\nget k\r\nget absent\r\n")
            for expected in (b"STORED\r\n", b"VALUE k 0 1\r\n", b"x\r\n", b"END\r\n", b"END\r\n"):
                if client.read_line() != expected:
                    return
        client.close()

    def test_top_shows_rates(self):
        for server in self.servers:
            # memcached counts an item that is being replaced as none for a moment.
            checks.store(server, "stays", 0, b"x")
        self.over = threading.Event()
        threads = [threading.Thread(target=self.traffic, args=(server,)) for server in self.servers]
        for thread in threads:
            thread.start()
        try:
            shown = self.cli("--interval=300ms", "--count=3", "top")
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertNotIn("\033", shown.stdout)
        lines = shown.stdout.splitlines()
        self.assertEqual(lines[0].split()[:5], ["time", "server", "gets/s", "hit%", "sets/s"])
        rows = [ROW.match(line) for line in lines[1:]]
        self.assertNotIn(None, rows, shown.stdout)
        names = self.addresses + (["all"] if len(self.servers) > 1 else [])
        self.assertEqual([row.group(1) for row in rows], names * 3)
        for row in rows:
            self.assertNotEqual(row.group(2), "0", shown.stdout)
            self.assertAlmostEqual(float(row.group(3)), 50, delta=5)
            self.assertNotEqual(row.group(4), "0", shown.stdout)
            self.assertEqual(row.group(5), "0")  # evictions
            self.assertNotEqual(row.group(6), "0")
            self.assertNotEqual(row.group(7), "0")
            self.assertGreaterEqual(int(row.group(8)), 2)  # connections
            self.assertGreaterEqual(int(row.group(9)), 1)  # items

    def test_top_says_who_is_not_reached(self):
        gone = f"127.0.0.1:{servers.free_port()}"
        shown = self.cli("--interval=50ms", "--count=2", "top", addresses=self.addresses + [gone])
        self.assertEqual(shown.returncode, 3)
        self.assertIn(gone + ": cannot connect", shown.stdout)
        self.assertIn(self.addresses[0], shown.stdout)

    def test_ping_tells_how_long_it_took(self):
        shown = self.cli("--count=50", "ping")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for address, line in zip(self.addresses, shown.stdout.splitlines()):
            times = re.match(re.escape(address) + r" \S+ (\S+) ms "
                             r"\(least (\S+), 90% (\S+), 99% (\S+), most (\S+), of 50\)$", line)
            self.assertIsNotNone(times, line)
            median, least, most_90, most_99, most = map(float, times.groups())
            self.assertLess(0, least)
            self.assertEqual(sorted([least, median, most_90, most_99, most]), [least, median, most_90, most_99, most])

    def test_what_makes_no_sense_is_refused(self):
        for option in ("--count=0", "--count=x", "--count=", "--interval=0s", "--interval=soon"):
            self.assertEqual(self.cli(option, "top").returncode, 2, option)


class Options(unittest.TestCase):
    def serve(self, *options):
        server = servers.Server(os.environ["CAIRND"], options)
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return f"127.0.0.1:{server.port}"

    def cli(self, address, *words, stdin=None, **variables):
        return subprocess.run(
            [CLI, "--servers=" + address, "--timeout=20s", *words], input=stdin, capture_output=True, text=True,
            timeout=checks.DEADLINE, check=False, env=dict(os.environ, **variables))

    def skip_if_built_without(self, done):
        if "was built without" in done.stderr:
            self.skipTest(done.stderr)

    def test_tls(self):
        certificates = tls.Certificates()
        self.addCleanup(certificates.__exit__, None, None, None)
        address = self.serve(*certificates.server_options(ssl_verify_mode="2", ssl_ca_cert=certificates.path("ca.crt")))
        trust = "--ca=" + certificates.path("ca.crt")
        shown = ("--cert=" + certificates.path("client.crt"), "--key=" + certificates.path("client.key"))
        stored = self.cli(address, trust, *shown, "set", "key", "value")
        self.skip_if_built_without(stored)
        self.assertEqual(stored.returncode, 0, stored.stderr)
        self.assertEqual(self.cli(address, trust, *shown, "get", "key").stdout, "value\n")
        for refused in ((), ("--tls",), (trust,), ("--tls", *shown), (trust, *shown, "--tls-name=elsewhere")):
            self.assertEqual(self.cli(address, *refused, "get", "key").returncode, 3, refused)
        self.assertEqual(self.cli(address, "--ca=/nowhere", "get", "key").returncode, 2)

    def test_password(self):
        with tempfile.NamedTemporaryFile("w", prefix="cairn-test-", suffix=".auth") as file:
            file.write("user:secret\n")
            file.flush()
            address = self.serve("-Y", file.name)
            stored = self.cli(address, "--user=user", "set", "key", "value", CAIRN_PASSWORD="secret")
            self.assertEqual(stored.returncode, 0, stored.stderr)
            for password in ("wrong", ""):
                refused = self.cli(address, "--user=user", "get", "key", CAIRN_PASSWORD=password)
                self.assertEqual(refused.returncode, 3, password)
            self.assertEqual(self.cli(address, "get", "key").returncode, 3)

    def test_compression(self):
        address = self.serve()
        value = "value " * 1000
        stored = self.cli(address, "--zstd", "set", "key", "-", stdin=value)
        self.skip_if_built_without(stored)
        self.assertEqual(stored.returncode, 0, stored.stderr)
        self.assertEqual(self.cli(address, "--zstd", "get", "key").stdout, value + "\n")
        plain = subprocess.run([CLI, "--servers=" + address, "get", "key"], capture_output=True, check=True)
        self.assertLess(len(plain.stdout), 500)

    def test_an_input_that_cannot_be_read_stores_nothing(self):
        address = self.serve()
        self.assertEqual(self.cli(address, "set", "key", "before").returncode, 0)
        folder = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        for command, key in (("set", "key"), ("add", "absent")):
            done = subprocess.run([CLI, "--servers=" + address, "--timeout=20s", command, key, "-"], stdin=folder,
                                  capture_output=True, text=True, timeout=checks.DEADLINE, check=False)
            self.assertEqual(done.returncode, 3)
            self.assertIn("standard input", done.stderr)
        self.assertEqual(self.cli(address, "get", "key").stdout, "before\n")
        self.assertEqual(self.cli(address, "get", "absent").returncode, 1)

    def test_an_output_that_cannot_be_written_is_a_failure(self):
        address = self.serve()
        self.assertEqual(self.cli(address, "set", "key", "value").returncode, 0)
        # More than is kept until the end, too.
        self.assertEqual(self.cli(address, "set", "long", "-", stdin="x" * 100000).returncode, 0)
        for words in (("get", "key"), ("get", "long"), ("get", "key", "absent"), ("ring",), ("--help",)):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([CLI, "--servers=" + address, "--timeout=20s", *words], stdout=full,
                                      stderr=subprocess.PIPE, text=True, timeout=checks.DEADLINE, check=False)
            self.assertEqual(done.returncode, 3, words)
            self.assertIn("standard output", done.stderr)

    def test_counting_takes_numbers_only(self):
        address = self.serve()
        self.assertEqual(self.cli(address, "set", "key", "5").returncode, 0)
        for number in ("-1", "+3", " 5", "5 ", "", "x", "5x", "0x5", "18446744073709551616"):
            for command in ("incr", "decr"):
                self.assertEqual(self.cli(address, command, "key", number).returncode, 2, number)
        self.assertEqual(self.cli(address, "get", "key").stdout, "5\n")
        self.assertEqual(self.cli(address, "incr", "key", "18446744073709551610").stdout, "18446744073709551615\n")
        self.assertEqual(self.cli(address, "decr", "key").stdout, "18446744073709551614\n")

    def test_unknown_options_are_refused(self):
        for option in ("--tls=yes", "--cipher=x", "--zstd=9", "-s", "-"):
            done = self.cli("127.0.0.1", option, "ping")
            self.assertEqual(done.returncode, 2, option)
            self.assertIn("no such option: " + option, done.stderr)

    def test_servers_of_the_environment_are_for_who_names_none(self):
        address = self.serve()
        for servers in ("bad:x", "127.0.0.1:1"):
            self.assertEqual(self.cli(address, "ping", CAIRN_SERVERS=servers).returncode, 0)
        def alone(servers, *words):
            return subprocess.run([CLI, *words], capture_output=True, text=True, timeout=checks.DEADLINE, check=False,
                                  env=dict(os.environ, CAIRN_SERVERS=servers))
        self.assertEqual(alone(address, "ping").returncode, 0)
        self.assertEqual(alone("bad:x", "--help").returncode, 0)
        refused = alone("bad:x", "ping")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("$CAIRN_SERVERS: not a server", refused.stderr)

    def test_what_is_wrong_is_named(self):
        for words, told in ((("--ttl", "5s", "get", "k"), "--ttl wants a value"),
                            (("--servers=", "flush_all"), "--servers wants a value"),
                            (("--ttl=soon", "get", "k"), '--ttl: not a duration such as 90s: "soon"'),
                            (("--placement=x", "ring"), '--placement: no placement "x"'),
                            (("--servers=a:b", "ping"), '--servers: not a server'),
                            (("gett", "k"), "no such command: gett"), (("get",), "get <key>..."),
                            (("touch", "k", "--ttl=5s"), "touch <key>; options stand before the command"),
                            (("top", "x"), "cairn-cli [options] top; ")):
            done = self.cli("127.0.0.1", *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(told, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    checks.main()
