#!/usr/bin/env python3
"""What the store holds and misses, against another server of the protocol, at the same memory.

    benchmarks/store_table.py build/release/cairnd [memcached] [--replay=PROGRAM --traces=FOLDER]
                              [--only=capacity,misses,...] [--megabytes=16,32,64]

Starts each server itself, on a free port of the loopback, and prints a row a figure: ours, the
other's, and their ratio. What is counted is counted by clients, by reading back, and never taken
from a server's own statistics. `misses` needs a program that replays a trace look-aside (`PROGRAM
HOST PORT TRACE`, and `PROGRAM sim MEGABYTES TRACE` for exact LRU without metadata; both print
"miss_ratio R" or "lru R") and a folder of *.u32 traces; without them it says so and is left out.
"""
import argparse
import glob
import math
import os
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time

MIB = 1 << 20


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb", 1 << 18)

    def ask(self, line):
        self.socket.sendall(line + b"\r\n")
        return self.file.readline().rstrip()

    def set_many(self, items):
        """Sets (key, value, seconds to live) and returns how many were not stored."""
        items = list(items)
        self.socket.sendall(
            b"".join(b"set %s 0 %d %d\r\n%s\r\n" % (k, ttl, len(v), v) for k, v, ttl in items)
        )
        return sum(self.file.readline() != b"STORED\r\n" for _ in items)

    def count_held(self, keys, batch=500):
        held = 0
        for at in range(0, len(keys), batch):
            some = keys[at : at + batch]
            self.socket.sendall(b"".join(b"touch %s 0\r\n" % key for key in some))
            held += sum(self.file.readline() == b"TOUCHED\r\n" for _ in some)
        return held

    def stat(self, name):
        self.socket.sendall(b"stats\r\n")
        found = None
        while (line := self.file.readline()) != b"END\r\n":
            if line.split()[1] == name:
                found = int(line.split()[2])
        return found

    def close(self):
        self.file.close()
        self.socket.close()


