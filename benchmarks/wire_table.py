#!/usr/bin/env python3
"""What a request costs the server, against another server of the protocol, in one run.

    benchmarks/wire_table.py build/release/cairnd [memcached] [--rounds=5] [--seconds=3]
                             [--only=loads,latency,workers,unix,tls,idle,slow,calls,instructions]

Servers are pinned to CPU 0 (--server-cpu), the load (build/release/benchmarks/wire_load, or
--load=PROGRAM) to CPU 1 (--load-cpu). Rounds are interleaved: ours, theirs, ours, ... The figures are
medians; the ratio is the median of the rounds' ratios, theirs / ours, with its least and greatest.
Prints a Markdown table a part. What cannot be measured here (no strace, no valgrind, a server
without TLS) is said.
"""
import argparse
import glob
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
SMALL = {"keys": 1_000_000, "value": 100}
LARGE = {"keys": 20_000, "value": 16384}
# name, work, connections, pipeline, what is stored
LOADS = [
    ("get:set 10:1, one at a time", "get10", 50, 1, SMALL),
    ("get:set 10:1, pipeline of 30", "get10", 50, 30, SMALL),
    ("multi-get of 50 keys", "mget", 20, 1, SMALL),
    ("sets, pipeline of 30", "set", 50, 30, SMALL),
    ("binary get:set 10:1, pipeline of 30", "bin10", 50, 30, SMALL),
    ("meta get:set 10:1, pipeline of 30", "mg10", 50, 30, SMALL),
    ("meta sets, pipeline of 30", "ms", 50, 30, SMALL),
    ("get of 16 KiB, one at a time", "get", 20, 1, LARGE),
]
ONE_AT_A_TIME, PIPELINED = LOADS[0], LOADS[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """Listens on a free TCP port; with `unix` on that path instead; with `tls` on `port` with TLS and on `plain` without."""

    def __init__(self, name, program, cpu, options=(), threads=1, prefix=(), clients=12_000, unix=None, tls=False):
        self.name, self.path = name, unix
        self.port = self.plain = 0 if unix else free_port()
        if tls:
            self.plain = free_port()
        listen = ["-l", f"127.0.0.1:{self.port}" + (f",notls:127.0.0.1:{self.plain}" if tls else ""), "-U", "0"]
        command = ["taskset", "-c", cpu, *prefix, program, *(["-s", unix] if unix else listen), "-t", str(threads)]
        command += ["-m", "1024", "-c", str(clients), *(["-u", "root"] if os.getuid() == 0 else []), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self.accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"{' '.join(command)}: it did not start")
            time.sleep(0.05)

    def accepts(self):
        with socket.socket(socket.AF_UNIX if self.path else socket.AF_INET) as probe:
            return probe.connect_ex(self.path or ("127.0.0.1", self.plain)) == 0

    def address(self, plain=False):
        """For the load program."""
        return {"socket": self.path} if self.path else {"port": self.plain if plain else self.port}

    def cpu_us(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / TICK

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Bench:
    def __init__(self, options):
        self.options = options
        self.pair = [("cairnd", options.ours), ("memcached", options.theirs)]

    def load(self, server, work, connections, pipeline, stored, **more):
        """Runs the load program; its figures, and the server's CPU a request in microseconds."""
        arguments = {**server.address(), "work": work, "connections": connections, "pipeline": pipeline,
                     "seconds": self.options.seconds, **stored, **more}
        before = server.cpu_us()
        result = self.run_load(arguments)
        if result["requests"]:
            result["cpu_us"] = (server.cpu_us() - before) / result["requests"]
        return result

    def run_load(self, arguments):
        flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in arguments.items()]
        done = subprocess.run(["taskset", "-c", self.options.load_cpu, self.options.load, *flags], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return json.loads(done.stdout or '{"requests": 0}')

    def fill(self, server, stored):
        self.run_load({**server.address(plain=True), "fill": True, **stored})

    def servers(self, stored=None, unix_in=None, **more):
        servers = []
        try:
            for name, program in self.pair:
                path = os.path.join(unix_in, name) if unix_in else None
                servers.append(Server(name, program, self.options.server_cpu, unix=path, **more))
                if stored:
                    self.fill(servers[-1], stored)
        except RuntimeError:
            for server in servers:
                server.stop()
            raise
        return servers

    def rounds(self, runs):
        """Calls each of `runs` in turn, round after round: a list of results for each."""
        results = [[] for _ in runs]
        for _ in range(self.options.rounds):
            for result, run in zip(results, runs):
                result.append(run())
        return results

    def compare(self, name, runs):
        ours, theirs = self.rounds(runs)
        ratios = [b["cpu_us"] / a["cpu_us"] for a, b in zip(ours, theirs)]
        median = lambda results, field: statistics.median(result[field] for result in results)
        row = [name, f"{median(ours, 'cpu_us'):.2f}", f"{median(theirs, 'cpu_us'):.2f}",
               f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
        for results in (ours, theirs):
            rate = statistics.median(result["requests"] / result["seconds"] for result in results)
            row.append(f"{rate / 1000:.0f} k/s")
        print_row(row)
        return theirs

    # --- the parts ---

    def loads(self):
        print_head(["load", "ours, us", "theirs, us", "theirs / ours", "ours", "theirs"])
        for stored in (SMALL, LARGE):
            servers = self.servers(stored)
            for name, *load in LOADS:
                if load[-1] is stored:
                    self.compare(name, [lambda s=s, load=load: self.load(s, *load) for s in servers])
            for server in servers:
                server.stop()

    def latency(self):
        """At half of what the other server can do, on a fixed schedule. What the machine does to a round is worse than
        either server, so the better quarter of the rounds says more than the median; --rounds=30 --seconds=0.8 is fair."""
        servers = self.servers(SMALL)
        _, *load = ONE_AT_A_TIME
        top = self.load(servers[1], *load)
        rate = int(top["requests"] / top["seconds"] / 2)
        ours, theirs = self.rounds([lambda s=s: self.load(s, *load, rate=rate) for s in servers])
        print_head([f"latency at {rate} requests/s, one at a time", "ours, us", "theirs, us"])
        for field in ("p50_us", "p99_us"):
            for name, part in (("the better quarter of rounds", 4), ("median", 2)):
                print_row([f"{field[:3]}, {name}"] +
                          [f"{sorted(r[field] for r in results)[len(results) // part]:.0f}" for results in (ours, theirs)])
        for server in servers:
            server.stop()

    def workers(self):
        both = f"{self.options.server_cpu},{self.options.load_cpu}"
        servers = [Server("cairnd", self.options.ours, both, threads=threads) for threads in (2, 1)]
        for server in servers:
            self.fill(server, SMALL)
        print_head(["two workers against one", "two, us", "one, us", "one / two", "two", "one"])
        name, *load = PIPELINED
        self.compare(name, [lambda s=s: self.load(s, *load) for s in servers])
        for server in servers:
            server.stop()

    def transport(self, head, servers, **more):
        print_head([head, "ours, us", "theirs, us", "theirs / ours", "ours", "theirs"])
        for name, *load in (ONE_AT_A_TIME, PIPELINED):
            self.compare(name, [lambda s=s, load=load: self.load(s, *load, **more) for s in servers])
        for server in servers:
            server.stop()

    def unix(self):
        with tempfile.TemporaryDirectory() as folder:
            self.transport("over a UNIX socket", self.servers(SMALL, unix_in=folder))

    def tls(self):
        if not shutil.which("openssl"):
            print("\nTLS: not measured, there is no openssl to make a certificate")
            return
        with tempfile.TemporaryDirectory() as folder:
            key, chain = os.path.join(folder, "key"), os.path.join(folder, "chain")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                            "/CN=localhost", "-keyout", key, "-out", chain], check=True, capture_output=True)
            options = ["-Z", "-o", f"ssl_chain_cert={chain},ssl_key={key}"]
            try:
                servers = self.servers(SMALL, options=options, tls=True)
            except RuntimeError as error:
                print(f"\nTLS: not measured: {error}")
                return
            self.transport("over TLS", servers, tls=True)

    def idle(self):
        count = 10_000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count + 100:
            print(f"\nidle connections: not measured, only {hard} descriptors are allowed")
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        print_head([f"{count} idle connections", "MiB"])
        for server in self.servers():
            before = server.rss_kib()
            clients = []
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", server.port))
                client.sendall(b"get a\r\n")
                client.recv(16)
                clients.append(client)
            print_row([server.name, f"{(server.rss_kib() - before) / 1024:.1f}"])
            for client in clients:
                client.close()
            server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def slow(self):
        """50 clients ask for 64 KiB values and read nothing; others go on at a fixed rate."""
        print_head(["50 clients that do not read 64 KiB values", "memory, MiB", "others' p99 before, us", "during, us"])
        for server in self.servers({"keys": 10_000, "value": 100}):
            others = {"keys": 10_000, "value": 100}
            steady = lambda s=server: self.load(s, "get", 10, 1, others, rate=10_000)["p99_us"]
            writer = socket.create_connection(("127.0.0.1", server.port))
            writer.sendall(b"set large 0 0 65536\r\n" + b"x" * 65536 + b"\r\n")
            writer.recv(16)
            before, rss = steady(), server.rss_kib()
            clients = []
            for _ in range(50):
                client = socket.create_connection(("127.0.0.1", server.port))
                client.setblocking(False)
                try:
                    client.sendall(b"get large\r\n" * 2000)
                except BlockingIOError:
                    pass
                clients.append(client)
            during = steady()
            print_row([server.name, f"{(server.rss_kib() - rss) / 1024:.1f}", f"{before:.0f}", f"{during:.0f}"])
            for client in clients:
                client.close()
            server.stop()

    def calls(self):
        if not shutil.which("strace"):
            print("\nsystem calls: not counted, there is no strace")
            return
        print_head(["system calls a request", "ours", "theirs"])
        for name, *load in LOADS:
            row = [name]
            for server in self.servers(load[-1]):
                with tempfile.NamedTemporaryFile("r") as summary:
                    tracer = subprocess.Popen(["strace", "-qq", "-f", "-c", "-U", "name,calls", "-o", summary.name, "-p",
                                               str(server.process.pid)])
                    time.sleep(1)
                    requests = self.load(server, *load, seconds=2)["requests"]
                    tracer.send_signal(signal.SIGINT)
                    tracer.wait()
                    counts = dict(re.findall(r"^(\w+)\s+(\d+)", summary.read(), re.MULTILINE))
                row.append(f"{int(counts['total']) / requests:.2f}")
                server.stop()
            print_row(row)

    def instructions(self):
        """Ours only: memcached refuses to start under valgrind, which does not let it raise its limit of descriptors."""
        if not shutil.which("callgrind_control"):
            print("\ninstructions: not counted, there is no valgrind")
            return
        print_head(["instructions a request (user)", "ours"])
        stored = {"keys": 10_000, "value": 100}
        with tempfile.TemporaryDirectory() as folder:
            prefix = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p"]
            server = Server("cairnd", self.options.ours, self.options.server_cpu, prefix=prefix, clients=500)
            self.fill(server, stored)
            pid = str(server.process.pid)
            for name, work, connections, pipeline, _ in LOADS[:-1]:
                subprocess.run(["callgrind_control", "-z", pid], check=True, capture_output=True)
                requests = self.load(server, work, connections, pipeline, stored)["requests"]
                subprocess.run(["callgrind_control", "-d", pid], check=True, capture_output=True)
                dump = max(glob.glob(f"{folder}/out.{pid}*"), key=os.path.getmtime)
                with open(dump, encoding="utf-8") as file:
                    total = int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.MULTILINE)[1])
                print_row([name, f"{total / requests:.0f}"])
            server.stop()


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def print_head(cells):
    print()
    print_row(cells)
    print_row(["---"] * len(cells))


PARTS = ("loads", "latency", "workers", "unix", "tls", "idle", "slow", "calls", "instructions")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours")
    parser.add_argument("theirs", nargs="?", default="memcached")
    parser.add_argument("--load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--server-cpu", default="0")
    parser.add_argument("--load-cpu", default="1")
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    options.load = options.load or os.path.join(os.path.dirname(options.ours), "benchmarks", "wire_load")
    for part in options.only.split(","):
        if part not in PARTS:
            sys.exit(f"--only: no part '{part}'; there are {', '.join(PARTS)}")
        getattr(Bench(options), part)()


if __name__ == "__main__":
    main()
