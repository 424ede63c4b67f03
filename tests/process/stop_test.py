"""How it ends: signals and the shutdown command, idle and under load."""

import signal
import socket
import threading
import unittest

import checks
import servers


class Stopping(unittest.TestCase):
    def start(self, *options):
        server = servers.Server(servers.find_candidate(), list(options)).start()
        self.addCleanup(server.kill)
        return server

    def ends(self, server, code=0):
        self.assertEqual(server.process.wait(checks.DEADLINE), code, server.log())


class Signals(Stopping):
    def test_term_and_int(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                server = self.start()
                client = server.connect()
                self.addCleanup(client.close)
                client.ask(b"set a 0 0 1\r\nx\r\n")
                server.signal(number)
                self.ends(server)
                self.assertEqual(client.read_all(), b"")
                self.assertEqual(server.log(), "")

    def test_as_soon_as_it_accepts(self):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT) * 5:
            server = self.start()
            server.signal(number)
            self.ends(server)

    def test_verbose_says_why(self):
        server = self.start("-v")
        server.signal(signal.SIGTERM)
        self.ends(server)
        self.assertIn("Exiting normally", server.log())

    def test_usr1_is_graceful(self):
        server = self.start()
        client = server.connect()
        self.addCleanup(client.close)
        client.ask(b"set a 0 0 1\r\nx\r\n")
        server.signal(signal.SIGUSR1)
        self.ends(server)
        self.assertIn("Gracefully stopping", server.log())

    def test_hup_and_pipe_do_nothing(self):
        server = self.start()
        with server.connect() as client:
            for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP):
                server.signal(number)
                self.assertEqual(client.ask(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n")
        self.assertTrue(server.alive())
        server.stop()

    def test_usr2_and_quit_kill(self):
        for number in (signal.SIGUSR2, signal.SIGQUIT):
            with self.subTest(number):
                server = self.start()
                server.signal(number)
                self.ends(server, -number)

    def test_the_port_is_free_at_once(self):
        server = self.start()
        port = server.port
        with server.connect() as client:
            client.ask(b"version\r\n")
            server.signal(signal.SIGTERM)
            self.ends(server)
        again = servers.Server(servers.find_candidate(), ["-l", "127.0.0.1", "-p", str(port)], listen=False).start()
        self.addCleanup(again.kill)

        def accepts():
            self.assertTrue(again.alive(), again.log())
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False

        checks.until(accepts, "the next server accepts on the same port")
        again.stop()


class Shutdown(Stopping):
    def test_not_enabled(self):
        server = self.start()
        with server.connect() as client:
            reply = client.ask(b"shutdown\r\n")
            if checks.program().at_least(1, 6, 45):
                self.assertEqual(reply, b"SERVER_ERROR: shutdown not enabled\r\n")
                self.assertEqual(client.ask(b"shutdown graceful\r\n"), reply)
            self.assertEqual(client.ask(b"mn\r\n"), b"MN\r\n")
        server.stop()

    def test_enabled(self):
        for command, says in ((b"shutdown\r\n", ""), (b"shutdown graceful\r\n", "Gracefully stopping\n")):
            with self.subTest(command):
                server = self.start("-A")
                with server.connect() as client, server.connect() as other:
                    other.ask(b"set a 0 0 1\r\nx\r\n")
                    client.send(command)
                    self.assertEqual(client.read_all(), b"")
                    self.ends(server)
                    self.assertEqual(other.read_all(), b"")
                self.assertEqual(server.log(), says)

    def test_another_word(self):
        server = self.start("-A")
        with server.connect() as client:
            self.assertEqual(client.ask(b"shutdown now\r\n"), b"CLIENT_ERROR invalid shutdown mode\r\n")
        server.stop()


class Load:
    """Clients that ask until the server closes; each notes whether it was cut inside a reply."""

    BODY = b"v" * 5000

    def __init__(self, server, count):
        self.server = server
        self.started = threading.Barrier(count + 1)
        self.cut = []
        self.done = 0
        self.threads = [threading.Thread(target=self.work, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()
        self.started.wait(checks.DEADLINE)

    def work(self, number):
        client = self.server.connect()
        name = b"key%d" % number
        pair = ((b"set %s 0 0 %d\r\n%s\r\n" % (name, len(self.BODY), self.BODY), b"STORED\r\n"),
                (b"get %s\r\n" % name, b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (name, len(self.BODY), self.BODY)))
        rounds = 0
        try:
            while True:
                for request, reply in pair:
                    client.send(request)
                    try:
                        found = client.read_exactly(len(reply))
                    except servers.Closed as closed:
                        if closed.data:
                            self.cut.append(closed.data)
                        return
                    if found != reply:
                        self.cut.append(found)
                rounds += 1
                if rounds == 50:
                    self.started.wait(checks.DEADLINE)
        except OSError:
            pass  # it closed while we sent
        finally:
            self.done += rounds
            client.close()

    def join(self):
        for thread in self.threads:
            thread.join(checks.DEADLINE)
        assert not any(thread.is_alive() for thread in self.threads)


class UnderLoad(Stopping):
    def test_it_ends_and_nobody_sees_half_a_reply(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            with self.subTest(number):
                server = self.start()
                load = Load(server, 8)
                server.signal(number)
                self.ends(server)
                load.join()
                if checks.program().is_cairnd:  # memcached may cut a reply
                    self.assertEqual([data[:60] for data in load.cut], [])
                self.assertGreaterEqual(load.done, 400)

    @checks.cairnd_only("it drops its connections")
    def test_it_answers_what_it_has_read(self):
        """Replies of 20 MB wait for a client that starts to read only after the signal."""
        server = self.start("-m", "128")
        size, count = 500000, 40
        with server.connect() as client, server.connect() as other:
            body = b"b" * size
            client.ask(b"set big 0 0 %d\r\n%s\r\n" % (size, body))
            before = int(other.stats()["cmd_get"])
            client.send(b"get big\r\n" * count)
            checks.until(lambda: int(other.stats()["cmd_get"]) > before, "the first get is counted")
            server.signal(signal.SIGTERM)
            reply = b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (size, body)
            found = client.read_all()
            whole, rest = divmod(len(found), len(reply))
            self.assertEqual((whole, rest), (count, 0))
            self.assertEqual(found, reply * count)
        self.ends(server)

    @checks.cairnd_only("it drops its connections at once")
    def test_a_client_that_never_reads_does_not_keep_it_alive(self):
        server = self.start("-m", "128")
        with server.connect() as client, server.connect() as other:
            client.ask(b"set big 0 0 500000\r\n%s\r\n" % (b"b" * 500000))
            client.send(b"get big\r\n" * 40)
            checks.until(lambda: int(other.stats()["cmd_get"]) > 0, "the first get is counted")
            server.signal(signal.SIGTERM)
            self.ends(server)

    def test_a_half_value_does_not_keep_it_alive(self):
        server = self.start()
        with server.connect() as client:
            client.send(b"set a 0 0 100\r\nhalf")
            with server.connect() as other:
                checks.until(lambda: int(other.stats()["curr_connections"]) >= 2, "both are there")
            server.signal(signal.SIGTERM)
            self.ends(server)


if __name__ == "__main__":
    checks.main()
