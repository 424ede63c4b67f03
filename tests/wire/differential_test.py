#!/usr/bin/python3
"""Random command sequences against memcached (the oracle) and the server under test (the candidate): replies must be equal.

    differential_test.py [--candidate PATH] [--oracle PATH] [--seed N] [--seconds S] [--replay FILE]

Replies are equal byte for byte after normalise.py (CAS numbers, times, versions) and, where the oracle is older than 1.6.45,
differences.py. After a sequence the command counters of `stats` must be equal, too. A sequence that fails is shrunk and
printed with its seed; --replay runs a printed one again.
"""

import argparse
import base64
import os
import random
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import binary
import differences
import generator
import normalise
import sequence
import servers
import shrink

# One thread and a flat LRU make memcached's padding of numbers a function of the requests alone.
OPTIONS = ["-m", "1024"]
MEMCACHED_OPTIONS = OPTIONS + ["-t", "1", "-o", "no_lru_maintainer"]
SILENCE = 0.4     # seconds after which the oracle is believed to wait for more
PATIENCE = 20.0   # seconds the candidate has where the oracle answered
RESTART_EVERY = 200
FENCE_OPAQUE = 0xFE7CE5ED
COUNTERS = """cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses delete_misses delete_hits
incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large
store_no_memory total_items""".split()


class Subject:
    """A server being driven: its connections, and the CAS numbers it gave."""

    def __init__(self, program, options):
        self.server = servers.Server(program, options)
        self.server.start()
        self.connections = {}
        self.control = None
        self.cas_names = normalise.CasNames()
        self.played = 0
        self.fewest_connections = None

    def begin(self, fresh):
        """An empty cache, no connections, counters at zero."""
        self.end()
        self.played += 1
        if fresh or self.played % RESTART_EVERY == 0 or not self.server.alive():
            self.server.restart()
            self.fewest_connections = None
        self.control = self.server.connect(PATIENCE)
        self.await_the_end_of_others()
        for request, reply in ((b"flush_all\r\n", b"OK\r\n"), (b"stats reset\r\n", b"RESET\r\n")):
            got = self.control.ask(request)
            if got != reply:
                raise servers.ServerError(f"{request!r} answered {got!r}")
        self.cas_names = normalise.CasNames()

    def await_the_end_of_others(self):
        """A connection that was left with requests on it may be served by another thread, later than the next ones."""
        deadline = time.monotonic() + PATIENCE
        while True:
            count = int(self.control.stats()["curr_connections"])
            self.fewest_connections = min(count, self.fewest_connections or count)
            if count == self.fewest_connections:
                return
            if time.monotonic() > deadline:
                raise servers.ServerError(f"{count} connections, {self.fewest_connections} expected")

    def end(self):
        for connection in self.connections.values():
            connection.close()
        self.connections = {}
        if self.control:
            self.control.close()
            self.control = None

    def known_cas(self, keys):
        """The CAS numbers of these keys, by a look that changes nothing (`u`)."""
        result = {}
        for key in sorted(keys):
            encoded = base64.b64encode(key)
            if len(encoded) <= 250:
                reply = self.control.ask(b"mg " + encoded + b" b c u\r\n")
                if reply.startswith(b"HD c"):
                    result[key] = int(reply[4:].split()[0])
        return result

    def counters(self):
        stats = self.control.stats()
        return {name: stats[name] for name in COUNTERS if name in stats}

    def play(self, batch, number, patience):
        """Sends a batch; returns (reply bytes without the fence's, how it ended: "fence", "closed" or "silent")."""
        data = batch.render(self.known_cas(batch.cas_keys()))
        connection = self.connections.get(batch.connection)
        if connection is None:
            connection = self.server.connect(PATIENCE).sock
            connection.setblocking(False)
            self.connections[batch.connection] = connection
        pieces = batch.pieces(data)
        fence = None
        if batch.end == "fence":
            request, fence = _fence(batch.is_binary, number)
            pieces.append(request)
        reply, how = _exchange(connection, pieces, fence, patience, batch.end == "half-close")
        if how == "silent":
            connection.shutdown(socket.SHUT_WR)
            more, _ = _exchange(connection, [], None, PATIENCE, False)
            reply += more
            if fence and reply.endswith(fence):  # it was only slow
                reply = reply[:-len(fence)]
                connection.close()
                del self.connections[batch.connection]
                return reply, "fence"
        if how != "fence":
            connection.close()
            del self.connections[batch.connection]
        return reply, how


