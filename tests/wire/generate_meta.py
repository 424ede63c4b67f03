"""Random meta commands: every flag, right and wrong."""

import base64

from sequence import CasRef, Command


def command(context):
    """One command, whole with its value."""
    kinds = [(_mg, 34), (_ms, 30), (_md, 12), (_ma, 14), (_me, 3), (_bad_flags, 5), (_bad_ms, 2)]
    return context.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0](context)


def _flags(context, letters, arguments, most=6):
    """A random choice of flags in random order: `letters` alone, `arguments` a dict of letter to a list of arguments."""
    rng = context.rng
    names = letters + list(arguments)
    chosen = rng.sample(names, rng.randrange(0, min(most, len(names)) + 1))
    result = []
    for name in chosen:
        if name in arguments:
            argument = rng.choice(arguments[name])
            result += [b" " + name.encode()] + (list(argument) if isinstance(argument, tuple) else [argument])
        else:
            extra = b"xyz" if rng.random() < 0.02 else b""
            result.append(b" " + name.encode() + extra)
    return chosen, result


def _key(context, chosen, parts, stores=False, changes=False):
    """The key, and how the command spells it: in base64 now and then. What is stored that way is never changed in place
    (`changes`), so an ms that stores does it with keys of their own and not in the modes A and P."""
    rng = context.rng
    if "b" in chosen or not context.chance(0.2) or stores and (b"A" in parts or b"P" in parts):
        return (key := context.key()), key
    key = rng.choice(context.encoded_keys if stores or not changes and context.chance(0.3) else context.keys)
    place = rng.randrange(len(parts) + 1) if all(isinstance(p, bytes) and p[:1] == b" " for p in parts) else 0
    parts.insert(place, b" b")
    return key, base64.b64encode(key)


OPAQUES = [b"1", b"abc", b"", b"q", b"x" * 31]


def _ttls(context):
    return [b"0", b"1000", b"2000", b"30000"]


def _cas_choices(context):
    """Placeholders filled with the CAS of the command's own key by _bind."""
    return [("cas", 0), ("cas", 0), ("cas", 0), ("cas", -1), ("cas", 1000000)]


def _bind(parts, key):
    """Turns the ("cas", n) placeholders into references to the key's CAS."""
    result = []
    skip = None
    for part in parts:
        if part == "cas":
            skip = True
        elif skip:
            result.append(CasRef(key, part))
            skip = None
        else:
            result.append(part)
    return result


def _end(context):
    return b"\r\n" if context.chance(0.95) else b"\n"


def _mg(context):
    arguments = {"O": OPAQUES, "T": _ttls(context), "N": _ttls(context), "R": [b"0", b"500", b"1500", b"100000"]}
    letters = ["v", "v", "s", "t", "c", "f", "k", "h", "u", "q", "l"]
    if context.dialect >= 45:
        arguments["C"] = _cas_choices(context)
        arguments["E"] = [b"1000000000001", b"1000000000002"]
    if context.chance(0.05):
        arguments.update({"F": [b"1"], "D": [b"1"], "J": [b"1"], "M": [b"A", b"x"] + ([b""] if context.dialect >= 45 else [])})
        letters = letters + ["I"]
    letters = list(dict.fromkeys(letters))
    chosen, parts = _flags(context, letters, arguments, 8)
    key, word = _key(context, chosen, parts)
    return Command(b"mg " + word, *_bind(parts, key), _end(context), reads=[key])


def _ms(context):
    arguments = {"F": [b"0", b"1", b"4294967295"], "T": _ttls(context) + [b"-1", b"2592001"], "O": OPAQUES,
                 "C": _cas_choices(context), "M": [b"E", b"A", b"P", b"R", b"S"] + ([b"Sx"] if context.dialect >= 45 else [])}
    letters = ["k", "q", "I"]
    if context.dialect >= 45:
        letters += ["c", "s"]
        arguments["N"] = _ttls(context)
        arguments["E"] = [b"1000000000001", b"1000000000003"]
    chosen, parts = _flags(context, letters, arguments)
    key, word = _key(context, chosen, parts, stores=True)
    value = context.value()
    length = b"%d" % len(value)
    return Command(b"ms " + word + b" " + length, *_bind(parts, key), _end(context), value + b"\r\n", counts=[key])


def _md(context):
    arguments = {"O": OPAQUES, "T": _ttls(context), "C": _cas_choices(context)}
    letters = ["k", "q", "I"]
    if context.dialect >= 45:
        letters.append("x")
        arguments["E"] = [b"1000000000001", b"1000000000004"]
    chosen, parts = _flags(context, letters, arguments, 4)
    key, word = _key(context, chosen, parts, changes=b" x" in parts)
    return Command(b"md " + word, *_bind(parts, key), _end(context), counts=[key])


def _ma(context):
    numbers = [b"0", b"1", b"7", b"100", b"123456789"]
    # No T: memcached sets it on the item it has just replaced when the number grows.
    arguments = {"O": OPAQUES, "N": _ttls(context), "D": numbers, "J": numbers,
                 "M": [b"I", b"D", b"+", b"-", b"x"], "C": _cas_choices(context)}
    letters = ["v", "t", "c", "k", "q"]
    if context.dialect >= 45:
        arguments["M"].append(b"Dx")
    elif context.chance(0.5):
        letters.remove("q")  # 1.6.18 does not keep quiet when it creates the number
    else:
        del arguments["N"]
    chosen, parts = _flags(context, letters, arguments, 8)
    key, word = _key(context, chosen, parts, changes=True)
    return Command(b"ma " + word, *_bind(parts, key), _end(context), counts=[key])


def _me(context):
    key = context.key()
    difference = "me_exptime" if context.dialect < 45 else None
    return Command(b"me " + key + _end(context), reads=[key], difference=difference)


def _bad_flags(context):
    """Flags that are errors whatever the item is."""
    rng = context.rng
    key = context.key()
    bad = [b"v v", b"T", b"Tx", b"T1x", b"N", b"Nx", b"Rx", b"Cx", b"C-1", b"C18446744073709551616", b"Dx", b"D-1", b"Jx",
           b"y", b"z", b"A", b"_", b"Z9", b"T99999999999999999999", b"b", b"k T1000 k", b"v T v"]
    if context.dialect >= 45:
        bad += [b"!", b"~", b"\x80", b"0", b"9", b"Fx", b"F-1", b"F4294967296", b"T+1", b"T2147483648", b"Tx Dx", b"Fx Jx",
                b"s " * 30, b"b c f h k l s t u v x I E1 F1 T0 L P O R0"]
    flags = rng.choice(bad)
    name = rng.choice([b"mg", b"md", b"ma"])
    spelled = b"Zm9" if flags == b"b" else key
    counts = [key] if name != b"mg" else []
    difference = "md_errors" if name == b"md" else None
    return Command(b" ".join([name, spelled, flags]) + b"\r\n", difference=difference, counts=counts, reads=[key])


def _bad_ms(context):
    rng = context.rng
    if rng.random() < 0.4:
        length = rng.choice([b"x", b"-1", b"S2", b"2147483647", b"2x", b"v"])
        return Command(b"ms a " + length + b"\r\n")
    bad = [b"c c", b"Tx", b"Cx", b"y", b"Mx", b"b", b"Fx"]
    if context.dialect >= 45:
        bad += [b"M", b"!"]
    flags = rng.choice(bad)
    key = b"Zm9" if flags == b"b" else context.key()
    return Command(b"ms " + key + b" 2 " + flags + b"\r\nxx\r\n")
