"""How many connections there may be, and how long idle ones live."""

import resource
import socket
import subprocess
import sys
import threading
import time
import unittest

import checks
import servers
from starts import OSERR, as_root


REFUSAL = b"ERROR Too many open connections\r\n"


def soft_and_hard_alike():
    """Whether this process cannot raise its hard limits: not root, or root without the capability."""
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (500, 500)); r.setrlimit(r.RLIMIT_NOFILE, (600, 600))"
    return checks.run([sys.executable, "-c", code]).returncode != 0


def speaks(client):
    return client.ask(b"mn\r\n") == b"MN\r\n"


class Limit(unittest.TestCase):
    def start(self, *options, **more):
        server = servers.Server(servers.find_candidate(), list(options), **more).start()
        self.addCleanup(server.stop)
        return server

    def connect(self, server):
        client = server.connect()
        self.addCleanup(client.close)
        return client

    def settled(self, server_or_client, count):
        """Waits until that many clients are counted: closed ones are noticed by and by."""
        checks.until(lambda: int(server_or_client.stats()["curr_connections"]) <= count, f"{count} clients")

    @checks.cairnd_only("it compares descriptor numbers with the limit, so fewer clients get in")
    def test_exactly_so_many_clients(self):
        for limit in (5, 30, 200):
            with self.subTest(limit):
                server = self.start("-c", str(limit))
                first = self.connect(server)
                self.settled(first, 1)
                others = [self.connect(server) for _ in range(limit - 1)]
                for client in [first, *others]:
                    self.assertTrue(speaks(client))
                for _ in range(3):
                    extra = self.connect(server)
                    self.assertEqual(extra.read_all(), REFUSAL)
                stats = first.stats()
                self.assertEqual(stats["max_connections"], str(limit))
                self.assertEqual(stats["curr_connections"], str(limit))
                self.assertEqual(stats["rejected_connections"], "3")
                self.assertEqual(stats["accepting_conns"], "1")
                others.pop().close()
                self.settled(first, limit - 1)
                self.assertTrue(speaks(self.connect(server)))

    @checks.cairnd_only("it compares descriptor numbers with the limit, so fewer clients get in")
    def test_clients_of_the_unix_socket_count_too(self):
        server = self.start("-c", "4", unix=True)
        first = self.connect(server)
        self.settled(first, 1)
        others = [self.connect(server) for _ in range(3)]
        self.assertTrue(all(speaks(client) for client in others))
        self.assertEqual(self.connect(server).read_all(), REFUSAL)

    def test_over_the_limit_a_client_is_told_and_closed(self):
        """Whatever exactly the limit counts: some get in, the rest get the line, and later ones get in again."""
        server = self.start("-c", "60", "-t", "2")
        first = self.connect(server)
        inside, refused = [], 0
        for _ in range(70):
            client = self.connect(server)
            try:
                client.send(b"mn\r\n")
                reply = client.read_line()
            except (servers.Closed, OSError):
                reply = b""
            if reply == b"MN\r\n":
                inside.append(client)
            else:
                self.assertIn(reply, (REFUSAL, b""))
                refused += 1
        self.assertGreater(len(inside), 20)
        self.assertGreater(refused, 5)
        self.assertEqual(int(first.stats()["rejected_connections"]), refused)
        for client in inside:
            self.assertTrue(speaks(client))
            client.close()
        self.settled(first, 1)
        self.assertTrue(speaks(self.connect(server)))

    def test_without_maxconns_fast_the_rest_wait(self):
        server = self.start("-c", "60", "-t", "2", "-o", "no_maxconns_fast")
        clients = [self.connect(server) for _ in range(75)]
        for client in clients:
            client.send(b"mn\r\n")
        answered = 0
        for client in clients:
            client.sock.settimeout(0.5 if answered else servers.READ_TIMEOUT)
            try:
                self.assertEqual(client.read_line(), b"MN\r\n")
                answered += 1
            except socket.timeout:
                break
        self.assertGreater(answered, 20)
        self.assertLess(answered, 75)
        stats = clients[0].stats()
        self.assertEqual(stats["accepting_conns"], "0")
        self.assertGreater(int(stats["listen_disabled_num"]), 0)
        for client in clients[1:30]:
            client.close()
        for client in clients[answered:answered + 5]:
            client.sock.settimeout(servers.READ_TIMEOUT)
            self.assertEqual(client.read_line(), b"MN\r\n")

    def test_many_clients_come_and_go(self):
        server = self.start()
        for _ in range(20):
            clients = [server.connect() for _ in range(50)]
            for client in clients:
                client.send(b"mn\r\n")
            for client in clients:
                self.assertEqual(client.read_line(), b"MN\r\n")
                client.close()
        first = self.connect(server)
        self.settled(first, 1)
        self.assertGreaterEqual(int(first.stats()["total_connections"]), 1000)


