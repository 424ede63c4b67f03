"""What the differential test sends: sequences of batches of commands, as data that can be printed and read again."""

import json
import random
import struct

import binary


NO_CAS = 500_000_000  # stands in for the CAS of a missing item; no server counts that far here


class CasRef:
    """Stands in a request for the CAS number the server at hand gave to an item before the batch, plus `add`.

    `add` is 0, negative or very large: the next numbers may become the item's own within the batch.
    """

    def __init__(self, key, add=0, packed=False):
        self.key = key
        self.add = add
        self.packed = packed  # 8 bytes big endian (binary) or decimal digits (text)

    def render(self, known):
        value = max(0, known.get(self.key, NO_CAS) + self.add)
        return struct.pack(">Q", value) if self.packed else b"%d" % value


class Command:
    """One request.

    parts: bytes and CasRefs. reads / counts: keys whose items it refers to in its reply / changes as numbers (memcached pads
    a number only while no unsent reply refers to the item, see Sequence building). difference: the name of the entry of
    differences.py that explains why the oracle's reply must be translated; such a command travels alone. alone: travels alone
    for another reason. whole: must not be cut. fresh: the sequence needs servers just started.
    """

    def __init__(self, *parts, reads=(), counts=(), difference=None, alone=False, whole=False,
                 fresh=False):
        self.parts = list(parts)
        self.reads = set(reads)
        self.counts = set(counts)
        self.difference = difference
        self.alone = alone or difference is not None
        self.whole = whole
        self.fresh = fresh

    def render(self, known):
        return b"".join(part if isinstance(part, bytes) else part.render(known) for part in self.parts)

    def cas_keys(self):
        return {part.key for part in self.parts if not isinstance(part, bytes)}

    def to_json(self):
        parts = [part.decode("latin-1") if isinstance(part, bytes) else
                 {"cas": part.key.decode("latin-1"), "add": part.add, "packed": part.packed} for part in self.parts]
        return {"parts": _shorten(parts), "difference": self.difference, "whole": self.whole,
                "fresh": self.fresh,
                "reads": sorted(k.decode("latin-1") for k in self.reads),
                "counts": sorted(k.decode("latin-1") for k in self.counts), "alone": self.alone}

    @staticmethod
    def from_json(data):
        parts = [part.encode("latin-1") if isinstance(part, str) else
                 part["run"].encode("latin-1") * part["times"] if "run" in part else
                 CasRef(part["cas"].encode("latin-1"), part["add"], part["packed"]) for part in data["parts"]]
        return Command(*parts, difference=data["difference"], whole=data["whole"], alone=data["alone"],
                       fresh=data["fresh"],
                       reads=[k.encode("latin-1") for k in data["reads"]],
                       counts=[k.encode("latin-1") for k in data["counts"]])

    def readable(self):
        text = "".join(binary.readable(part, 300) if isinstance(part, bytes) else
                       f"<cas of {binary.readable(part.key, 40)}{part.add:+d}>" for part in self.parts)
        first = self.parts[0]
        if isinstance(first, bytes) and len(first) >= 8 and first[0] in (0x80, 0x81):
            text = f"[{binary.NAMES.get(first[1], hex(first[1]))}] {text}"
        return text + (f"   # {self.difference}" if self.difference else "")


def _shorten(parts):
    """Long runs of one byte as {"run": .., "times": ..}, so that a printed sequence stays readable."""
    result = []
    for part in parts:
        if not isinstance(part, str) or len(part) < 2000:
            result.append(part)
            continue
        start = 0
        while start < len(part):
            end = start
            while end < len(part) and part[end] == part[start]:
                end += 1
            if end - start >= 1000:
                result.append({"run": part[start], "times": end - start})
                start = end
                continue
            stop = end
            while stop < len(part) and not part.startswith(part[stop] * 1000, stop):
                stop += 1
            result.append(part[start:stop])
            start = stop
    return result


class Batch:
    """Commands sent at once on one connection, then a fence whose reply marks the end.

    connection: a small number. cut: seed of the places where the bytes are cut into separate sends; None sends them whole.
    end: "fence"; or "half-close", which ends our side of the connection instead; or "quit" when the last command ends it (a
    fence behind it could cost the server's last replies: input it never reads makes its close a reset).
    """

    def __init__(self, connection, is_binary, commands, cut=None, end="fence"):
        self.connection = connection
        self.is_binary = is_binary
        self.commands = commands
        self.cut = cut
        self.end = end

    def render(self, known):
        return b"".join(command.render(known) for command in self.commands)

    def cas_keys(self):
        return set().union(*(command.cas_keys() for command in self.commands))

    def pieces(self, data):
        if self.cut is None or len(data) < 2 or any(command.whole for command in self.commands):
            return [data]
        rng = random.Random(self.cut)
        style = rng.randrange(4)
        if style == 0 and len(data) <= 400:
            return [data[i:i + 1] for i in range(len(data))]
        cuts = rng.randrange(1, 4 if style == 1 else 20)
        places = sorted({0, len(data), *(rng.randrange(1, len(data)) for _ in range(cuts))})
        return [data[a:b] for a, b in zip(places, places[1:])]

    def difference(self):
        return self.commands[0].difference if len(self.commands) == 1 else None

    def to_json(self):
        return {"connection": self.connection, "binary": self.is_binary, "cut": self.cut, "end": self.end,
                "commands": [command.to_json() for command in self.commands]}

    @staticmethod
    def from_json(data):
        return Batch(data["connection"], data["binary"], [Command.from_json(c) for c in data["commands"]],
                     data["cut"], data["end"])


class Sequence:
    """Batches in order."""

    def __init__(self, batches):
        self.batches = batches

    def to_json(self):
        return json.dumps([batch.to_json() for batch in self.batches])

    @staticmethod
    def from_json(text):
        return Sequence([Batch.from_json(batch) for batch in json.loads(text)])

    def readable(self):
        lines = []
        for number, batch in enumerate(self.batches, 1):
            cut = "whole" if batch.cut is None else f"cut {batch.cut}"
            lines.append(f"batch {number}: connection {batch.connection}, {cut}, {batch.end}")
            lines += [f"    {command.readable()}" for command in batch.commands]
        return "\n".join(lines)

    def needs_fresh_servers(self):
        return any(command.fresh for batch in self.batches for command in batch.commands)

    def command_count(self):
        return sum(len(batch.commands) for batch in self.batches)
