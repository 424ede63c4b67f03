#!/usr/bin/python3
"""A client that asks for little has its turn between those who ask for much, on a server with one thread.

    fairness_test.py [--candidate PATH]

Forty clients ask for long answers and read them as fast as they come. Another asks for `stats` again and again: how far
`bytes_written` goes from one answer to the next is what the server wrote to the others first. The least of many counts,
since this process may not get the processor to ask in time.
"""

import argparse
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import servers

GREEDY = 40
KEYS = 64
VALUE_BYTES = 200_000
QUESTIONS = 300
# A turn for each of the forty would be above 10 MB (256 KiB each); two of them, and what else is ready, are far below.
MOST_BETWEEN = 4 << 20


ANSWER_BYTES = KEYS * (len(f"VALUE k00 0 {VALUE_BYTES}\r\n") + VALUE_BYTES + len("\r\n")) + len("END\r\n")


def read_for_ever(client, request, started, stop):
    """One long answer after the other; what they say does not matter here."""
    room = bytearray(1 << 18)
    try:
        while not stop.is_set():
            client.send(request)
            left = ANSWER_BYTES
            while left > 0 and not stop.is_set():
                count = client.sock.recv_into(room)
                if count == 0:
                    return
                left -= count
                started.set()
    except OSError:
        pass  # the server went away, which the main thread finds as well
    finally:
        started.set()


def bytes_written(client):
    client.send(b"stats\r\n")
    rows = client.read_until(b"END\r\n")
    return int(rows.split(b"STAT bytes_written ", 1)[1].split(b"\r\n", 1)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidate")
    candidate = servers.find_candidate(parser.parse_args().candidate)
    with servers.Server(candidate, ["-t", "1", "-m", "256"]) as server:
        with server.connect() as client:
            for i in range(KEYS):
                client.send(b"set k%02d 0 0 %d\r\n" % (i, VALUE_BYTES) + b"x" * VALUE_BYTES + b"\r\n")
                assert client.read_line() == b"STORED\r\n"
        request = b"get " + b" ".join(b"k%02d" % i for i in range(KEYS)) + b"\r\n"
        stop = threading.Event()
        greedy = [server.connect() for _ in range(GREEDY)]
        for client in greedy:
            started = threading.Event()
            threading.Thread(target=read_for_ever, args=(client, request, started, stop), daemon=True).start()
            started.wait(servers.READ_TIMEOUT)
        with server.connect() as client:
            seen = [bytes_written(client) for _ in range(QUESTIONS)]
        stop.set()
        for client in greedy:
            client.sock.shutdown(socket.SHUT_RDWR)  # ends its reader's wait
    between = sorted(after - before for before, after in zip(seen, seen[1:]))
    print(f"written between two answers: least {between[0]}, median {between[len(between) // 2]}, most {between[-1]}")
    if between[-1] < MOST_BETWEEN / 16:
        sys.exit("nobody read long answers meanwhile")
    if between[0] > MOST_BETWEEN:
        sys.exit(f"at least {between[0]} bytes were written to others before each answer; at most {MOST_BETWEEN} wanted")


if __name__ == "__main__":
    main()
