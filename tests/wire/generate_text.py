"""Random commands of the classic text protocol."""

from sequence import CasRef, Command

STORES = [b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend", b"cas"]


def command(context):
    """One command, whole with its value."""
    kinds = [(_storage, 30), (_retrieval, 25), (_arithmetic, 16), (_touch, 5), (_delete, 6), (_flush_all, 2), (_misc, 4),
             (_unknown, 2), (_bad_body, 3), (_bad_line, 6), (_few_tokens, 2), (_long, 1)]
    return context.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0](context)


def _noreply(context):
    return b" noreply" if context.chance(0.12) else b""


def _spaces(context):
    return b" " if context.chance(0.95) else b" " * context.rng.randrange(2, 6)


def _end(context):
    return b"\r\n" if context.chance(0.93) else b"\n"


def _client_flags(context):
    return context.rng.choice([b"0"] * 4 + [b"1", b"42", b"65535", b"4294967295", b"+5", b"007"])


def _header(context, name, key, flags, exptime, length, noreply):
    space = _spaces(context)
    parts = [space.join([name, key, flags, exptime, length])]
    if name == b"cas":
        parts += [b" ", _cas(context, key)]
    return parts + [noreply + _end(context)]


def _cas(context, key):
    kind = context.rng.random()
    if kind < 0.6:
        return CasRef(key)
    if kind < 0.9:
        return CasRef(key, context.rng.choice([-1, 1000000]))
    return context.rng.choice([b"0", b"18446744073709551615"])


def _storage(context):
    key, value = context.key(), context.value()
    name = context.rng.choice(STORES)
    length = b"%d" % len(value)
    if context.chance(0.03):
        length = b"00" + length
    header = _header(context, name, key, _client_flags(context), context.exptime(), length, _noreply(context))
    return Command(*header, value + b"\r\n", counts=[key] if name == b"cas" else [])


def _retrieval(context):
    rng = context.rng
    name = rng.choice([b"get", b"get", b"gets", b"gat", b"gats"])
    keys = [context.any_key() for _ in range(rng.choice([1, 1, 1, 2, 3, 8, 24, 40]))]
    words = [name] + ([context.exptime()] if name.startswith(b"gat") else []) + keys
    space = _spaces(context)
    tail = b" " if context.chance(0.05) else b""
    return Command(space.join(words) + tail + _end(context), reads=keys)


def _arithmetic(context):
    key = context.key()
    deltas = [b"1", b"1", b"2", b"0", b"9", b"100", b"123456789", b"99999999",
              b"18446744073709551616", b"-1", b"x", b"1x", b"0001", b"1.5", b"99999999999999999999999"]
    if context.dialect >= 45:
        deltas += [b"+1", b"00000000000000000000001"]
    words = [context.rng.choice([b"incr", b"incr", b"decr"]), key, context.rng.choice(deltas)]
    return Command(_spaces(context).join(words) + _noreply(context) + _end(context), counts=[key])


def _touch(context):
    key = context.key()
    return Command(b"touch " + key + b" " + context.exptime() + _noreply(context) + _end(context))


def _delete(context):
    key = context.any_key()
    extra = b" 0" if context.chance(0.05) else b""
    return Command(b"delete " + key + extra + _noreply(context) + _end(context))


def _flush_all(context):
    delay = context.flush_delay()
    argument = context.rng.choice([b"", b"", b" 0", b" -1", b" x"]) if delay is None else b" %d" % delay
    return Command(b"flush_all" + argument + _noreply(context) + _end(context), fresh=delay is not None)


def _misc(context):
    return Command(context.rng.choice([b"version", b"mn", b"verbosity 0", b"verbosity 0 noreply", b"stats reset", b"stats foo",
                                       b"stats detail", b"stats detail x", b"stats cachedump 64 1", b"slabs foo",
                                       b"lru_crawler sleep 1000001", b"lru_crawler foo", b"lru foo",
                                       b"cache_memlimit 1"]) + b"\r\n")


def quit_command(context):
    """Ends the connection."""
    return Command(context.rng.choice([b"quit", b"quit now"]) + b"\r\n")


