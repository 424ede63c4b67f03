"""-U: the protocols over datagrams."""

import socket
import struct
import unittest

import binary
import checks
import servers

FRAME = struct.Struct(">HHHH")
MOST = 1400  # bytes of a datagram that the server sends


class Udp(checks.ServerCase):
    server_arguments = {"udp": True}
    QUIET = 0.3  # seconds in which nothing must come

    def setUp(self):
        self.flush()
        self.sock = self.server.udp_socket()
        self.addCleanup(self.sock.close)
        self.number = 0

    def send(self, payload, total=1, sequence=0, reserved=0):
        self.number += 1
        self.sock.send(FRAME.pack(self.number, sequence, total, reserved) + payload)
        return self.number

    def receive(self):
        """One datagram as (request number, sequence, total, payload)."""
        data = self.sock.recv(65536)
        self.assertLessEqual(len(data), MOST)
        number, sequence, total, reserved = FRAME.unpack_from(data)
        self.assertEqual(reserved, 0)
        return number, sequence, total, data[FRAME.size:]

    def message(self):
        """The datagrams of one message, whose order may change on the way, as (request number, payload)."""
        number, sequence, total, payload = self.receive()
        parts = {sequence: payload}
        while len(parts) < total:
            again, sequence, same, payload = self.receive()
            self.assertEqual((again, same), (number, total))
            self.assertNotIn(sequence, parts)
            parts[sequence] = payload
        self.assertEqual(sorted(parts), list(range(total)))
        return number, b"".join(parts[sequence] for sequence in sorted(parts))

    def ask(self, payload):
        number = self.send(payload)
        found, reply = self.message()
        self.assertEqual(found, number)
        return reply

    def collect(self, payload, end):
        """All messages for a request up to the one that ends with `end`: memcached sends several for one request."""
        number = self.send(payload)
        reply = b""
        while not reply.endswith(end):
            found, part = self.message()
            self.assertEqual(found, number)
            reply += part
        return reply

    def silent(self):
        self.sock.settimeout(self.QUIET)
        with self.assertRaises(socket.timeout):
            self.sock.recv(1)
        self.sock.settimeout(servers.READ_TIMEOUT)

    def test_commands(self):
        self.assertEqual(self.ask(b"set a 5 0 3\r\nabc\r\n"), b"STORED\r\n")
        self.assertEqual(self.collect(b"get a\r\n", b"END\r\n"), b"VALUE a 5 3\r\nabc\r\nEND\r\n")
        self.assertEqual(self.ask(b"get missing\r\n"), b"END\r\n")
        self.assertEqual(self.ask(b"append a 0 0 1\r\n!\r\n"), b"STORED\r\n")
        self.assertEqual(self.ask(b"incr a 1\r\n"),
                         b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
        self.assertEqual(self.ask(b"mg a v f\r\n"), b"VA 4 f5\r\nabc!\r\n")
        self.assertEqual(self.ask(b"delete a\r\n"), b"DELETED\r\n")
        self.assertEqual(self.ask(b"nonsense here\r\n"), b"ERROR\r\n")
        self.assertEqual(self.ask(b"mn\r\n"), b"MN\r\n")

    def test_it_is_the_same_store_as_over_tcp(self):
        self.assertEqual(self.ask(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n")
        client = self.client()
        self.assertEqual(client.ask(b"get a\r\n", b"END\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n")
        client.ask(b"set b 0 0 1\r\ny\r\n")
        self.assertEqual(self.collect(b"get b\r\n", b"END\r\n"), b"VALUE b 0 1\r\ny\r\nEND\r\n")

    def test_replies_of_several_datagrams(self):
        client = self.client()
        for size in (1300, 1360, 1380, 1400, 5000, 50000):  # what a socket buffers while we are not reading
            with self.subTest(size):
                body = bytes(number * 7 % 251 for number in range(size))
                client.ask(b"set big 0 0 %d\r\n%s\r\n" % (size, body))
                reply = self.collect(b"get big\r\n", b"END\r\n")
                self.assertEqual(reply, b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (size, body))

    def test_several_keys(self):
        client = self.client()
        for name in (b"a", b"b", b"c"):
            client.ask(b"set %s 0 0 1\r\n%s\r\n" % (name, name))
        reply = self.collect(b"get a missing b c\r\n", b"END\r\n")
        self.assertEqual(reply, b"VALUE a 0 1\r\na\r\nVALUE b 0 1\r\nb\r\nVALUE c 0 1\r\nc\r\nEND\r\n")

    def test_a_large_request(self):
        body = b"v" * 30000
        self.assertEqual(self.ask(b"set large 0 0 %d\r\n%s\r\n" % (len(body), body)), b"STORED\r\n")
        self.assertEqual(self.client().ask(b"get large\r\n", b"END\r\n"),
                         b"VALUE large 0 %d\r\n%s\r\nEND\r\n" % (len(body), body))

    def test_several_commands_in_a_datagram(self):
        number = self.send(b"set a 0 0 1\r\nx\r\nset b 0 0 1\r\ny\r\nmn\r\n")
        reply = b""
        while not reply.endswith(b"MN\r\n"):
            found, part = self.message()
            self.assertEqual(found, number)
            reply += part
        self.assertEqual(reply, b"STORED\r\nSTORED\r\nMN\r\n")

    def test_noreply_is_silent(self):
        self.send(b"set quiet 0 0 1 noreply\r\nx\r\n")
        self.silent()
        self.assertEqual(self.collect(b"get quiet\r\n", b"END\r\n"), b"VALUE quiet 0 1\r\nx\r\nEND\r\n")

    def test_binary(self):
        extras = struct.pack(">II", 9, 0)
        reply, = binary.split(self.ask(binary.packet("set", key=b"bin", extras=extras, value=b"value", opaque=77)))[0]
        self.assertEqual((reply.status, reply.opaque), (0, 77))
        reply, = binary.split(self.ask(binary.packet("get", key=b"bin")))[0]
        self.assertEqual((reply.value, reply.extras), (b"value", struct.pack(">I", 9)))

    def test_bad_frames_are_dropped(self):
        self.sock.send(b"")
        self.sock.send(b"short")
        self.sock.send(FRAME.pack(1, 0, 1, 0))
        self.send(b"mn\r\n", total=2)
        self.silent()
        self.assertEqual(self.ask(b"mn\r\n"), b"MN\r\n")

    @checks.cairnd_only("such a datagram makes its worker's socket deaf")
    def test_half_requests_leave_no_trace(self):
        for half in (b"set a 0 0 100\r\nhalf", b"set a 0 0 10", b"get a", b"watch\r\n", b"\x80", b"\x80\x01\x00",
                     b"quit\r\n", binary.packet("set", key=b"a", extras=b"\0" * 8, value=b"x")[:-1]):
            for _ in range(20):  # every worker gets some
                self.send(half)
        answered = 0
        end = b"MN\r\n"
        for _ in range(50):
            number = self.send(b"mn\r\n")
            while True:  # replies to the halves, if any, come first
                found, part = self.message()
                if found == number:
                    self.assertEqual(part, end)
                    answered += 1
                    break
        self.assertEqual(answered, 50)
        self.assertEqual(self.ask(b"get a\r\n"), b"END\r\n")

    def test_several_clients(self):
        others = [self.server.udp_socket() for _ in range(20)]
        for number, sock in enumerate(others):
            self.addCleanup(sock.close)
            sock.send(FRAME.pack(number, 0, 1, 0) + b"set u%d 0 0 2\r\n%02d\r\n" % (number, number))
        for number, sock in enumerate(others):
            self.assertEqual(sock.recv(1500), FRAME.pack(number, 0, 1, 0) + b"STORED\r\n")
        for number, sock in enumerate(others):
            sock.send(FRAME.pack(number, 0, 1, 0) + b"get u%d\r\n" % number)
        for number, sock in enumerate(others):
            reply = b""
            while not reply.endswith(b"END\r\n"):
                data = sock.recv(1500)
                self.assertEqual(FRAME.unpack_from(data)[0], number)
                reply += data[FRAME.size:]
            self.assertEqual(reply, b"VALUE u%d 0 2\r\n%02d\r\nEND\r\n" % (number, number))

    def test_settings(self):
        self.assertEqual(self.stats(b"settings")["udpport"], str(self.server.udp_port))


class Off(unittest.TestCase):
    def test_by_default(self):
        with servers.Server(servers.find_candidate()) as server, server.connect() as client:
            self.assertEqual(client.stats(b"settings")["udpport"], "0")
            names = [value for name, value in client.stats(b"conns").items() if name.endswith(":addr")]
            self.assertEqual([name for name in names if name.startswith("udp")], [])


if __name__ == "__main__":
    checks.main()