class Descriptors(unittest.TestCase):
    """The limit of open files is what the system grants, and no more than -c of it is asked for."""

    def run_with(self, files, *options):
        """A server started by a process that may open only so many files; None when it ends by itself."""
        port = servers.free_port()

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        process = subprocess.Popen(
            [servers.find_candidate(), *as_root(), "-l", "127.0.0.1", "-p", str(port), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limit)
        self.addCleanup(process.stderr.close)

        def up():
            if process.poll() is not None:
                return True
            try:
                self.client = servers.Client(socket.create_connection(("127.0.0.1", port), 1))
                return True
            except OSError:
                return False

        checks.until(up, "it accepts or ends")
        if process.poll() is None:
            self.addCleanup(self.client.close)
            self.addCleanup(process.wait, checks.DEADLINE)
            self.addCleanup(process.terminate)
        return process

    def test_as_many_as_connections_are_enough(self):
        process = self.run_with(1024)
        self.assertIsNone(process.returncode, process.stderr.read() if process.returncode else "")
        self.assertTrue(speaks(self.client))
        self.assertEqual(self.client.stats()["max_connections"], "1024")

    @unittest.skipUnless(soft_and_hard_alike(), "root may raise the limit here")
    def test_fewer_than_connections_are_not(self):
        process = self.run_with(500, "-c", "1000")
        self.assertEqual(process.returncode, OSERR)
        self.assertIn(b"failed to set rlimit for open files", process.stderr.read())


class IdleTimeout(checks.ServerCase):
    options = ["-o", "idle_timeout=2"]

    def test_idle_clients_are_closed_and_busy_ones_are_not(self):
        idle, busy, half = self.client(), self.client(), self.client()
        self.assertTrue(speaks(idle))
        half.send(b"set a 0 0 100\r\npart")
        idle.sock.settimeout(0.1)
        deadline = time.monotonic() + checks.DEADLINE
        while True:
            self.assertTrue(speaks(busy))
            try:
                data = idle.sock.recv(100)
                self.assertEqual(data, b"")
                break
            except socket.timeout:
                self.assertLess(time.monotonic(), deadline, "the idle client is still there")
        self.assertTrue(speaks(busy))
        checks.until(lambda: int(busy.stats()["idle_kicks"]) >= 1, "idle_kicks is counted")

    def test_no_client_is_closed_early(self):
        """A client that speaks every half second lives on, and one second is not two."""
        client = self.client()
        end = time.monotonic() + 6
        while time.monotonic() < end:
            self.assertTrue(speaks(client))
            try:
                client.sock.settimeout(0.5)
                self.assertNotEqual(client.sock.recv(1), b"", "closed")
            except socket.timeout:
                client.sock.settimeout(servers.READ_TIMEOUT)


class NoIdleTimeout(checks.ServerCase):
    def test_by_default_nobody_is_closed(self):
        self.assertNotIn("idle_kicks", self.stats())
        self.assertEqual(self.stats(b"settings")["idle_timeout"], "0")


class Reasons(checks.ServerCase):
    def test_why_a_connection_was_closed(self):
        """As `watch connevents` shows it."""
        watcher = self.client()
        watcher.send(b"watch connevents\r\n")
        self.assertEqual(watcher.read_line(), b"OK\r\n")
        for request, reason in ((b"quit\r\n", b"normal"), (b"mn\r\n", b"normal"), (b"x" * 3000, b"error"),
                                (b"GET / HTTP/1.1\r\n", b"error")):
            with self.subTest(request[:20]):
                client = self.server.connect()
                port = b" rport=%d " % client.sock.getsockname()[1]
                client.send(request)
                if reason == b"normal":
                    client.half_close()
                client.read_all()
                client.close()

                def line_of_it():
                    """Others may still be leaving: who waited for the server to start."""
                    while port not in (line := watcher.read_line()):
                        pass
                    return line

                self.assertRegex(line_of_it(), rb"^ts=\d+\.\d+ gid=\d+ type=conn_new rip=127\.0\.0\.1 ")
                line = line_of_it()
                self.assertRegex(line, rb"^ts=\d+\.\d+ gid=\d+ type=conn_close rip=127\.0\.0\.1 ")
                self.assertIn(b"reason=" + reason + b" ", line)


class Fairness(checks.ServerCase):
    options = ["-t", "1", "-R", "5"]

    def test_a_long_pipeline_yields_to_others(self):
        """With one worker, a client with endless requests does not hold up another."""
        greedy, modest = self.client(), self.client()
        modest.ask(b"set a 0 0 1\r\nx\r\n")
        greedy.send(b"get a\r\n" * 1000)
        self.assertTrue(speaks(modest))
        replies = b"VALUE a 0 1\r\nx\r\nEND\r\n" * 1000
        self.assertEqual(greedy.read_exactly(len(replies)), replies)
        self.assertGreater(int(modest.stats()["conn_yields"]), 0)


class Endless(checks.ServerCase):
    """A client that sends without end fills every read; the others of its worker are served all the same."""

    options = ["-t", "1", "-I", "64m", "-m", "256"]

    def test_small_requests(self):
        self.send_without_end(b"set a 0 0 1 noreply\r\nx\r\n" * 20000)

    def test_large_values(self):
        size = 60 << 20
        self.send_without_end(b"set a 0 0 %d noreply\r\n%s\r\n" % (size, b"x" * size))

    def send_without_end(self, requests):
        greedy, modest = self.client(), self.client()
        end = threading.Event()

        def send():
            while not end.is_set():
                greedy.send(requests)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for _ in range(100):
                self.assertTrue(speaks(modest))
            with self.server.connect() as late:
                self.assertTrue(speaks(late))
        finally:
            end.set()
            sender.join()


class Edges(checks.ServerCase):
    """The server is told once that there is something to read: nothing may be left lying."""

    options = ["-t", "1", "-I", "8m"]

    def test_reads_that_fill_the_buffer(self):
        client = self.client()
        for buffers in (1, 2, 3):
            for _ in range(20):
                client.send(b"get ab\r\n" * (buffers * 65536 // 8))
                answer = b"END\r\n" * (buffers * 65536 // 8)
                self.assertEqual(client.read_exactly(len(answer)), answer)

    def test_a_value_larger_than_a_turn_reads(self):
        client = self.client()
        for size in (262144, 262146, 1 << 20, 5 << 20):
            self.assertEqual(client.ask(b"set big 0 0 %d\r\n%s\r\n" % (size, b"x" * size)), b"STORED\r\n")

    def test_the_end_arrives_with_requests(self):
        for requests in (1, 2, 50):
            for _ in range(50):
                client = self.server.connect()
                client.send(b"get ab\r\n" * requests)
                client.half_close()
                self.assertEqual(client.read_all(), b"END\r\n" * requests)
                client.close()

    def test_the_end_arrives_while_an_answer_waits(self):
        client = self.client()
        client.ask(b"set big 0 0 1000000\r\n" + b"x" * 1000000 + b"\r\n")
        client.send(b"get big\r\n" * 30)
        client.half_close()
        answer = b"VALUE big 0 1000000\r\n" + b"x" * 1000000 + b"\r\nEND\r\n"
        for _ in range(30):
            self.assertEqual(client.read_exactly(len(answer)), answer)
        self.assertEqual(client.read_all(), b"")

    def test_many_clients_at_once(self):
        """What is read together is answered to each."""
        clients = [self.client() for _ in range(60)]
        for number, client in enumerate(clients):
            client.ask(b"set k%d 0 0 3\r\n%03d\r\n" % (number, number))
        for _ in range(20):
            for number, client in enumerate(clients):
                client.send(b"get k%d\r\n" % number)
            for number, client in enumerate(clients):
                answer = b"VALUE k%d 0 3\r\n%03d\r\nEND\r\n" % (number, number)
                self.assertEqual(client.read_exactly(len(answer)), answer)


if __name__ == "__main__":
    checks.main()
