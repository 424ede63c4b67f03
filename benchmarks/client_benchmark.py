#!/usr/bin/python3
"""libcairn beside libmemcached and a bare loop over sockets: the same servers, by turns.

Usage: client_benchmark.py <client_benchmark> <server> [--rounds N] [--seconds S] [--load LOAD]...

<server> is cairnd or memcached; three are started, on the first processor the process may use; the
client runs on the last. Prints, for each load (or those that are named), medians: of operations a
second, of the client's CPU time an operation, of how long a call takes (of 100 keys with mget, mset and
late, of 200,000 with huge), and of how much memory the calls took at the peak; and the ratios to
libmemcached's (medians of the rounds' own ratios).

herd is 1,000 threads of four processes that ask GetOrCompute for one missing key at the same moment. It
takes 50 ms to compute. Here an operation is what one thread asks for, and a call takes until the last
thread has the value; computations are the most that a round took.
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
    ("herd", 1, ("cairn",)),
)
HERD_PROCESSES = 4
HERD_CALLERS = 1000


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
    parser.add_argument("--load", action="append", choices=sorted({load for load, *_ in LOADS}))
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
                for field in line.stdout.decode().split()[2:]] + [None]

    def run_herd(port):
        herd = [subprocess.Popen(
            ["taskset", "-c", str(processors[-1]), arguments.benchmark, "cairn", "herd", "0", str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(HERD_PROCESSES)]
        try:
            if any(process.stdout.readline() != "ready\n" for process in herd):
                return None
            begin = time.monotonic_ns() + 200_000_000
            for process in herd:
                process.stdin.write(f"bench:herd:{begin} {begin}\n")
                process.stdin.flush()
            lines = [process.communicate(timeout=60)[0].split() for process in herd]
        except (OSError, subprocess.TimeoutExpired):
            return None
        finally:
            for process in herd:
                process.kill()
                process.wait()
        if any(len(line) != 3 for line in lines):
            return None
        computed, cpu_us, took_us = zip(*([float(field) for field in line] for line in lines))
        return [None, sum(cpu_us) * 1000 / HERD_CALLERS, max(took_us), None, sum(computed)]

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
        print("%-8s %7s  %-13s %12s %10s %10s %8s %12s %9s %8s" % (
            "load", "servers", "library", "operations/s", "CPU ns/op", "us/call", "peak MB",
            "computations", "CPU ratio", "op ratio"))
        for work, count, libraries in LOADS:
            if arguments.load and work not in arguments.load:
                continue
            asked = ports[:count] if count <= 3 else list(range(20001, 20001 + count))
            results = {library: [] for library in libraries}
            for _ in range(arguments.rounds):
                for library in libraries:
                    if None not in results[library]:
                        results[library].append(
                            run_herd(ports[0]) if work == "herd"
                            else run(library, work, arguments.seconds, asked))
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
                computed = "%.0f" % max(r[4] for r in rounds) if work == "herd" else ""
                print("%-8s %7d  %-13s %12s %10s %10s %8s %12s %9s %8s" % (
                    work, count, library, *columns, computed, *ratios), flush=True)
    finally:
        for process, _ in started:
            process.terminate()
            process.wait()


main()
