"""-Z: TLS on listeners, client certificates, reloading of certificates."""

import os
import shutil
import signal
import ssl
import unittest

import checks
import servers
import tls
from starts import choosing_ports, failing

STORED = b"STORED\r\n"


class WithCertificates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = cls.enterClassContext(tls.Certificates())
        tls.require_server(cls.certificates.server_options())

    def start(self, *options, **suboptions):
        command = [*self.certificates.server_options(**suboptions), *options]
        return self.enterContext(servers.Server(servers.find_candidate(), command))

    def connect(self, port, client=None, context=None):
        connection = tls.connect(port, context or self.certificates.context(client))
        self.addCleanup(connection.close)
        return connection

    def speaks(self, connection):
        self.assertEqual(connection.ask(b"set a 0 0 1\r\nx\r\n"), STORED)
        self.assertEqual(connection.ask(b"get a\r\n", b"END\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n")

    def turned_away(self, port, client=None, context=None):
        """The handshake fails, or with TLS 1.3 the first read after it."""
        with self.assertRaises((ssl.SSLError, ConnectionError, servers.Closed)):
            self.connect(port, client, context).ask(b"version\r\n")

    def plain(self, port):
        connection = servers.socket.create_connection(("127.0.0.1", port), servers.READ_TIMEOUT)
        client = servers.Client(connection)
        self.addCleanup(client.close)
        return client


class Sessions(WithCertificates):
    def test_text(self):
        server = self.start()
        connection = self.connect(server.port)
        self.assertEqual(connection.sock.version(), "TLSv1.3")
        self.speaks(connection)
        settings = connection.stats(b"settings")
        self.assertEqual(settings["ssl_enabled"], "yes")
        self.assertEqual(settings["ssl_chain_cert"], self.certificates.path("server.crt"))

    def test_large_values_and_pipelines(self):
        server = self.start()
        connection = self.connect(server.port)
        body = os.urandom(1000000)
        self.assertEqual(connection.ask(b"set big 0 0 %d\r\n%s\r\n" % (len(body), body)), STORED)
        reply = b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (len(body), body)
        connection.send(b"get big\r\n" * 10)  # not from another thread: an SSL object serves one at a time
        for _ in range(10):
            self.assertEqual(connection.read_exactly(len(reply)), reply)
        count = 2000
        connection.send(b"".join(b"set p%d 0 0 4\r\n%04d\r\nget p%d\r\n" % (number, number, number)
                                 for number in range(count)))
        for number in range(count):
            expected = b"STORED\r\nVALUE p%d 0 4\r\n%04d\r\nEND\r\n" % (number, number)
            self.assertEqual(connection.read_exactly(len(expected)), expected)

    def test_versions(self):
        server = self.start()
        old = self.certificates.context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = self.connect(server.port, context=old)
        self.assertEqual(connection.sock.version(), "TLSv1.2")
        self.speaks(connection)
        strict = self.start(ssl_min_version=3)
        self.turned_away(strict.port, context=old)
        self.speaks(self.connect(strict.port))

    def test_ciphers(self):
        server = self.start(ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
        context = self.certificates.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = self.connect(server.port, context=context)
        self.assertEqual(connection.sock.cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384")

    def test_sessions_are_counted(self):
        server = self.start(ssl_session_cache=True)
        self.speaks(self.connect(server.port))
        connection = self.connect(server.port)
        checks.until(lambda: int(connection.stats()["ssl_new_sessions"]) >= 2, "ssl_new_sessions counts")

    def test_sessions_are_resumed(self):
        server = self.start(ssl_session_cache=True)
        context = self.certificates.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = self.connect(server.port, context=context)
        self.speaks(first)
        raw = servers.socket.create_connection(("127.0.0.1", server.port), servers.READ_TIMEOUT)
        with context.wrap_socket(raw, server_hostname="localhost", session=first.sock.session) as again:
            self.assertTrue(again.session_reused)

    def test_errors_of_handshakes_are_counted(self):
        server = self.start()
        client = self.plain(server.port)
        client.send(b"this is no handshake\r\n")
        client.read_all()
        self.turned_away(server.port, context=ssl.create_default_context())  # does not trust the certificate
        connection = self.connect(server.port)

        def errors():
            stats = connection.stats()
            return int(stats["ssl_handshake_errors"]) + int(stats.get("ssl_proto_errors", 0))

        checks.until(lambda: errors() >= 2, "both are counted")

    def test_an_unfinished_handshake_holds_up_nobody(self):
        server = self.start("-t", "1")
        silent = [self.plain(server.port) for _ in range(20)]
        for client in silent[::2]:
            client.send(b"\x16\x03\x01")
        self.speaks(self.connect(server.port))

    def test_many_connections(self):
        server = self.start()
        context = self.certificates.context()
        connections = [self.connect(server.port, context=context) for _ in range(60)]
        for connection in connections:
            connection.send(b"mn\r\n")
        for connection in connections:
            self.assertEqual(connection.read_line(), b"MN\r\n")

    @checks.since(1, 6, 45, reason="no ssl_proto_errors")
    def test_statistics_names(self):
        server = self.start()
        names = list(self.connect(server.port).stats())
        at = names.index("ssl_handshake_errors")
        self.assertEqual(names[at:at + 3], ["ssl_handshake_errors", "ssl_proto_errors",
                                            "time_since_server_cert_refresh"])

    def test_stop_with_open_sessions(self):
        server = self.start()
        connection = self.connect(server.port)
        self.speaks(connection)
        server.stop()  # raises unless it exits 0


class ClientCertificates(WithCertificates):
    def test_required(self):
        for mode in (2, 3):
            with self.subTest(mode):
                server = self.start(ssl_verify_mode=mode, ssl_ca_cert=self.certificates.path("ca.crt"))
                self.speaks(self.connect(server.port, "client"))
                self.turned_away(server.port, "stranger")
                if mode == 2:
                    self.turned_away(server.port)

    def test_resumed_without_a_session_cache(self):
        # OpenSSL offers tickets all the same, and without a context refuses the clients that return with one.
        server = self.start(ssl_verify_mode=2, ssl_ca_cert=self.certificates.path("ca.crt"))
        context = self.certificates.context(client="client")
        first = self.connect(server.port, context=context)
        self.speaks(first)
        raw = servers.socket.create_connection(("127.0.0.1", server.port), servers.READ_TIMEOUT)
        with servers.Client(context.wrap_socket(raw, server_hostname="localhost", session=first.sock.session)) as again:
            self.speaks(again)

    def test_requested(self):
        server = self.start(ssl_verify_mode=1, ssl_ca_cert=self.certificates.path("ca.crt"))
        self.speaks(self.connect(server.port, "client"))
        self.speaks(self.connect(server.port))
        self.turned_away(server.port, "stranger")

    def test_not_asked_for(self):
        server = self.start()
        self.speaks(self.connect(server.port, "stranger"))


class Listeners(WithCertificates):
    def listeners(self, *names, **suboptions):
        """A server with a listener for each name, a prefix of -l or none; yields the ports."""
        ports = [servers.free_port() for _ in names]
        addresses = ",".join(f"{name + ':' if name else ''}127.0.0.1:{port}" for name, port in zip(names, ports))
        self.enterContext(choosing_ports("-l", addresses, *self.certificates.server_options(**suboptions)))
        return ports

    def test_one_without_tls(self):
        with_tls, without = self.listeners("", "notls")
        self.speaks(self.connect(with_tls))
        self.speaks(self.plain(without))
        self.turned_away(without)

    @checks.since(1, 6, 45, reason="no btls and mtls")
    def test_certificates_for_one_listener_only(self):
        basic, mutual, none = self.listeners("btls", "mtls", "notls", ssl_ca_cert=self.certificates.path("ca.crt"),
                                             ssl_verify_mode=2)
        self.speaks(self.connect(basic))
        self.speaks(self.connect(mutual, "client"))
        self.turned_away(mutual)
        self.turned_away(mutual, "stranger")
        self.speaks(self.plain(none))


class Reload(unittest.TestCase):
    """The files change while it runs."""

    def setUp(self):
        self.certificates = self.enterContext(tls.Certificates())
        tls.require_server(self.certificates.server_options())
        self.server = self.enterContext(
            servers.Server(servers.find_candidate(), self.certificates.server_options()))
        self.before = self.connect()

    def connect(self):
        connection = tls.connect(self.server.port, self.certificates.context())
        self.addCleanup(connection.close)
        return connection

    def names(self):
        """The common name that the server shows now."""
        subject = self.connect().sock.getpeercert()["subject"]
        return dict(pair for part in subject for pair in part)["commonName"]

    def replace(self):
        for end in ("crt", "key"):
            shutil.copy(self.certificates.path(f"other.{end}"), self.certificates.path(f"server.{end}"))

    def test_refresh_certs(self):
        self.assertEqual(self.names(), "server")
        self.replace()
        self.assertEqual(self.names(), "server")
        self.assertEqual(self.before.ask(b"refresh_certs\r\n"), b"OK\r\n")
        self.assertEqual(self.names(), "other")
        self.assertEqual(self.before.ask(b"mn\r\n"), b"MN\r\n")
        self.assertLess(int(self.before.stats()["time_since_server_cert_refresh"]), 30)

    def test_refresh_certs_with_a_bad_file(self):
        with open(self.certificates.path("server.crt"), "w", encoding="ascii") as file:
            file.write("no certificate")
        self.assertNotEqual(self.before.ask(b"refresh_certs\r\n"), b"OK\r\n")
        self.assertEqual(self.names(), "server")

    @checks.since(1, 6, 40, reason="SIGHUP does not reload certificates")
    def test_hup(self):
        self.replace()
        self.server.signal(signal.SIGHUP)
        checks.until(lambda: self.names() == "other", "the new certificate is shown")
        self.assertEqual(self.before.ask(b"mn\r\n"), b"MN\r\n")


class Refused(WithCertificates):
    def test_bad_files(self):
        path = self.certificates.path
        for suboptions, named in (
                ({"ssl_chain_cert": path("missing.crt")}, path("missing.crt")),
                ({"ssl_key": path("missing.key")}, path("missing.key")),
                ({"ssl_key": path("other.key")}, ""),
                ({"ssl_chain_cert": path("extensions")}, path("extensions")),
                ({"ssl_ca_cert": path("missing.crt"), "ssl_verify_mode": 2}, "")):
            with self.subTest(suboptions):
                code, found = failing("-l", "127.0.0.1", "-p", "-1", *self.certificates.server_options(**suboptions))
                self.assertEqual(code, 64, found)
                self.assertIn(named, found)

    def test_refresh_certs_without_tls(self):
        with servers.Server(servers.find_candidate()) as server, server.connect() as client:
            self.assertEqual(client.ask(b"refresh_certs\r\n"), b"Error TLS not enabled\r\n")


if __name__ == "__main__":
    checks.main()
