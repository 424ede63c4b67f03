#!/usr/bin/python3
"""Plays the transcripts (transcripts/README.md) against a server.

    transcript_test.py [--candidate PATH | --peer PATH] [--case TEXT] [--cut] [--seed N] [file...]

--candidate is cairnd ($CAIRND by default): the `ours:` lines count. --peer is memcached 1.6.45 ($PEER45): the `peer:` lines
count; this proves the expectations. --cut sends each request in pieces (not those of cases marked [whole]).
"""

import argparse
import glob
import os
import random
import re
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import binary
import servers
import transcript

QUIET = 0.15      # seconds in which "nothing arrives"
SETTLE = 0.1
PATIENCE = 10.0   # seconds for a reply
COUNTERS = """cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed delete_misses
delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses
store_too_large store_no_memory auth_cmds auth_errors total_items""".split()


class Mismatch(Exception):
    """The server did not do what the transcript says."""


def readable(data):
    return binary.readable(data, 600)


def pieces(data, rng):
    """`data` cut: short requests byte by byte, long ones at 64 random places."""
    if len(data) <= 200:
        return [data[i:i + 1] for i in range(len(data))]
    places = sorted({0, len(data), *(rng.randrange(1, len(data)) for _ in range(64))})
    return [data[a:b] for a, b in zip(places, places[1:])]


