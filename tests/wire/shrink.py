"""Makes a sequence that fails small: fewer batches, fewer commands, shorter values, no cuts."""

import struct
import time

import binary
from sequence import Batch, Command, Sequence

LENGTHS = (0, 1, 8, 100, 1000, 100_000)


def smallest(subject, fails, seconds):
    """The smallest variant of `subject` found for which fails(sequence) is not None, and what it returned."""
    deadline = time.monotonic() + seconds
    batches, failure = subject.batches, None
    changed = True
    while changed and time.monotonic() < deadline:
        changed = False
        for smaller in _smaller(batches):
            if time.monotonic() > deadline:
                break
            found = fails(Sequence(smaller))
            if found:
                batches, failure, changed = smaller, found, True
                break
    subject = Sequence(batches)
    return subject, failure or fails(subject)


def _smaller(batches):
    """Smaller variants, the boldest first."""
    size = len(batches)
    step = size // 2
    while step >= 1:
        for start in range(0, size, step):
            yield batches[:start] + batches[start + step:]
        step //= 2
    for index, batch in enumerate(batches):
        for commands in _fewer_or_shorter(batch):
            yield batches[:index] + [_with(batch, commands, batch.cut)] + batches[index + 1:]
    for index, batch in enumerate(batches):
        if batch.cut is not None:
            yield batches[:index] + [_with(batch, batch.commands, None)] + batches[index + 1:]


def _fewer_or_shorter(batch):
    commands = batch.commands
    step = len(commands) // 2
    while step >= 1:
        for start in range(0, len(commands), step):
            rest = commands[:start] + commands[start + step:]
            if rest:
                yield rest
        step //= 2
    for index, command in enumerate(commands):
        for shorter in _shorter(command, batch.is_binary):
            yield commands[:index] + [shorter] + commands[index + 1:]


def _with(batch, commands, cut):
    return Batch(batch.connection, batch.is_binary, commands, cut, batch.end)


def _shorter(command, is_binary):
    """The command with a shorter value, where it is a plain one: [header, ..., value with its line end] or a packet."""
    for length in LENGTHS:
        parts = _shorter_packet(command.parts, length) if is_binary else _shorter_text(command.parts, length)
        if parts:
            shorter = Command(*parts)
            shorter.__dict__.update({name: value for name, value in command.__dict__.items() if name != "parts"})
            yield shorter


def _shorter_text(parts, length):
    value = parts[-1]
    if len(parts) < 2 or not isinstance(value, bytes) or len(value) - 2 <= length or not isinstance(parts[0], bytes):
        return None
    number = b" %d" % (len(value) - 2)
    if parts[0].count(number) != 1 or not parts[0].endswith(number):
        return None
    return [parts[0][:-len(number)] + b" %d" % length] + parts[1:-1] + [value[:length] + b"\r\n"]


def _shorter_packet(parts, length):
    first, body = parts[0], parts[-1]
    if not isinstance(first, bytes) or not isinstance(body, bytes) or len(first) < 16:
        return None
    head = first if len(parts) == 1 else first + b"\0" * 8
    _, _, keylen, extlen, _, _, bodylen, _, _ = binary.HEADER.unpack(head[:binary.HEADER.size])
    value_length = bodylen - keylen - extlen
    if value_length <= length or len(body) < value_length:
        return None
    first = first[:8] + struct.pack(">I", bodylen - value_length + length) + first[12:]
    if len(parts) == 1:
        return [first[:len(first) - value_length + length]]
    return [first] + parts[1:-1] + [body[:len(body) - value_length + length]]