class Server:
    """A server on a free port, with idle connections if wanted; ends with its `with` block."""

    def __init__(self, program, megabytes, *options, connections=0):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        user = ["-u", "root"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            [program, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "4"]
            + ["-m", str(megabytes), "-c", "4096", *user, *options],
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            try:
                self.first = Connection(self.port)
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise RuntimeError(f"{program} does not answer")
        self.idle = [Connection(self.port) for _ in range(connections)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in [self.first, *self.idle]:
            connection.close()
        self.process.terminate()
        self.process.wait()

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


class Table:
    def __init__(self, programs):
        self.programs = programs  # ours first

    def row(self, what, figures, bound="", ratio=True):
        cells = [f"{f:12.4g}" if isinstance(f, float) else f"{f:>12}" for f in figures]
        of = f"{figures[0] / figures[1]:8.3f}" if ratio and len(figures) > 1 and figures[1] else ""
        print(f"{what:58}{''.join(cells)}{of:>9}  {bound}", flush=True)

    def measure(self, what, run, bound="", ratio=True):
        """run(program) gives a figure or a list of them; then `what` names each."""
        results = [run(program) for program in self.programs]
        if not isinstance(what, list):
            what, results, bound, ratio = [what], [[r] for r in results], [bound], [ratio]
        for name, figures, b, r in zip(what, zip(*results), bound, ratio):
            self.row(name, figures, b, r)


def numbered(prefix, count, length):
    digits = length - len(prefix)
    return [b"%s%0*d" % (prefix, digits, n) for n in range(count)]


def fill(connection, keys, value, ttl=0, batch=500):
    refused = 0
    for at in range(0, len(keys), batch):
        refused += connection.set_many((key, value, ttl) for key in keys[at : at + batch])
    return refused


def capacity(table, _):
    for key_bytes, value_bytes, must in (20, 32, 1.40), (30, 100, 1.18), (40, 230, 1.22), (
        40,
        1024,
        1.05,
    ):
        keys = numbered(b"k", 256 * MIB // (key_bytes + value_bytes), key_bytes)

        def run(program):
            with Server(program, 256, connections=100) as server:
                refused = fill(server.first, keys, b"v" * value_bytes)
                return server.first.count_held(keys), server.resident_mib(), refused

        name = f"-m 256, key {key_bytes} + value {value_bytes}: "
        table.measure(
            [name + "items held", name + "resident MiB", name + "sets refused"],
            run,
            [f"must be {must} x", "must be 272 or less", ""],
            [True, True, False],
        )


def small_capacity(table, _):
    def run(program):
        keys = numbered(b"k", 64 * MIB // 130, 30)
        with Server(program, 64, connections=100) as server:
            fill(server.first, keys, b"v" * 100)
            return server.first.count_held(keys), server.resident_mib()

    name = "-m 64, key 30 + value 100: "
    table.measure(
        [name + "items held", name + "resident MiB"], run, ["", "must be 80 or less"], [True, True]
    )


def misses(table, options):
    traces = sorted(glob.glob(os.path.join(options.traces or "", "*.u32")))
    if not options.replay or not traces:
        print("misses: left out, for want of --replay and --traces with *.u32 files")
        return
    to_peer, to_lru = [], []
    for trace in traces:
        for megabytes in map(int, options.megabytes.split(",")):

            def run(program):
                with Server(program, megabytes) as server:
                    command = [options.replay, "127.0.0.1", str(server.port), trace]
                    out = subprocess.run(command, capture_output=True, text=True, check=True)
                    return float(re.search(r"miss_ratio (\S+)", out.stdout)[1])

            out = subprocess.run(
                [options.replay, "sim", str(megabytes), trace], capture_output=True, text=True
            )
            lru = float(re.search(r"lru (\S+)", out.stdout)[1])
            figures = [run(program) for program in table.programs]
            to_lru.append(figures[0] / lru)
            if len(figures) > 1:
                to_peer.append(figures[0] / figures[1])
            name = os.path.basename(trace)
            table.row(f"miss ratio, {name} at {megabytes} MiB (exact LRU {lru})", figures)

    def mean(ratios):
        return math.exp(sum(map(math.log, ratios)) / len(ratios))

    if to_peer:
        print(f"  ours / theirs: mean {mean(to_peer):.3f}, must be 0.85; worst {max(to_peer):.3f}, must be 1.00")
    print(f"  ours / exact LRU without metadata: mean {mean(to_lru):.3f}, must be 1.08")


def mixed(table, _):
    """Look-aside with sizes spread evenly over their logarithms, so over memcached's classes."""
    megabytes, requests, batch = 64, 300000, 50
    block = b"v" * 500000

    for most in 8000, 500000:
        for skewed in False, True:
            chance = random.Random(3)
            # Four times the memory, so that a quarter would be held if sizes did not matter.
            sizes, total = [], 0
            while total < 4 * megabytes * MIB:
                sizes.append(int(40 * (most / 40) ** chance.random()))
                total += sizes[-1] + 30
            if skewed:
                weights = [1 / rank**0.9 for rank in range(1, len(sizes) + 1)]
                asked = chance.choices(range(len(sizes)), weights, k=requests)
            else:
                asked = chance.choices(range(len(sizes)), k=requests)

            def run(program):
                hits = 0
                with Server(program, megabytes) as server:
                    connection = server.first
                    for at in range(0, requests, batch):
                        some = list(dict.fromkeys(asked[at : at + batch]))
                        names = {b"mixed:%d" % n: n for n in some}
                        connection.socket.sendall(b"get " + b" ".join(names) + b"\r\n")
                        while (line := connection.file.readline()) != b"END\r\n":
                            _, name, _, size = line.split()
                            connection.file.read(int(size) + 2)
                            del names[name]
                            hits += at >= requests // 2
                        connection.set_many(
                            (name, block[: sizes[n]], 0) for name, n in names.items()
                        )
                return hits / sum(
                    len(set(asked[at : at + batch])) for at in range(requests // 2, requests, batch)
                )

            popularity = "Zipf 0.9" if skewed else "uniform"
            table.measure(
                f"hits, sizes 40 to {most} alike, {popularity}, -m {megabytes}", run, "1 or more"
            )


def shifts(table, _):
    sizes = 100, 4096, 300

    def keys_of(size):
        return numbered(b"s%d:" % size, 64 * MIB // (size + 20), 20)

    def run(program):
        empty = []
        for size in sizes:
            with Server(program, 64) as server:
                fill(server.first, keys_of(size), b"v" * size)
                empty.append(server.first.count_held(keys_of(size)))
        shares = []
        with Server(program, 64) as server:
            refused = 0
            for size, most in zip(sizes, empty):
                refused += fill(server.first, keys_of(size), b"v" * size)
                shares.append(server.first.count_held(keys_of(size)) / most)
        return [*shares[1:], refused]

    table.measure(
        ["100 B then 4 KiB: share of an empty start's", "then 300 B", "  sets refused"],
        run,
        ["must be 0.9", "must be 0.9", ""],
        [False] * 3,
    )


def ttls(table, _):
    """Four times the memory, a quarter of it a second or less, so that what is alive has room."""

    def run(program):
        memory = 64 * MIB
        value = b"v" * 480
        with Server(program, 64) as server:
            lasting = []
            start, written, n = time.monotonic(), 0, 0
            while written < 4 * memory:
                batch = []
                for _ in range(200):
                    key = b"ttl%015d" % n
                    batch.append((key, value, 0 if n % 10 == 0 else 2))
                    if n % 10 == 0:
                        lasting.append(key)
                    n += 1
                    written += len(key) + len(value)
                server.first.set_many(batch)
                ahead = written / (memory * 0.18) - (time.monotonic() - start)
                if ahead > 0:
                    time.sleep(ahead)
            evictions = server.first.stat(b"evictions")
            return server.first.count_held(lasting) / len(lasting), evictions

    table.measure(
        ["90 % live 2 s, 10 % for ever: share of the lasting kept", "  evictions"],
        run,
        ["must be 1", "must be 0 while there is expired memory"],
        [False] * 2,
    )


def writers(table, _):
    """50 writers of 700 KiB beside small values, then a burst of a size never seen."""

    def run(program):
        refused = [0] * 54

        def write(number, port):
            connection = Connection(port)
            value = b"v" * (700 << 10 if number < 50 else 100 + 300 * (number - 50))
            for n in range(20 if number < 50 else 300):
                some = 1 if number < 50 else 200
                refused[number] += connection.set_many(
                    (b"w%d:%d:%d" % (number, n, i), value, 0) for i in range(some)
                )
            connection.close()

        with Server(program, 256) as server:
            fill(server.first, numbered(b"small", 400000, 20), b"v" * 700)
            threads = [
                threading.Thread(target=write, args=(n, server.port)) for n in range(len(refused))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            burst = 0
            for size in 9000, 30000, 250000, 1000000:
                burst += fill(
                    server.first, numbered(b"b%d:" % size, 400, 20), b"v" * size, batch=8
                )
        return sum(refused[:50]), sum(refused[50:]), burst

    table.measure(
        ["50 writers of 700 KiB: sets refused", "  small sets beside: refused", "  new sizes: refused"],
        run,
        ["must be 0"] * 3,
        [False] * 3,
    )


def large(table, _):
    def run(program):
        chance = random.Random(1)
        block = random.Random(2).randbytes(64 * MIB)
        with Server(program, 1024, "-I", "64m") as server:
            written, refused, n, sizes = 0, 0, 0, {}
            while written < 3 << 30:
                size = min(int(1024 * 2 ** chance.uniform(0, 16)), 64 * MIB - 512)
                key = b"large%d" % n
                n += 1
                refused += server.first.set_many([(key, block[:size], 0)])
                written += size
                sizes[key] = size
            held = sum(sizes[key] for key in sizes if server.first.count_held([key]))
            torn = 0
            key = next(k for k in reversed(sizes) if sizes[k] > 32 * MIB)
            server.first.set_many([(key, block[: sizes[key]], 0)])
            reader = Connection(server.port)
            reader.socket.sendall(b"get %s\r\n" % key)
            reader.file.readline()
            server.first.ask(b"delete %s" % key)
            for i in range(40):
                server.first.set_many([(b"over%d" % i, block[: 48 * MIB], 0)])
            torn += reader.file.read(sizes[key]) != block[: sizes[key]]
            reader.close()
        return held / (1 << 30), refused, torn

    table.measure(
        ["1 KiB to 64 MiB at -m 1024: share of memory holding values", "  sets refused",
         "  values torn by their deletion"],
        run,
        ["must be 0.9", "must be 0", "must be 0"],
        [False] * 3,
    )


def budget(table, _):
    """2,000 connections ask for half a megabyte each and read late; then the limit is lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))

    def run(program):
        with Server(program, 256) as server:
            keys = numbered(b"b", 30000, 10)
            fill(server.first, keys, b"v" * 10000)
            request = b"get " + b" ".join(keys[-50:]) + b"\r\n"
            clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2000)]
            for client in clients:
                client.sendall(request)
            time.sleep(2)
            during = server.resident_mib()
            for client in clients:
                tail = b""
                while not tail.endswith(b"END\r\n"):
                    got = client.recv(1 << 20)
                    if not got:
                        break
                    tail = (tail + got)[-8:]
                client.close()
            time.sleep(2)
            after = server.resident_mib()
            server.first.ask(b"cache_memlimit 64")
            lowered = wait_for_rss(server, 64 + 16)
            server.first.ask(b"cache_memlimit 256")
            fill(server.first, keys, b"v" * 10000)
            return during, after, lowered, server.resident_mib()

    table.measure(
        ["-m 256, 2,000 multi-gets of 0.5 MB: resident MiB during", "  after",
         "  cache_memlimit 64: resident MiB", "  cache_memlimit 256 and full again"],
        run,
        ["", "must be 272 or less", "must be 80 or less", "must be 272 or less"],
        [False] * 4,
    )


def wait_for_rss(server, megabytes):
    deadline = time.monotonic() + 20
    while server.resident_mib() > megabytes and time.monotonic() < deadline:
        time.sleep(0.2)
    return server.resident_mib()


PARTS = [capacity, small_capacity, misses, mixed, shifts, ttls, writers, large, budget]


def main():
    names = ", ".join(part.__name__ for part in PARTS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ours")
    parser.add_argument("theirs", nargs="?", help="left out: our figures only")
    parser.add_argument("--replay")
    parser.add_argument("--traces")
    parser.add_argument("--megabytes", default="16,32,64", help="limits for the traces")
    parser.add_argument("--only", default="", help=f"some of {names}")
    options = parser.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    programs = [options.ours] + ([options.theirs] if options.theirs else [])
    print(f"{'':58}{'ours':>12}{'theirs' if options.theirs else '':>12}{'ratio':>9}")
    for part in PARTS:
        if not wanted or part.__name__ in wanted:
            part(Table(programs), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
