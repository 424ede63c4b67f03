"""-Y: passwords of the text protocol from a file."""

import os
import signal
import tempfile
import unittest

import binary
import checks
import servers
from starts import OSERR, choosing_ports, failing

UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
FAILURE = b"CLIENT_ERROR authentication failure\r\n"
STORED = b"STORED\r\n"


class PasswordFile(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="cairn-test-"))
        self.path = os.path.join(self.folder, "passwords")

    def write(self, text):
        """As an editor does it: the new file takes the old one's place at once."""
        with open(self.path + ".new", "wb") as file:
            file.write(text)
        os.rename(self.path + ".new", self.path)

    def start(self, text, *options):
        self.write(text)
        return self.enterContext(servers.Server(servers.find_candidate(), ["-Y", self.path, *options]))

    def client(self, server):
        client = server.connect()
        self.addCleanup(client.close)
        return client

    def log_in(self, client, token):
        return client.ask(b"set any 0 0 %d\r\n%s\r\n" % (len(token), token))

    def try_login(self, server, token):
        return self.log_in(self.client(server), token)


class Access(PasswordFile):
    def test_nothing_before_and_all_after(self):
        server = self.start(b"user:secret\n")
        client = self.client(server)
        for line in (b"get any", b"version", b"stats", b"delete any", b"flush_all", b"mg any v"):
            self.assertEqual(client.ask(line + b"\r\n"), UNAUTHENTICATED)
        self.assertEqual(self.log_in(client, b"user secret"), STORED)
        self.assertEqual(client.ask(b"get any\r\n", b"END\r\n"), b"END\r\n")  # the token is no item
        self.assertEqual(client.ask(b"set a 0 0 1\r\nx\r\n"), STORED)
        self.assertEqual(client.ask(b"get a\r\n", b"END\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n")
        stats = client.stats()
        self.assertEqual((stats["auth_cmds"], stats["auth_errors"]), ("1", "0"))
        self.assertEqual(client.stats(b"settings")["auth_enabled_ascii"], self.path)

    def test_each_connection_for_itself(self):
        server = self.start(b"user:secret\n")
        self.assertEqual(self.try_login(server, b"user secret"), STORED)
        self.assertEqual(self.client(server).ask(b"get any\r\n"), UNAUTHENTICATED)

    def test_wrong_ones(self):
        server = self.start(b"user:secret\n")
        client = self.client(server)
        for token in (b"user wrong", b"wrong secret", b"user secre", b"user secrets", b"USER secret"):
            self.assertEqual(self.log_in(client, token), FAILURE, token)
        self.assertEqual(self.log_in(client, b"usersecret"), b"CLIENT_ERROR bad authentication token format\r\n")
        self.assertEqual(client.ask(b"set any 0 0 11\r\nuser secretXY"),
                         b"CLIENT_ERROR bad command line termination\r\n")
        fresh = self.client(server)
        self.assertEqual(self.log_in(fresh, b"user secret"), STORED)
        stats = fresh.stats()
        self.assertGreaterEqual(int(stats["auth_errors"]), 5)

    @checks.since(1, 6, 45, reason="it waits for the token")
    def test_a_long_token(self):
        server = self.start(b"user:secret\n")
        self.assertEqual(self.client(server).ask(b"set any 0 0 16385\r\n"), b"CLIENT_ERROR auth token too long\r\n")

    def test_several_users(self):
        users = b"".join(b"user%d:pass%d\n" % (number, number) for number in range(8))
        server = self.start(users)
        for number in range(8):
            self.assertEqual(self.try_login(server, b"user%d pass%d" % (number, number)), STORED)
        self.assertEqual(self.try_login(server, b"user1 pass2"), FAILURE)

    def test_colons_belong_to_the_password(self):
        server = self.start(b"user:a:b:c\n")
        self.assertEqual(self.try_login(server, b"user a:b:c"), STORED)

    @checks.since(1, 6, 45, reason="the last character of a file without final newline is lost")
    def test_no_newline_at_the_end(self):
        server = self.start(b"one:first\nuser:secret")
        self.assertEqual(self.try_login(server, b"user secret"), STORED)

    def test_a_binary_client_is_turned_away(self):
        server = self.start(b"user:secret\n")
        client = self.client(server)
        client.send(binary.packet("noop"))
        if checks.program().at_least(1, 6, 45):
            client.half_close()
            self.assertNotIn(b"\x81", client.read_all())

    @checks.since(1, 6, 45, reason="such listeners ask for no password")
    def test_protocols_of_listeners(self):
        self.write(b"user:secret\n")
        code, found = failing("-Y", self.path, "-l", "proto[binary]:127.0.0.1", "-p", "-1")
        self.assertEqual(code, OSERR, found)
        with choosing_ports("-Y", self.path, "-l", "proto[negotiating]:127.0.0.1", "-p", "-1") as server:
            (_, server.port), = server.ports
            self.assertEqual(self.client(server).ask(b"get any\r\n"), UNAUTHENTICATED)
            self.assertEqual(self.try_login(server, b"user secret"), STORED)

    def test_over_a_unix_socket(self):
        self.write(b"user:secret\n")
        server = self.enterContext(servers.Server(servers.find_candidate(), ["-Y", self.path], unix=True))
        client = self.client(server)
        self.assertEqual(client.ask(b"get any\r\n"), UNAUTHENTICATED)
        self.assertEqual(self.log_in(client, b"user secret"), STORED)


class Reload(PasswordFile):
    """SIGHUP reads the file again."""

    def becomes(self, server, token, reply):
        checks.until(lambda: self.try_login(server, token) == reply, f"{token} is answered {reply}")

    def test_new_passwords(self):
        server = self.start(b"user:old\n")
        inside = self.client(server)
        self.assertEqual(self.log_in(inside, b"user old"), STORED)
        self.write(b"user:new\nother:more\n")
        self.assertEqual(self.try_login(server, b"user old"), STORED)  # not before it is told
        server.signal(signal.SIGHUP)
        self.becomes(server, b"user new", STORED)
        self.assertEqual(self.try_login(server, b"other more"), STORED)
        self.assertEqual(self.try_login(server, b"user old"), FAILURE)
        self.assertEqual(inside.ask(b"set a 0 0 1\r\nx\r\n"), STORED)

    def test_a_bad_file_changes_nothing(self):
        server = self.start(b"user:old\n")
        for number, bad in enumerate((b"no colon here\n", None)):
            with self.subTest(bad):
                if bad is None:
                    os.remove(self.path)
                else:
                    self.write(bad)
                server.signal(signal.SIGHUP)
                # A good file read after it shows that the signal was handled.
                self.assertTrue(server.alive())
                self.assertEqual(self.try_login(server, b"user old"), STORED)
                self.write(b"user:old\nuser%d:then\n" % number)
                server.signal(signal.SIGHUP)
                self.becomes(server, b"user%d then" % number, STORED)
                self.assertEqual(self.try_login(server, b"user old"), STORED)


if __name__ == "__main__":
    checks.main()
