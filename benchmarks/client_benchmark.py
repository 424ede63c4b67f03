#!/usr/bin/python3
"""libcairn beside libmemcached and a bare loop over sockets: the same servers, by turns.

Usage: client_benchmark.py <client_benchmark> <server> [--rounds N] [--seconds S]

<server> is cairnd or memcached; three are started, on the first processor the process may use; the
client runs on the last. Prints, for each load, medians: of operations a second, of the client's CPU
time an operation, of how long a call takes (of 100 keys with mget, mset and late, of 200,000 with huge),
and of how much memory the calls took at the peak; and the ratios to libmemcached's (medians of the
rounds' own ratios).
"""

import argparse
import getpass
import os
import socket
import statistics
import subprocess
import sys
import time

# work, servers, libraries
LOADS = (
    ("get", 1, ("cairn", "libmemcached", "floor")),
    ("set", 1, ("cairn", "libmemcached", "floor")),
    ("mget", 1, ("cairn", "libmemcached", "floor")),
    ("mget", 3, ("cairn", "libmemcached", "floor")),
    ("mset", 1, ("cairn", "floor")),
    ("qset", 1, ("cairn", "libmemcached", "floor")),
    ("threads", 1, ("cairn", "libmemcached", "floor")),
    ("place", 10, ("cairn", "libmemcached")),
    ("late", 3, ("cairn", "libmemcached")),
    ("huge", 1, ("cairn", "libmemcached")),
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(program, processor):
    port = free_port()
    process = subprocess.Popen(
        ["taskset", "-c", str(processor), program, "-l", "127.0.0.1", "-p", str(port), "-U", "0",
         "-m", "512", "-t", "1", "-u", getpass.getuser()])
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, port
        except OSError:
            time.sleep(0.01)
    sys.exit(f"{program} does not listen")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    arguments = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))

    def run(library, work, seconds, ports):
        try:
            line = subprocess.run(
                ["taskset", "-c", str(processors[-1]), arguments.benchmark, library, work,
                 str(seconds)] + [str(port) for port in ports], stdout=subprocess.PIPE, timeout=60)
        except subprocess.TimeoutExpired:
            return None
        if line.returncode != 0:
            return None
        return [None if field == "-" else float(field)
                for field in line.stdout.decode().split()[2:]]

    def median(numbers, form):
        numbers = list(numbers)
        return "" if None in numbers else form % statistics.median(numbers)

    def ratio(mine, theirs, column):
        if mine[0][column] is None:
            return ""
        return "%.2f" % statistics.median(m[column] / t[column] for m, t in zip(mine, theirs))

    started = [start_server(arguments.server, processors[0]) for _ in range(3)]
    try:
        ports = [port for _, port in started]
        for library in ("cairn", "floor"):  # they place keys differently
            for count in (1, 3):
                run(library, "load", 0, ports[:count])
        run("cairn", "load-huge", 0, ports[:1])
        print("%-8s %7s  %-13s %12s %10s %10s %8s %9s %8s" % (
            "load", "servers", "library", "operations/s", "CPU ns/op", "us/call", "peak MB",
            "CPU ratio", "op ratio"))
        for work, count, libraries in LOADS:
            asked = ports[:count] if count <= 3 else list(range(20001, 20001 + count))
            results = {library: [] for library in libraries}
            for _ in range(arguments.rounds):
                for library in libraries:
                    if None not in results[library]:
                        results[library].append(run(library, work, arguments.seconds, asked))
            peer = results.get("libmemcached")
            for library in libraries:
                rounds = results[library]
                if None in rounds:
                    print("%-8s %7d  %-13s not measured" % (work, count, library))
                    continue
                ratios = ("", "")
                if peer and None not in peer:
                    ratios = (ratio(rounds, peer, 1), ratio(rounds, peer, 0))
                columns = [median((r[column] for r in rounds), form)
                           for column, form in enumerate(("%.0f", "%.1f", "%.1f", "%.0f"))]
                print("%-8s %7d  %-13s %12s %10s %10s %8s %9s %8s" % (
                    work, count, library, *columns, *ratios), flush=True)
    finally:
        for process, _ in started:
            process.terminate()
            process.wait()


main()