def _fence(is_binary, number):
    if is_binary:
        opaque = (FENCE_OPAQUE + number) & 0xFFFFFFFF
        return binary.packet("noop", opaque=opaque), binary.packet("noop", opaque=opaque, magic=binary.REPLY_MAGIC)
    return b"mg fence-%d k\r\n" % number, b"EN kfence-%d\r\n" % number


def _exchange(sock, pieces, fence, patience, half_close):
    """Sends the pieces one by one while reading. Ends at the fence's reply, at the end of the stream, or when nothing has
    happened for `patience` seconds."""
    received = bytearray()
    pieces = [memoryview(piece) for piece in pieces if piece]
    while True:
        readable, writable, _ = select.select([sock], [sock] if pieces else [], [], patience)
        if not readable and not writable:
            return bytes(received), "silent"
        if readable:
            try:
                data = sock.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            if not data:
                return bytes(received), "closed"
            received += data
            if fence and received.endswith(fence):
                return bytes(received[:-len(fence)]), "fence"
        if writable:
            try:
                sent = sock.send(pieces[0])
            except (ConnectionResetError, BrokenPipeError):
                pieces = []
                continue
            pieces[0] = pieces[0][sent:]
            if not pieces[0]:
                pieces.pop(0)
            if not pieces and half_close:
                try:
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass


class Difference(Exception):
    """The two servers answered differently."""

    def __init__(self, number, batch, description):
        super().__init__(description)
        self.number = number
        self.batch = batch


def compare(oracle, candidate, batch, number, translate):
    """Plays one batch on both and raises Difference unless the replies are equal."""
    expected, how = oracle.play(batch, number, SILENCE if batch.end == "fence" else PATIENCE)
    actual, actual_how = candidate.play(batch, number, SILENCE if how == "silent" else PATIENCE)
    name = batch.difference()
    if translate and name:
        expected = differences.translate(name, expected, batch.render({}))
    normal = normalise.packets if batch.is_binary else normalise.text
    expected_list, actual_list = normal(expected, oracle.cas_names), normal(actual, candidate.cas_names)
    if expected_list == actual_list and how == actual_how:
        return
    at = 0
    while at < min(len(expected_list), len(actual_list)) and expected_list[at] == actual_list[at]:
        at += 1
    show = lambda items: "nothing" if at >= len(items) else " ".join(
        binary.readable(item, 200) if isinstance(item, bytes) else str(item) for item in items[at:at + 3])
    raise Difference(number, batch, f"batch {number}, reply item {at + 1}:\n  oracle:    {show(expected_list)}  ({how})\n"
                                    f"  candidate: {show(actual_list)}  ({actual_how})")


def run(oracle, candidate, subject, translate):
    """Plays a sequence on both. Raises Difference."""
    fresh = subject.needs_fresh_servers()
    oracle.begin(fresh)
    candidate.begin(fresh)
    for number, batch in enumerate(subject.batches, 1):
        try:
            compare(oracle, candidate, batch, number, translate)
        except (OSError, servers.Closed, servers.ServerError) as error:
            raise Difference(number, batch, f"batch {number}: {type(error).__name__}: {error}") from None
    if subject.batches and subject.batches[-1].end != "fence":
        return  # whether an unfinished store was counted is nobody's business
    expected, actual = oracle.counters(), candidate.counters()
    if any(batch.is_binary for batch in subject.batches):
        del expected["store_too_large"]  # memcached does not count those of the binary protocol
    changed = [f"{name}: oracle {expected[name]}, candidate {actual.get(name)}" for name in expected
               if expected[name] != actual.get(name)]
    if changed:
        raise Difference(0, None, "counters of stats: " + "; ".join(changed))