class Player:
    """Plays one case: owns its connections and captured values."""

    def __init__(self, server, folder, rng, variables):
        self.server = server
        self.folder = folder
        self.rng = rng  # None: requests are sent whole
        self.variables = dict(variables)
        self.clients = {}
        self.current = "A"
        self.datagrams = None
        self.counters = None
        self.ended = False

    def client(self):
        if self.current not in self.clients:
            self.clients[self.current] = self.server.connect(PATIENCE)
        return self.clients[self.current]

    def play(self, case):
        if any(step.word == "counters" for step in case.steps):
            self.counters = self.read_counters()
        for step in case.steps:
            try:
                self.step(step)
            except servers.Closed as closed:
                raise Mismatch(f"line {step.line}: {step.word} {step.text}\n  the server closed after "
                               f"{readable(closed.data)}") from None
            except (socket.timeout, TimeoutError):
                raise Mismatch(f"line {step.line}: {step.word} {step.text}\n  nothing (more) arrived, only "
                               f"{readable(self.client().buffer)}") from None
            except (Mismatch, OSError) as error:
                raise Mismatch(f"line {step.line}: {step.word} {step.text}\n  {error}") from None
        self.finish()

    def finish(self):
        for name, client in self.clients.items():
            try:
                client.half_close()
            except OSError:
                pass  # already closed by the server
            try:
                rest = client.read_all()
            except (socket.timeout, TimeoutError):
                raise Mismatch(f"end of case: connection {name} stays open after half-close") from None
            if rest:
                raise Mismatch(f"end of case: connection {name} received more: {readable(rest)}")
        self.close()

    def close(self):
        for client in self.clients.values():
            client.close()
        if self.datagrams:
            self.datagrams.close()

    def step(self, step):
        text = step.text
        actions = {
            ">": lambda: self.send(self.bytes(text) + b"\r\n"),
            ">>": lambda: self.send(self.bytes(text)),
            "<": lambda: self.expect(self.bytes(text) + b"\r\n"),
            "<<": lambda: self.expect(self.bytes(text)),
            "<~": lambda: self.expect_match(text),
            "<*": lambda: self.skip_to(self.bytes(text)),
            "b>": lambda: self.send(self.packet(text)),
            "b<": lambda: self.expect_packet(text),
            "b<*": lambda: self.skip_packets(text),
            "u>": lambda: self.send_datagram(text),
            "u<": lambda: self.expect_datagram(text),
            "u-": self.expect_no_datagram,
            "half-close": lambda: self.client().half_close(),
            "closed": self.expect_closed,
            "silent": self.expect_silence,
            "settle": lambda: time.sleep(SETTLE),
            "@": lambda: setattr(self, "current", text),
            "counters": lambda: self.expect_counters(text),
            "stat": lambda: self.expect_stat(text),
            "signal": lambda: self.server.signal(getattr(__import__("signal"), "SIG" + text)),
            "write": lambda: self.write(text),
            "exit": lambda: self.expect_exit(int(text)),
        }
        actions[step.word]()

    def bytes(self, text):
        return transcript.expand(text, self.variables)

    def send(self, data):
        client = self.client()
        for piece in pieces(data, self.rng) if self.rng else [data]:
            try:
                client.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                return  # the server may close while we still send; what it answered is checked by the next lines

    def expect(self, wanted):
        client = self.client()
        while len(client.buffer) < len(wanted):
            if not wanted.startswith(client.buffer):
                break
            if not client.fill():
                raise servers.Closed(client.take(len(client.buffer)))
        if not client.buffer.startswith(wanted):
            raise Mismatch(f"expected {readable(wanted)}\n  received {readable(client.buffer)}")
        client.take(len(wanted))

    def line(self):
        line = self.client().read_line()
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    def expect_match(self, pattern):
        pattern = re.sub(r"\$\{(\w+)\}", lambda m: re.escape(self.variables[m.group(1)].decode()), pattern)
        line = self.line()
        match = re.fullmatch(pattern.encode(), line)
        if not match:
            raise Mismatch(f"received {readable(line)}")
        self.variables.update(match.groupdict())

    def skip_to(self, wanted):
        while self.line() != wanted:
            pass

    def packet(self, text):
        opcode, _, rest = text.partition(" ")
        opcode = binary.OPCODES[opcode] if opcode in binary.OPCODES else int(opcode, 0)
        parts = {}
        for name, value in transcript.fields(rest).items():
            if name == "vbucket":
                name = "status"
            parts[name] = (self.bytes(value) if name in ("key", "extras", "value")
                           else int(self.bytes(value).decode(), 0))
        return binary.packet(opcode, **parts)

    def read_packet(self):
        header = self.client().read_exactly(binary.HEADER.size)
        if header[0] != binary.REPLY_MAGIC:
            raise Mismatch(f"received {readable(header + self.client().buffer)}")
        bodylen = binary.HEADER.unpack(header)[6]
        return binary.Reply(header, self.client().read_exactly(bodylen))

    def expect_packet(self, text):
        opcode, _, rest = text.partition(" ")
        wanted = {"status": "0", "opaque": "0", "cas": "0", "datatype": "0", "extras": "", "key": "", "value": ""}
        wanted.update(transcript.fields(rest))
        opcode = binary.OPCODES[opcode] if opcode in binary.OPCODES else int(opcode, 0)
        reply = self.read_packet()
        good = reply.opcode == opcode
        for name, value in wanted.items():
            good = good and self.field_matches(value, getattr(reply, name))
        if not good:
            raise Mismatch(f"received {reply}")

    def field_matches(self, wanted, actual):
        if wanted.startswith("~"):
            return re.fullmatch(wanted[1:].encode(), actual, re.S) is not None
        if isinstance(actual, bytes):
            return self.bytes(wanted) == actual
        if wanted == "*":
            return actual != 0
        if wanted.endswith("="):
            self.variables[wanted[:-1]] = str(actual).encode()
            return True
        return int(self.bytes(wanted).decode(), 0) == actual

    def skip_packets(self, opcode):
        while True:
            reply = self.read_packet()
            if reply.opcode != binary.OPCODES[opcode]:
                raise Mismatch(f"received {reply}")
            if not reply.bodylen:
                return

    def udp(self):
        if not self.datagrams:
            self.datagrams = self.server.udp_socket(PATIENCE)
        return self.datagrams

    def send_datagram(self, text):
        parts = transcript.fields(text)
        if "raw" in parts:
            self.udp().send(self.bytes(parts["raw"]))
            return
        head = [int(parts.get(name, default)) for name, default in
                (("id", 0), ("seq", 0), ("total", 1), ("reserved", 0))]
        self.udp().send(struct.pack(">HHHH", *head) + self.bytes(parts.get("data", "")))

    def expect_datagram(self, text):
        parts = transcript.fields(text)
        data = self.udp().recv(65536)
        got = struct.unpack(">HHHH", data[:8])
        want = tuple(int(parts.get(name, default)) for name, default in
                     (("id", 0), ("seq", 0), ("total", 1), ("reserved", 0)))
        body = parts.get("data", "")
        good = got == want and self.field_matches(body, data[8:])
        if not good:
            raise Mismatch(f"received id={got[0]} seq={got[1]} total={got[2]} reserved={got[3]} "
                           f"data={readable(data[8:])}")

    def expect_no_datagram(self):
        self.udp().settimeout(QUIET)
        try:
            data = self.udp().recv(65536)
        except (socket.timeout, TimeoutError):
            return
        finally:
            self.udp().settimeout(PATIENCE)
        raise Mismatch(f"received {readable(data)}")

    def expect_closed(self):
        rest = self.client().read_all()
        if rest:
            raise Mismatch(f"received {readable(rest)}")

    def expect_silence(self):
        client = self.client()
        client.sock.settimeout(QUIET)
        try:
            more = client.buffer or client.fill()
        except (socket.timeout, TimeoutError):
            return
        finally:
            client.sock.settimeout(PATIENCE)
        raise Mismatch(f"received {readable(client.buffer)}" if more else "the server closed")

    def read_counters(self):
        with self.server.connect(PATIENCE) as control:
            stats = control.stats()
        return {name: int(stats[name]) for name in COUNTERS}

    def expect_counters(self, text):
        wanted = dict.fromkeys(COUNTERS, 0)
        for part in text.split():
            name, _, count = part.partition("+")
            if name not in wanted:
                raise Mismatch(f"{name} is not a command counter")
            wanted[name] = int(count)
        now = self.read_counters()
        moved = {name: now[name] - self.counters[name] for name in COUNTERS}
        self.counters = now
        if moved != wanted:
            raise Mismatch("moved: " + " ".join(f"{n}+{v}" for n, v in moved.items() if v))

    def expect_stat(self, text):
        *group, name, value = text.split(" ")
        with self.server.connect(PATIENCE) as control:
            stats = control.stats(" ".join(group).encode())
        if stats.get(name) != self.bytes(value).decode():
            raise Mismatch(f"{name} is {stats.get(name)}")

    def write(self, text):
        name, _, content = text.partition(" ")
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(self.bytes(content))

    def expect_exit(self, code):
        got = self.server.process.wait(PATIENCE)
        self.ended = True
        if got != code:
            raise Mismatch(f"exit code {got}")


