"""Random packets of the binary protocol."""

import struct

import binary
from sequence import CasRef, Command


def command(context):
    """One packet."""
    kinds = [(_store, 28), (_get, 22), (_arithmetic, 14), (_concat, 10), (_delete, 6), (_touch, 10), (_misc, 6), (_bad, 1)]
    return context.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0](context)


def _packet(context, name, key=b"", extras=b"", value=b"", with_cas=False, **sets):
    """The packet as a Command, with a reference to the key's CAS in its header when wanted."""
    data = binary.packet(name, key, extras, value, opaque=context.rng.randrange(1 << 32))
    if with_cas and context.chance(0.3):
        cas = CasRef(key, context.rng.choice([0, 0, 0, 1000000, -1]), packed=True)
        return Command(data[:16], cas, data[24:], **sets)
    return Command(data, **sets)


def _quiet(context, name):
    return name + "q" if context.chance(0.35) else name


def _exptime(context):
    return context.rng.choice([0, 0, 0, 0, 1000, 2000, 30000, 2592001, 0xFFFFFFFF])


def _store(context):
    name = _quiet(context, context.rng.choice(["set", "set", "set", "add", "replace"]))
    flags = context.rng.choice([0, 0, 0, 1, 0xFFFFFFFF])
    key = context.key()
    return _packet(context, name, key, struct.pack(">II", flags, _exptime(context)), context.value(), with_cas=True,
                   counts=[key])


def _get(context):
    key = context.key()
    return _packet(context, context.rng.choice(["get", "getq", "getk", "getkq"]), key, reads=[key])


def _arithmetic(context):
    rng = context.rng
    numbers = [0, 1, 7, 100, 123456789]
    extras = struct.pack(">QQI", rng.choice(numbers), rng.choice(numbers), rng.choice([0, 1000, 0xFFFFFFFF]))
    key = context.key()
    return _packet(context, _quiet(context, rng.choice(["incr", "decr"])), key, extras, with_cas=True, counts=[key])


def _concat(context):
    key = context.key()
    return _packet(context, _quiet(context, context.rng.choice(["append", "prepend"])), key, b"", context.value(),
                   with_cas=True, counts=[key])


def _delete(context):
    key = context.key()
    return _packet(context, _quiet(context, "delete"), key, with_cas=True, counts=[key])


def _touch(context):
    key = context.key()
    name = context.rng.choice(["touch", "gat", "gatq", "gatk", "gatkq"])
    return _packet(context, name, key, struct.pack(">I", _exptime(context)), reads=[key])


def _misc(context):
    rng = context.rng
    kind = rng.randrange(9)
    if kind == 0:
        delay = context.flush_delay()
        extras = rng.choice([b"", b"\0\0\0\0"]) if delay is None else struct.pack(">I", delay)
        return _packet(context, _quiet(context, "flush"), extras=extras, fresh=delay is not None)
    if kind == 1:
        return _packet(context, "noop")
    if kind == 2:
        return _packet(context, "version")
    if kind == 3:
        return _packet(context, "stat", rng.choice([b"sizes", b"conns", b"nothing", b"reset", b"detail x"]))
    if kind == 4:
        return _packet(context, rng.choice([0x1B, 0x1F, 0x25, 0x30, 0x3C, 0x80, 0xFF]), value=rng.choice([b"", b"body"]))
    if kind == 5:
        return _packet(context, "sasl_list")
    if kind == 6:
        return _packet(context, rng.choice(["sasl_auth", "sasl_step"]), b"PLAIN", value=b"\0user\0pass")
    return _packet(context, "noop")


def _bad(context):
    """A packet that ends the connection."""
    rng = context.rng
    key = context.key()
    kind = rng.randrange(8)
    if kind == 0:
        data = binary.packet("get", b"k" * 251)
    elif kind == 1:
        data = binary.packet(rng.choice(["get", "getk", "delete"]), key, b"1234")
    elif kind == 2:
        data = binary.packet(rng.choice(["set", "addq", "replace"]), key, b"1234", b"value")
    elif kind == 3:
        data = binary.packet(rng.choice(["get", "delete", "append", "touch", "incr"]))
    elif kind == 4:
        data = binary.packet(rng.choice(["noop", "version", "quit"]), value=b"x")
    elif kind == 5:
        data = binary.packet("set", key, b"\0" * 8, bodylen=len(key) + 7)
    elif kind == 6:
        data = binary.packet("noop") + binary.packet("version", magic=rng.choice([0, 0x81, 0x7F, 0x67]))
    else:
        data = binary.packet(rng.choice(["incr", "decrq"]), key, b"\0" * 20, b"x")
    return Command(data, alone=True)


def quit_command(context):
    """Ends the connection."""
    return _packet(context, context.rng.choice(["quit", "quitq"]))


def unfinished(context):
    """A packet without its end."""
    data = binary.packet("set", b"a", b"\0" * 8, b"value" * 10)
    return Command(data[:context.rng.choice([1, 23, 24, 30, 33, 60, len(data) - 1])])