def smallest(oracle, candidate, subject, translate, seconds):
    """The smallest sequence found that still differs, and how it does (None if it does not fail again)."""

    def fails(smaller):
        try:
            run(oracle, candidate, smaller, translate)
        except Difference as difference:
            return difference
        return None

    return shrink.smallest(subject, fails, seconds)


def report(subject, difference, seed, index, args, oracle_program, candidate_program):
    print(f"DIFFERENT: seed {seed}, sequence {index}, {subject.command_count()} commands after shrinking\n")
    print(subject.readable())
    print(f"\n{difference}\n")
    folder = os.environ.get("CAIRN_TEST_DIR", ".")
    path = os.path.join(folder, f"difference-{seed}-{index}.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(subject.to_json())
    print(f"run it again: {sys.argv[0]} --oracle {oracle_program} --candidate {candidate_program} --replay {path}")
    print(f"with this in it: {subject.to_json()}\n", flush=True)


def oracle_version(oracle):
    with oracle.server.connect() as client:
        version = client.ask(b"version\r\n").split()[1].decode()
    return tuple(int(part) for part in version.split(".")[:3])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate")
    parser.add_argument("--oracle")
    parser.add_argument("--seed", type=int, help="default: a fresh one, printed")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--sequences", type=int, help="stop after so many instead of after --seconds")
    parser.add_argument("--dialect", type=int, help="45 uses everything 1.6.45 knows; default: what the oracle is")
    parser.add_argument("--replay")
    parser.add_argument("--shrink-seconds", type=float, default=60)
    parser.add_argument("--keep-going", type=int, default=1, help="stop after so many differences")
    args = parser.parse_args()

    oracle_program = servers.find_oracle(args.oracle)
    if not oracle_program:
        print("skipped: no memcached to compare with")
        return servers.SKIPPED
    candidate_program = servers.find_candidate(args.candidate)
    oracle = Subject(oracle_program, MEMCACHED_OPTIONS)
    is_memcached = "memcached" in os.path.basename(candidate_program)
    candidate = Subject(candidate_program, MEMCACHED_OPTIONS if is_memcached else OPTIONS)
    version = oracle_version(oracle)
    translate = version < (1, 6, 45)
    dialect = args.dialect or (18 if translate else 45)
    if translate and version != (1, 6, 18):
        dialect = 17  # neither of the two versions known: see generator.py

    if args.replay:
        with open(args.replay, encoding="utf-8") as file:
            return play_one(oracle, candidate, sequence.Sequence.from_json(file.read()), translate)

    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"oracle {oracle_program} {'.'.join(map(str, version))}, candidate {candidate_program}, seed {seed}", flush=True)
    deadline = time.monotonic() + args.seconds
    index = commands = found = 0
    while (index < args.sequences) if args.sequences else (time.monotonic() < deadline):
        index += 1
        subject = generator.sequence(random.Random(f"{seed}/{index}"), dialect)
        commands += subject.command_count()
        try:
            run(oracle, candidate, subject, translate)
        except Difference as first:
            found += 1
            shrunk, difference = smallest(oracle, candidate, subject, translate, args.shrink_seconds)
            if difference is None:
                shrunk, difference = subject, f"{first}\nIt did not fail again: it depends on timing."
            report(shrunk, difference, seed, index, args, oracle_program, candidate_program)
            if found >= args.keep_going:
                break
    for subject in (oracle, candidate):
        subject.end()
        subject.server.stop()
    print(f"{index} sequences, {commands} commands, {found} differences")
    return 1 if found else 0


def play_one(oracle, candidate, subject, translate):
    print(subject.readable())
    try:
        run(oracle, candidate, subject, translate)
    except Difference as difference:
        print(f"\n{difference}")
        return 1
    print("\nno difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
