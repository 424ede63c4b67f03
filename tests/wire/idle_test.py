#!/usr/bin/python3
"""-o idle_timeout closes who sends no command, and nobody else.

memcached 1.6.45 passes.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks
import servers

# Longer than it takes either server to find out that nobody has said anything for a second.
PAUSE = 4.0
TRICKLE_INTERVAL = 0.3


class Idle(checks.ServerCase):
    options = ["-m", "64", "-o", "idle_timeout=1"]

    def kicks(self):
        return int(self.stats()["idle_kicks"])

    def test_who_says_nothing_is_closed(self):
        client = self.client()
        kicks = self.kicks()
        self.assertEqual(client.read_all(), b"")
        self.assertGreaterEqual(self.kicks(), kicks + 1)

    def test_who_asks_now_and_then_stays(self):
        client = self.client()
        end = time.monotonic() + PAUSE
        while time.monotonic() < end:
            self.assertEqual(client.ask(b"mn\r\n"), b"MN\r\n")
            time.sleep(TRICKLE_INTERVAL)

    def test_bytes_of_an_unfinished_line_are_no_command(self):
        client = self.client()
        client.sock.settimeout(TRICKLE_INTERVAL)
        client.send(b"get ")

        def closed():
            try:
                client.send(b"a")
                return not client.fill()
            except TimeoutError:
                return False
            except OSError:  # it was closed in between
                return True

        checks.until(closed, "the server closes it", deadline=10 * PAUSE)

    def test_a_body_may_pause(self):
        # Waited for in the input, received into the store's memory, and thrown away.
        sizes = {10: b"STORED\r\n", 100_000: b"STORED\r\n", 2_000_000: b"SERVER_ERROR object too large for cache\r\n"}
        clients = {size: self.client() for size in sizes}
        for size, client in clients.items():
            client.send(b"set a 0 0 %d\r\nabc" % size)
        binary = self.client()
        binary.send(b"\x80\x01\x00\x01\x08\x00\x00\x00\x00\x00\x00\x13" + bytes(12) + bytes(8) + b"b" + b"abc")
        time.sleep(PAUSE)
        for size, client in clients.items():
            with self.subTest(size):
                self.assertEqual(client.ask(b"x" * (size - 3) + b"\r\n"), sizes[size])
        binary.send(b"x" * 7)
        self.assertEqual(binary.read_exactly(24)[:8], b"\x81\x01" + bytes(6))

    def test_an_answer_may_be_taken_slowly(self):
        client = self.client()
        value = b"v" * 500_000
        client.ask(b"set v 0 0 %d\r\n%s\r\n" % (len(value), value))
        count = 40  # more than sockets hold
        client.send(b"get" + b" v" * count + b"\r\n")
        time.sleep(PAUSE)
        self.assertEqual(len(client.read_until(b"END\r\n")), count * (len(b"VALUE v 0 500000\r\n") + len(value) + 2) + 5)

    def test_seconds_since_the_last_command_are_told(self):
        client = self.client()
        client.ask(b"mn\r\n")
        port = client.sock.getsockname()[1]
        client.send(b"set a 0 0 10\r\n")

        def seconds():
            client.send(b"x")  # of the body
            conns = self.stats(b"conns")
            fd = next(name.split(":")[0] for name, value in conns.items() if value.endswith(f":{port}"))
            return int(conns[f"{fd}:secs_since_last_cmd"])

        for _ in range(6):
            told = seconds()
            time.sleep(0.5)
        self.assertGreaterEqual(told, 1)


if __name__ == "__main__":
    checks.main()
