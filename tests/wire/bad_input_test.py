#!/usr/bin/python3
"""Input nobody should send: the server answers as memcached 1.6.45 does, serves its other clients, and keeps its memory.

    bad_input_test.py [--candidate PATH] [--only TEXT]

After every case another connection is still answered and the process is not larger than it may be. With memcached
1.6.45 as the candidate it passes as well, which proves the expectations.
"""

import argparse
import os
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import binary
import servers

MIB = 1 << 20
# What the cases may add to the resident memory of a server whose cache is full (in a sanitizer's build, which keeps freed
# memory back, more).
GROWTH = (256 if os.environ.get("CAIRN_SANITIZE") else 32) * MIB


def expect(actual, wanted):
    if actual != wanted:
        raise AssertionError(f"expected {binary.readable(wanted)}, received {binary.readable(actual)}")


def expect_closed(client):
    expect(client.read_all(), b"")


def send_until_closed(client, data):
    """The server may close while we still send."""
    try:
        client.send(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


class Cases:
    """Each method that begins with case_ is one kind of bad input."""

    def __init__(self, server):
        self.server = server

    def connect(self):
        return self.server.connect()

    def case_line_without_end(self):
        with self.connect() as client:
            send_until_closed(client, b"x" * MIB)
            expect_closed(client)

    def case_get_line_without_end(self):
        """A get may be long: it is waited for, and forgotten when the client goes."""
        with self.connect() as client:
            client.send(b"get " + b"k" * 200 + b" abcdefg" * (MIB // 8))
            client.half_close()
            expect_closed(client)

    def case_get_line_in_pieces(self):
        """A long one is answered whole, however it comes, and so is what follows it."""
        with self.connect() as client:
            expect(client.ask(b"set piece 0 0 1\r\nv\r\n"), b"STORED\r\n")
            line = b"get piece" + (b" none%d" * 40_000) % tuple(range(40_000)) + b" piece\r\nmn\r\nget piece"
            for at in range(0, len(line), 10_007):
                client.send(line[at : at + 10_007])
            client.send(b"\r\n")
            expect(client.read_line(), b"VALUE piece 0 1\r\n")
            expect(client.read_line(), b"v\r\n")
            expect(client.read_line(), b"VALUE piece 0 1\r\n")
            expect(client.read_line(), b"v\r\n")
            expect(client.read_line(), b"END\r\n")
            expect(client.read_line(), b"MN\r\n")
            expect(client.read_line(), b"VALUE piece 0 1\r\n")
            expect(client.read_line(), b"v\r\n")
            expect(client.read_line(), b"END\r\n")

    def case_lines_without_end_on_many_connections(self):
        clients = [self.connect() for _ in range(50)]
        for client in clients:
            send_until_closed(client, b"y" * 100_000)
        for client in clients:
            expect_closed(client)
            client.close()

    def case_lengths_that_are_none(self):
        with self.connect() as client:
            for length in (b"-1", b"-2147483648", b"4294967295", b"4294967296", b"18446744073709551616", b"99999999999",
                           b"2147483646", b"1e3", b"0x10", b"+1"):
                for line in (b"set a 0 0 %s\r\n", b"append a 0 0 %s\r\n", b"cas a 0 0 %s 1\r\n", b"ms a %s\r\n"):
                    expect(client.ask(line % length), b"CLIENT_ERROR bad command line format\r\n")
            expect(client.ask(b"mn\r\n"), b"MN\r\n")

    def case_largest_length(self):
        """A promise of 2 GiB costs nothing until the bytes come."""
        clients = [self.connect() for _ in range(20)]
        for client in clients:
            client.send(b"set a 0 0 2147483645\r\n" + b"x" * 100_000)
        self.still_serving()
        for client in clients:
            client.half_close()
            expect_closed(client)
            client.close()

    def case_promised_values(self):
        """So does a promise of 1000 values of nearly 1 MiB: none is sent."""
        clients = [self.connect() for _ in range(100)]
        for client in clients:
            client.send(b"set a 0 0 1000000\r\n")
        self.still_serving()
        for client in clients:
            client.close()

    def case_value_longer_than_announced(self):
        with self.connect() as client:
            client.send(b"set a 0 0 10\r\n" + b"x" * 1000 + b"\r\n")
            expect(client.read_line(), b"CLIENT_ERROR bad data chunk\r\n")
            expect(client.read_line(), b"ERROR\r\n")
            expect(client.ask(b"get a\r\n"), b"END\r\n")

    def case_value_far_longer_than_announced(self):
        with self.connect() as client:
            send_until_closed(client, b"set a 0 0 10\r\n" + b"x" * MIB)
            answer = client.read_all()  # memcached closes for the endless line before it sends the error
            if answer:
                expect(answer, b"CLIENT_ERROR bad data chunk\r\n")

    def case_value_larger_than_the_limit(self):
        """Swallowed as it comes, never held."""
        with self.connect() as client:
            client.send(b"set a 0 0 %d\r\n" % (200 * MIB))
            block = b"x" * MIB
            for _ in range(200):
                client.send(block)
            expect(client.ask(b"\r\n"), b"SERVER_ERROR object too large for cache\r\n")
            expect(client.ask(b"mn\r\n"), b"MN\r\n")

    def case_bad_base64(self):
        with self.connect() as client:
            for key in (b"Zm9", b"Z", b"=", b"====", b"Zm9v=", b"-", b"A" * 249):
                expect(client.ask(b"mg %s b\r\n" % key), b"CLIENT_ERROR error decoding key\r\n")
                expect(client.ask(b"md %s b\r\n" % key), b"CLIENT_ERROR error decoding key\r\n")
                expect(client.ask(b"ms %s 2 b\r\nxx\r\n" % key), b"CLIENT_ERROR error decoding key\r\n")
                expect(client.ask(b"ma %s b\r\n" % key), b"CLIENT_ERROR invalid or duplicate flag\r\n")

    def case_nul_bytes(self):
        with self.connect() as client:
            expect(client.ask(b"set \0 0 0 1\r\nx\r\n"), b"STORED\r\n")
            expect(client.ask(b"get \0 \0\0 a\0\r\n", b"END\r\n"), b"VALUE \0 0 1\r\nx\r\nEND\r\n")
            expect(client.ask(b"\0\0\0\0\r\n"), b"ERROR\r\n")
            expect(client.ask(b"incr \0 \0\r\n"), b"CLIENT_ERROR invalid numeric delta argument\r\n")
            expect(client.ask(b"delete \0\r\n"), b"DELETED\r\n")

    def case_twenty_thousand_keys(self):
        with self.connect() as client:
            expect(client.ask(b"set k7 0 0 1\r\nx\r\n"), b"STORED\r\n")
            keys = b" ".join(b"k%d" % i for i in range(20_000))
            expect(client.ask(b"get " + keys + b"\r\n", b"END\r\n"), b"VALUE k7 0 1\r\nx\r\nEND\r\n")
            keys = b" ".join([b"k7"] * 20_000)
            expect(client.ask(b"get " + keys + b"\r\n", b"END\r\n"), b"VALUE k7 0 1\r\nx\r\n" * 20_000 + b"END\r\n")

    def case_a_key_too_long_at_the_end(self):
        with self.connect() as client:
            expect(client.ask(b"set k7 0 0 1\r\nx\r\n"), b"STORED\r\n")
            client.send(b"get " + b"k7 " * 1000 + b"k" * 251 + b"\r\n")
            expect(client.read_line(), b"CLIENT_ERROR bad command line format\r\n")

    def case_bad_magic(self):
        for magic in (0, 0x81, 0x7F, 0xFF):
            with self.connect() as client:
                client.send(binary.packet("noop"))
                client.read_exactly(24)
                client.send(binary.packet("version", magic=magic))
                expect_closed(client)

    def case_wrong_binary_lengths(self):
        cases = [
            (binary.packet("get", b"k" * 251), 4), (binary.packet("get", b"k" * 10_000), 4),
            (binary.packet("get", b"a", bodylen=0), 0x81), (binary.packet("set", b"a", b"\0" * 8, bodylen=8), 0x81),
            (binary.packet("set", b"a", b"\0" * 8, bodylen=0xFFFFFFFF), 4), (binary.packet("noop", value=b"x"), 4),
            (binary.packet("set", b"a", b"\0" * 8, bodylen=(1 << 30) + 1), 4),
            (binary.packet("incr", b"a", b"\0" * 255), 4), (binary.packet("get"), 4),
        ]
        for request, status in cases:
            with self.connect() as client:
                send_until_closed(client, request)
                replies, rest = binary.split(client.read_all())
                expect(rest, b"")
                if [reply.status for reply in replies] != [status]:
                    raise AssertionError(f"{binary.readable(request)}: {[str(reply) for reply in replies]}")

    def case_binary_promises(self):
        """Headers that announce 1 GiB each."""
        clients = [self.connect() for _ in range(50)]
        for client in clients:
            client.send(binary.packet("set", b"a", b"\0" * 8, bodylen=1 << 30))
        self.still_serving()
        for client in clients:
            client.close()

    def case_client_vanishes_in_a_value(self):
        with self.connect() as client:
            expect(client.ask(b"set gone 0 0 3\r\nold\r\n"), b"STORED\r\n")
        for reset in (False, True):
            client = self.connect()
            client.send(b"set gone 0 0 600000\r\n" + b"x" * 300_000)
            if reset:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        self.await_connections_closed()
        with self.connect() as client:
            expect(client.ask(b"get gone\r\n", b"END\r\n"), b"VALUE gone 0 3\r\nold\r\nEND\r\n")

    def case_client_vanishes_before_its_replies(self):
        with self.connect() as client:
            expect(client.ask(b"set big 0 0 500000\r\n" + b"x" * 500_000 + b"\r\n"), b"STORED\r\n")
        for _ in range(20):
            client = self.connect()
            client.send(b"get big big big big\r\n" * 5)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        self.await_connections_closed()

    def case_client_that_never_reads(self):
        """It asks for 4 GiB of replies: the server stops reading from it, and serves the others."""
        with self.connect() as setter:
            expect(setter.ask(b"set big 0 0 1000000\r\n" + b"x" * 1_000_000 + b"\r\n"), b"STORED\r\n")
        greedy = [self.connect() for _ in range(4)]
        request = b"get big\r\n" * 1000
        for client in greedy:
            client.sock.setblocking(False)
        sent = 0
        for _ in range(200):
            _, writable, _ = select.select([], [client.sock for client in greedy], [], 0.05)
            for sock in writable:
                try:
                    sent += sock.send(request)
                except BlockingIOError:
                    pass
            if not writable:
                break
        for _ in range(20):
            self.still_serving()
        self.check_memory()
        for client in greedy:
            client.close()
        self.await_connections_closed()

    def case_slow_client(self):
        """One byte at a time, the others are not kept waiting, and the answer is right."""
        with self.connect() as slow:
            for byte in b"set slow 0 0 5\r\nhello\r\nget slow\r\n":
                slow.send(bytes([byte]))
                self.still_serving()
            expect(slow.read_until(b"END\r\n"), b"STORED\r\nVALUE slow 0 5\r\nhello\r\nEND\r\n")

    def case_slow_binary_client(self):
        with self.connect() as slow:
            for byte in binary.packet("set", b"slow", b"\0" * 8, b"hello") + binary.packet("get", b"slow"):
                slow.send(bytes([byte]))
            replies, rest = binary.split(slow.read_exactly(24 + 24 + 4 + 5))
            expect(rest, b"")
            expect(replies[1].value, b"hello")

    def case_noise(self):
        """Bytes without sense, many of them, on many connections."""
        noise = bytes((i * 7919 + (i >> 8) * 104729) & 0xFF for i in range(65536))
        for start in range(0, 256, 8):
            with self.connect() as client:
                send_until_closed(client, noise[start * 200:start * 200 + 4096])
                try:
                    client.half_close()
                except OSError:
                    pass
                client.read_all()

    def case_many_connections_and_nothing(self):
        clients = [self.connect() for _ in range(300)]
        self.still_serving()
        for client in clients:
            client.close()
        self.await_connections_closed()

    def still_serving(self):
        """Another client is answered."""
        with self.connect() as client:
            expect(client.ask(b"mg neighbour k\r\n"), b"EN kneighbour\r\n")

    def await_connections_closed(self):
        """Until the server has noticed that its clients went."""
        deadline = time.monotonic() + servers.READ_TIMEOUT
        while True:
            with self.connect() as client:
                if int(client.stats()["curr_connections"]) <= 2:
                    return
            if time.monotonic() > deadline:
                raise AssertionError("the server keeps connections whose clients are gone")
            time.sleep(0.01)

    def check_memory(self):
        grown = self.server.rss() - self.base
        if grown > GROWTH:
            raise AssertionError(f"the server grew by {grown // MIB} MiB")

    def warm_up(self):
        """What the server takes once: all of its cache, a buffer in every thread."""
        with self.connect() as filler:
            for number in range(90):
                filler.send(b"set fill%d 0 0 1000000 noreply\r\n" % number + b"x" * 1_000_000 + b"\r\n")
            expect(filler.ask(b"mn\r\n"), b"MN\r\n")
        clients = [self.connect() for _ in range(16)]
        for client in clients:
            for size in (10, 1000, 10_000, 100_000, 1_000_000):
                expect(client.ask(b"set warm%d 0 0 %d\r\n" % (size, size) + b"x" * size + b"\r\n"), b"STORED\r\n")
                client.ask(b"get warm%d\r\n" % size, b"END\r\n")
        for client in clients:
            client.close()
        self.base = self.server.rss()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    failed = 0
    with servers.Server(servers.find_candidate(args.candidate), ["-m", "64", "-c", "1024"]) as server:
        cases = Cases(server)
        cases.warm_up()
        names = [name for name in dir(cases) if name.startswith("case_") and args.only in name]
        for name in names:
            try:
                getattr(cases, name)()
                cases.still_serving()
                cases.check_memory()
            except (AssertionError, OSError, servers.Closed) as error:
                failed += 1
                print(f"{name[5:].replace('_', ' ')}: {type(error).__name__}: {error}")
                if not server.alive():
                    print(server.log())
                    return 1
    print(f"{len(names)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