class Runner:
    """Plays a file: starts servers, resets between cases, counts."""

    def __init__(self, program, side, cut_seed, only):
        self.program = program
        self.side = side
        self.cut_seed = cut_seed
        self.only = only
        self.played = 0
        self.failed = 0
        self.skipped = []

    def run_file(self, path):
        script = transcript.Transcript(path, self.side)
        with tempfile.TemporaryDirectory(prefix="cairn-test-") as folder:
            self.run_script(script, folder)

    def start(self, script, folder):
        for name, content in script.files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        env = {name: value.replace("$FOLDER", folder) for name, value in script.env.items()}
        server = servers.Server(self.program, [option.replace("$FOLDER", folder) for option in script.options],
                                unix=script.start == "unix", udp=script.start == "udp", env=env)
        server.start()
        return server

    def missing(self, server, script):
        """Why this file cannot be played here, or None."""
        if "debugtime" in script.requires:
            with server.connect(PATIENCE) as client:
                if client.ask(b"debugtime r\r\n") != b"OK\r\n":
                    return "no debugtime"
        return None

    def run_script(self, script, folder):
        try:
            server = self.start(script, folder)
        except servers.ServerError as error:
            if any(requirement != "debugtime" for requirement in script.requires):
                self.skipped.append(f"{script.path}: {str(error).splitlines()[-1]}")
                return
            raise
        try:
            reason = self.missing(server, script)
            if reason:
                self.skipped.append(f"{script.path}: {reason}")
                return
            used = False
            for case in script.cases:
                if self.only and self.only not in case.title:
                    continue
                if used and (script.fresh_each_case or not server.alive()):
                    server.kill()
                    server = self.start(script, folder)
                used = True
                self.run_case(server, script, case, folder)
            if server.alive():
                server.stop()
        finally:
            server.kill()

    def run_case(self, server, script, case, folder):
        if not script.fresh_each_case:
            self.reset(server, script)
        self.played += 1
        rng = None if self.cut_seed is None or case.whole else random.Random(self.cut_seed)
        player = Player(server, folder, rng, {})
        try:
            player.play(case)
            if not player.ended and not server.alive():
                raise Mismatch("the server died")
        except Mismatch as mismatch:
            self.failed += 1
            print(f"{script.path}:{case.line}: {case.title}\n  {mismatch}")
            if not server.alive() and not player.ended:
                print(server.log())
        finally:
            player.close()

    @staticmethod
    def reset(server, script):
        with server.connect(PATIENCE) as control:
            if "debugtime" in script.requires:
                control.ask(b"debugtime r\r\n")
            reply = control.ask(b"flush_all\r\n")
            if reply != b"OK\r\n":
                raise SystemExit(f"{script.path}: flush_all between cases answered {reply!r}: add `# fresh: case`")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate")
    parser.add_argument("--peer", help="prove the expectations against this memcached 1.6.45")
    parser.add_argument("--case", help="only cases whose title contains this")
    parser.add_argument("--cut", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("file", nargs="*")
    args = parser.parse_args()

    here = os.path.dirname(os.path.abspath(__file__))
    files = args.file or sorted(glob.glob(os.path.join(here, "transcripts", "*.txt")))
    if args.peer:
        program, side = args.peer, "peer"
    else:
        program, side = servers.find_candidate(args.candidate), "ours"
    runner = Runner(program, side, args.seed if args.cut else None, args.case)
    for path in files:
        try:
            runner.run_file(path)
        except servers.ServerError as error:
            runner.failed += 1
            print(f"{path}: {error}")
    for reason in runner.skipped:
        print(f"skipped {reason}")
    print(f"{runner.played} cases, {runner.failed} failed, {len(runner.skipped)} files skipped ({program})")
    if not runner.played:
        return servers.SKIPPED if runner.skipped else 1
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
