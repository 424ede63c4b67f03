"""Random sequences of commands: all three protocols, valid, odd and malformed.

dialect 18 keeps to what memcached 1.6.18 answers like 1.6.45, or in a way that differences.py can translate; dialect 45
uses everything 1.6.45 knows; dialect 17 is 18 without the commands that need a translation, for an oracle of a version between
the two. Times are chosen so that no reply depends on when it was asked: TTLs are 0, gone, or 1000 s
and more.
"""

import generate_binary
import generate_meta
import generate_text
from sequence import Batch, Sequence


# The largest number that is counted with. 1.6.18 looks for a minus sign behind the end of numbers from 2^63 on, and what it
# finds there depends on what its memory held before; wrapping around is in the transcripts.
BIG_NUMBER = b"123456789"


class Context:
    """What the command generators share."""

    def __init__(self, rng, dialect):
        self.rng = rng
        self.dialect = dialect
        self.flushed = False
        long_key = bytes(rng.choice(b"abcdefghij") for _ in range(250))
        self.keys = [b"a", b"b", b"c", b"key:1", b"n", b"m"]
        # Stored with keys in base64; never changed in place, since memcached then forgets how the key was spelled.
        self.encoded_keys = [b"d", b"sp ace", b"\0x"]
        self.rare_keys = [long_key, b"t\tab", b"\x01\x80\xff", b"HTTP/1.1", b"0"]
        if dialect >= 45:
            self.rare_keys += [b"noreply", b"nul\0key", b"\0"]

    def key(self):
        return self.rng.choice(self.keys if self.rng.random() < 0.93 else self.rare_keys)

    def flush_delay(self):
        """None for a flush at once, or seconds. memcached revives flushed items when a delayed flush follows: never that."""
        if self.flushed or not self.chance(0.3):
            self.flushed = True
            return None
        return 1000

    def any_key(self):
        """A key for a command that leaves a value as it is, or replaces it."""
        if self.rng.random() < 0.1:
            return b"d"
        return self.key()

    def chance(self, probability):
        return self.rng.random() < probability

    def exptime(self):
        return self.rng.choice([b"0"] * 6 + [b"1000", b"2000", b"30000", b"-1", b"2592001", b"2147483647"])

    def value(self):
        """A value: mostly short, sometimes a number, rarely large."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.30:
            return rng.choice([b"0", b"1", b"9", b"10", b"99", b"100", b"12345", BIG_NUMBER,
                               b"12345678", b"007", b" 5", b"5 ", b"5 x", b"+7", b"-1", b"1e3", b"0x1", b"12a",
                               b"99999999999999999999", b"18446744073709551616", b"5\n", b"-0"])
        if kind < 0.40:
            return b""
        if kind < 0.85:
            # memcached reads on behind a value of blanks alone when it looks for a number
            return b"w" + bytes(rng.choice(b"abcXYZ019 \r\n\0\xff") for _ in range(rng.randrange(100)))
        if kind < 0.97:
            return bytes([rng.choice(b"pqrs")]) * rng.randrange(100, 9000)
        if kind < 0.985:
            return b"L" * rng.choice([16384, 65536, 100000, 400000, 524288])
        return b"C" * rng.choice([524000, 600000, 700001, 1000000, 1048400, 1048500, 1048514, 1048515, 1048576, 1500000])


def sequence(rng, dialect):
    """One random sequence."""
    context = Context(rng, dialect)
    connections = rng.randrange(1, 4)
    is_binary = [rng.random() < 0.3 for _ in range(connections)]
    size = rng.choice([3, 10, 30, 80])
    commands_left = size
    batches = []
    while commands_left > 0:
        connection = rng.randrange(connections)
        depth = min(commands_left, rng.choice([1, 1, 2, 5, 20, 50]))
        for batch in _batches(context, connection, is_binary[connection], depth):
            batches.append(batch)
        commands_left -= depth
    if rng.random() < 0.3:
        batches.append(_last_batch(context, rng.randrange(connections), is_binary))
    return Sequence(batches)


def _command(context, is_binary):
    command = _any_command(context, is_binary)
    while command.difference and context.dialect < 18:
        command = _any_command(context, is_binary)
    return command


def _any_command(context, is_binary):
    if is_binary:
        return generate_binary.command(context)
    if context.chance(0.45):
        return generate_meta.command(context)
    return generate_text.command(context)


def _batches(context, connection, is_binary, depth):
    """`depth` commands as one batch, or as several where some must travel apart."""
    rng = context.rng
    commands, read = [], set()

    def batch():
        return Batch(connection, is_binary, commands, None if rng.random() < 0.4 else rng.randrange(1 << 30))

    for _ in range(depth):
        command = _command(context, is_binary)
        # A number is changed in place (and padded) only while no unsent reply refers to the item.
        if commands and (command.alone or command.counts & read):
            yield batch()
            commands, read = [], set()
        commands.append(command)
        read |= command.reads
        if command.alone:
            yield batch()
            commands, read = [], set()
    if commands and rng.random() < 0.03:
        commands.append((generate_binary if is_binary else generate_text).quit_command(context))
        yield Batch(connection, is_binary, commands, rng.randrange(1 << 30), "quit")
    elif commands:
        yield batch()


def _last_batch(context, connection, is_binary):
    """The client ends its side, perhaps in the middle of a request."""
    rng = context.rng
    commands = [_command(context, is_binary[connection])]
    if commands[0].difference:
        commands = []
    generate = generate_binary.unfinished if is_binary[connection] else generate_text.unfinished
    if not commands or rng.random() < 0.5:
        commands = [generate(context)]
    return Batch(connection, is_binary[connection], commands, rng.randrange(1 << 30), "half-close")
