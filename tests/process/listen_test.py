"""Listeners: ports, addresses, protocols, tags, UNIX sockets, and the file that says which ports were chosen."""

import os
import socket
import stat
import tempfile
import unittest

import binary
import checks
import servers
from starts import OSERR, choosing_ports, failing


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def connect(port, host="127.0.0.1"):
    return servers.Client(socket.create_connection((host, port), servers.READ_TIMEOUT))


def connect_unix(path):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return servers.Client(sock)


class Speaking(unittest.TestCase):
    def speaks(self, client):
        with client:
            self.assertEqual(client.ask(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n")
            self.assertEqual(client.ask(b"get a\r\n", b"END\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n")

    def refused(self, port, host="127.0.0.1"):
        with self.assertRaises(ConnectionRefusedError):
            connect(port, host)


class Ports(Speaking):
    def test_chosen_ports_are_written(self):
        with choosing_ports("-l", "127.0.0.1", "-p", "-1") as server:
            (kind, port), = server.ports
            self.assertEqual(kind, "TCP INET")
            self.speaks(connect(port))

    @unittest.skipUnless(has_ipv6(), "no IPv6 here")
    def test_every_address_by_default(self):
        with choosing_ports("-p", "-1") as server:
            self.assertEqual({kind for kind, _ in server.ports}, {"TCP INET", "TCP INET6"})
            for kind, port in server.ports:
                self.speaks(connect(port, "::1" if kind.endswith("6") else "127.0.0.1"))

    def test_udp_is_written(self):
        with choosing_ports("-l", "127.0.0.1", "-p", "-1", "-U", "-1") as server:
            kinds = [kind for kind, _ in server.ports]
            self.assertEqual(set(kinds), {"TCP INET", "UDP INET"})

    def test_udp_alone(self):
        port = servers.free_port(socket.SOCK_DGRAM)
        with choosing_ports("-l", "127.0.0.1", "-p", "0", "-U", str(port)) as server:
            self.assertEqual({kind for kind, _ in server.ports}, {"UDP INET"})
            self.refused(port)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(servers.READ_TIMEOUT)
                sock.sendto(b"\0\1\0\0\0\1\0\0version\r\n", ("127.0.0.1", port))
                self.assertTrue(sock.recv(1500)[8:].startswith(b"VERSION "))

    def test_udp_port_without_tcp_port_names_both(self):
        port = servers.free_port()
        with choosing_ports("-l", "127.0.0.1", "-U", str(port)) as server:
            self.assertEqual(set(server.ports), {("TCP INET", port), ("UDP INET", port)})
            self.speaks(connect(port))

    def test_two_addresses(self):
        port = servers.free_port()
        with choosing_ports("-l", "127.0.0.1,127.0.0.2", "-p", str(port)) as server:
            self.assertEqual(server.ports, [("TCP INET", port)] * 2)
            self.speaks(connect(port))
            self.speaks(connect(port, "127.0.0.2"))
            self.refused(port, "127.0.0.3")

    def test_two_ports(self):
        first, second = servers.free_port(), servers.free_port()
        for options in (["-l", f"127.0.0.1:{first},127.0.0.1:{second}"],
                        ["-l", f"127.0.0.1:{first};127.0.0.1:{second}"],
                        ["-l", f"127.0.0.1:{first}", "-l", f"127.0.0.1:{second}"]):
            with self.subTest(options), choosing_ports(*options) as server:
                self.assertEqual(server.ports, [("TCP INET", first), ("TCP INET", second)])
                self.speaks(connect(first))
                self.speaks(connect(second))

    @unittest.skipUnless(has_ipv6(), "no IPv6 here")
    def test_ipv6(self):
        port, other = servers.free_port(), servers.free_port()
        with choosing_ports("-l", f"[::1]:{port},127.0.0.1:{other}") as server:
            self.assertEqual(server.ports, [("TCP INET6", port), ("TCP INET", other)])
            self.speaks(connect(port, "::1"))
            self.speaks(connect(other))
            self.refused(port)
        with choosing_ports("-l", "::1", "-p", str(port)) as server:
            self.assertEqual(server.ports, [("TCP INET6", port)])
            self.speaks(connect(port, "::1"))

    def test_host_name(self):
        port = servers.free_port()
        with choosing_ports("-l", "localhost", "-p", str(port)):
            self.speaks(connect(port))

    def test_one_bad_address_of_several_stops_the_start(self):
        code, found = failing("-l", "127.0.0.1,no.such.host.invalid", "-p", "-1")
        self.assertEqual(code, OSERR)
        self.assertIn("failed to listen on", found)
        self.assertIn("no.such.host.invalid", found)

    def test_statistics_show_them(self):
        port = servers.free_port()
        with choosing_ports("-l", "127.0.0.1,127.0.0.2", "-p", str(port)), connect(port) as client:
            settings = client.stats(b"settings")
            self.assertEqual((settings["tcpport"], settings["inter"]), (str(port), "127.0.0.1,127.0.0.2"))
            addresses = [value for name, value in client.stats(b"conns").items() if name.endswith(":addr")]
            self.assertIn(f"tcp:127.0.0.1:{port}", addresses)
            self.assertIn(f"tcp:127.0.0.2:{port}", addresses)


class Protocols(Speaking):
    NOOP = binary.packet("noop")

    def speaks_binary(self, client):
        with client:
            client.send(self.NOOP)
            reply, = binary.split(client.read_exactly(24))[0]
            self.assertEqual((reply.opcode, reply.status), (binary.OPCODES["noop"], 0))

    def closes(self, client, request, reply=b""):
        with client:
            client.send(request)
            self.assertEqual(client.read_all(), reply)

    def test_all_on_each_by_default(self):
        with servers.Server(servers.find_candidate()) as server:
            self.speaks(server.connect())
            self.speaks_binary(server.connect())

    def test_ascii_only(self):
        with servers.Server(servers.find_candidate(), ["-B", "ascii"]) as server:
            self.speaks(server.connect())
            with server.connect() as client:
                client.send(self.NOOP + b"\r\nversion\r\n")
                self.assertNotEqual(client.read_line()[0], 0x81)
            with server.connect() as client:
                self.assertEqual(client.stats(b"settings")["binding_protocol"], "ascii")

    def test_binary_only(self):
        with servers.Server(servers.find_candidate(), ["-B", "binary"]) as server:
            self.speaks_binary(server.connect())
            self.closes(server.connect(), b"version\r\n" + b"x" * 24)

    def test_protocol_of_each_listener(self):
        text, packets, both = (servers.free_port() for _ in range(3))
        with choosing_ports("-l", f"proto[ascii]:127.0.0.1:{text},proto[binary]:127.0.0.1:{packets},"
                            f"proto[negotiating]:127.0.0.1:{both}") as server:
            self.assertEqual(len(server.ports), 3)
            self.speaks(connect(text))
            self.speaks_binary(connect(packets))
            self.speaks_binary(connect(both))
            self.speaks(connect(both))
            self.closes(connect(packets), b"version\r\n" + b"x" * 24)

    @checks.since(1, 6, 45, reason="no tag_name_ spelling")
    def test_tags(self):
        first, second, third = (servers.free_port() for _ in range(3))
        with choosing_ports("-l", f"tag[app]:127.0.0.1:{first},tag_admin_:127.0.0.1:{second},"
                            f"proto[ascii]:tag[both]:127.0.0.1:{third}"):
            for port in (first, second, third):
                self.speaks(connect(port))


class UnixSocket(Speaking):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="cairn-test-"))
        self.path = os.path.join(self.folder, "socket")

    def start(self, *options):
        server = self.enterContext(servers.Server(servers.find_candidate(), ["-s", self.path, *options], listen=False))
        checks.until(lambda: self.accepts(connect_unix, self.path), "the UNIX socket accepts")
        return server

    def accepts(self, connect_to, address):
        try:
            connect_to(address).close()
            return True
        except OSError:
            return False

    def mode(self):
        return stat.S_IMODE(os.stat(self.path).st_mode)

    def test_mode(self):
        server = self.start()
        self.assertEqual(self.mode(), 0o700)
        self.speaks(connect_unix(self.path))
        with connect_unix(self.path) as client:
            settings = client.stats(b"settings")
            self.assertEqual((settings["domain_socket"], settings["umask"]), (self.path, "700"))
        server.stop()
        for mask in ("777", "0660", "600"):
            with self.subTest(mask):
                server = self.start("-a", mask)
                self.assertEqual(self.mode(), int(mask, 8))
                server.stop()

    def test_a_socket_left_behind_is_replaced(self):
        old = socket.socket(socket.AF_UNIX)
        old.bind(self.path)
        old.close()
        self.start()
        self.speaks(connect_unix(self.path))

    def test_another_file_is_not_replaced(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        code, found = failing("-s", self.path)
        self.assertEqual(code, OSERR, found)
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_alone_it_opens_no_port(self):
        server = self.start()
        with connect_unix(self.path) as client:
            names = [value for name, value in client.stats(b"conns").items() if name.endswith(":addr")]
        self.assertEqual([name for name in names if name.startswith("tcp:")], [])
        self.assertTrue(server.alive())

    def test_with_udp_it_opens_no_tcp_port(self):
        """-U alone means a TCP port too, but not next to -s."""
        port = servers.free_port()
        self.start("-l", "127.0.0.1", "-U", str(port))
        with connect_unix(self.path) as client:
            names = [value for name, value in client.stats(b"conns").items() if name.endswith(":addr")]
        self.assertEqual([name for name in names if name.startswith("tcp:")], [])
        self.refused(port)

    @checks.cairnd_only("-s turns TCP off even when a port is asked for")
    def test_together_with_a_port(self):
        for options in (["-l", "127.0.0.1"], []):
            with self.subTest(options):
                port = servers.free_port()
                server = self.start("-p", str(port), *options)
                checks.until(lambda: self.accepts(connect, port), "the TCP port accepts")
                self.speaks(connect(port))
                self.speaks(connect_unix(self.path))
                with connect(port) as tcp, connect_unix(self.path) as local:
                    tcp.ask(b"set shared 0 0 1\r\ny\r\n")
                    self.assertEqual(local.ask(b"get shared\r\n", b"END\r\n"), b"VALUE shared 0 1\r\ny\r\nEND\r\n")
                server.stop()


if __name__ == "__main__":
    checks.main()
