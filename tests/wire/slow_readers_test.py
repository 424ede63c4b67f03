#!/usr/bin/python3
"""Clients that ask for much and read nothing cost a bounded amount of memory, and others none of their items.

    slow_readers_test.py [--candidate PATH]

Four hundred of them, and 64 MiB: with a full buffer for each there would be no room left for items.
"""

import argparse
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import servers

SLOW = 400
ITEMS = 20_000
VALUE = b"x" * 1000
MOST_HELD = 24 << 20


def stats(client):
    client.send(b"stats\r\n")
    rows = client.read_until(b"END\r\n").decode().split("\r\n")
    return {row.split(" ")[1]: row.split(" ")[2] for row in rows if row.startswith("STAT ")}


def store(client, prefix, count):
    """How many were stored, of `count` sets in one go."""
    client.send(b"".join(b"set %s%d 0 0 %d\r\n%s\r\n" % (prefix, i, len(VALUE), VALUE) for i in range(count)))
    return sum(client.read_line() == b"STORED\r\n" for _ in range(count))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidate")
    candidate = servers.find_candidate(parser.parse_args().candidate)
    with servers.Server(candidate, ["-t", "2", "-m", "64", "-c", "1024"]) as server, server.connect() as client:
        for begin in range(0, ITEMS, 1000):
            assert store(client, b"old%d:" % begin, 1000) == 1000
        client.send(b"set a 0 0 10000\r\n" + b"y" * 10000 + b"\r\n")
        assert client.read_line() == b"STORED\r\n"
        slow = []
        for _ in range(SLOW):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"get a\r\n" * 1000)
            slow.append(sock)
        until = time.monotonic() + servers.READ_TIMEOUT
        while int(stats(client)["response_obj_count"]) < SLOW:
            assert time.monotonic() < until, "the clients were not slow"
        assert store(client, b"new:", 2000) == 2000, "sets failed"
        now = stats(client)
        print(f"held {now['response_obj_bytes']} bytes, {now['curr_items']} items, {now['evictions']} evictions")
        assert int(now["response_obj_bytes"]) <= MOST_HELD, "too much is held for clients that do not read"
        assert int(now["curr_items"]) == ITEMS + 2001, "items are gone"
        for sock in slow:
            sock.close()


if __name__ == "__main__":
    main()