def _unknown(context):
    rng = context.rng
    word = rng.choice([b"foo", b"GET", b"gett", b"xxx", b"sets", b"incrx", b"get\ta", b"\x81\x80abc", b"mz a", b"12345",
                       b"cas\x01", b"Set a 0 0 1", b"mmm"])
    tail = rng.choice([b"", b" a", b" a b c", b" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26"])
    if rng.random() < 0.1:
        return Command(b"GET /index.html HTTP/1.1\r\n", alone=True)
    return Command(word + tail + _end(context))


def _bad_body(context):
    """A value longer or shorter than announced, or ended by LF alone. Travels alone: what follows is read differently."""
    rng = context.rng
    key, value = context.key(), b"v" * rng.randrange(1, 60)
    name = rng.choice(STORES[:-1])
    noreply = _noreply(context)
    kind = rng.randrange(4)
    if kind == 0:
        length, body = len(value), value + b"zzfoo\r\n"
    elif kind == 1:
        length, body = len(value), value + b"zzget a\r\n"
    elif kind == 2:
        length, body = len(value), value + b"xx"
    else:
        length, body = len(value) + rng.randrange(1, 3), value + b"\r\nversion\r\n"
    header = b"%s %s 0 0 %d%s\r\n" % (name, key, length, noreply)
    return Command(header, body, alone=True)


def _bad_line(context):
    """A storage line with a bad number, or a key that is too long."""
    rng = context.rng
    name = rng.choice([b"set", b"add", b"append", b"cas"])
    cas = b" 1" if name == b"cas" else b""
    kind = rng.randrange(6)
    body = rng.choice([b"x", b"xyzzy", b""])
    if kind == 0:  # the length is no length: the body is read as a line
        length = rng.choice([b"-1", b"x", b"2147483647", b"1x"])
        return Command(b"%s a 0 0 %s%s\r\n" % (name, length, cas))
    if kind == 1:
        flags = rng.choice([b"-1", b"x", b"1x", b"5.5"])
        return Command(b"%s a %s 0 %d%s\r\n%s\r\n" % (name, flags, len(body), cas, body), difference="swallow")
    if kind == 2:
        exptime = rng.choice([b"x", b"1x", b"1.5"])
        return Command(b"%s a 0 %s %d%s\r\n%s\r\n" % (name, exptime, len(body), cas, body), difference="swallow")
    if kind == 3:
        return Command(b"%s %s 0 0 %d%s\r\n%s\r\n" % (name, b"k" * 251, len(body), cas, body), difference="swallow")
    if kind == 4:
        number = rng.choice([b"x", b"-1", b"1x"])
        return Command(b"cas a 0 0 %d %s\r\n%s\r\n" % (len(body), number, body), difference="swallow")
    line = rng.choice([b"incr %s 1", b"decr %s 1", b"delete %s", b"touch %s 0", b"mg %s v", b"md %s", b"me %s"])
    return Command(line % (b"k" * 251) + b"\r\n")


def _few_tokens(context):
    line = context.rng.choice([b"get", b"gets", b"gat", b"gats", b"set", b"set a", b"set a 0", b"set a 0 0", b"add a 0 0",
                               b"cas a 0 0", b"delete", b"incr", b"incr a", b"decr a", b"touch", b"touch a", b"verbosity",
                               b"mg", b"ms", b"md", b"ma", b"me", b"ms a"])
    return Command(line + b"\r\n", difference="few_tokens")


def _long(context):
    rng = context.rng
    if rng.random() < 0.5:
        keys = [b"some-key-%d" % i for i in range(rng.choice([200, 1000, 3000]))] + context.keys
        rng.shuffle(keys)
        return Command(b"get " + b" ".join(keys) + b"\r\n", reads=keys)
    return Command(rng.choice([b"z" * 2000, b"z" * 10000, b"get" + b"z" * 3000]) + b"\r\n", alone=True, whole=True)


def unfinished(context):
    """A request without its end."""
    rng = context.rng
    return Command(rng.choice([b"get a", b"set a 0 0 10\r\nabc", b"set a 0 0 3\r\nabc", b"set a 0 0 3\r\nabc\r",
                               b"ms a 5\r\nab", b"version", b"set a 0 0 2000000\r\nabc", b"set a 0 0 600000\r\n" + b"x" * 300000]))
