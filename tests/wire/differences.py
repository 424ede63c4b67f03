"""Where the packaged memcached 1.6.18 answers otherwise than 1.6.45, whose behaviour is ours.

Every entry has a reason and a rule that turns the reply of 1.6.18 into the one 1.6.45 gives. An entry is used only for a
command the generator marked with its name, and that command travels alone, so that the rule sees its reply and no other.

Not generated while 1.6.18 is the oracle, since no rule could tell (the transcripts cover each):
- leading spaces, NUL in keys, lines of two bytes, a lone `-` as a number, numbers with `+` or of 23 digits: 1.6.18 accepted
  what the parser of 1.6.40 rejects, or the other way round;
- more words than a command has: 1.6.18 answered ERROR and did nothing, 1.6.40 ignores them;
- `noreply` as a key, and with a line that is in error: 1.6.18 answered;
- flag bytes outside of 0-9 and A-z, the limit on the number of flags, `M` without an argument or with two letters, bad F;
- flags younger than 1.6.18: E, mg C, md x, ms N, ms s; and ms c, which 1.6.22 corrected;
- `ma` with both N and q: 1.6.18 answered when it created the number;
- `shutdown` and `stats` groups that are the beginning of a word.
Nor with any memcached as the oracle, because it does there what nobody should copy:
- an opaque that is too long: memcached finds out after it did what was asked;
- binary packets of unknown opcodes with a key or extras, touch and gat with a value: it loses track of where packets begin;
- changing in place what was stored with a key in base64: it forgets how the key was spelled;
- `ma` with T: lost when the number grows and the item is replaced;
- counting in values of blanks alone: it reads on behind the value;
- a delayed flush after one at once: it revives what was flushed.
"""

import re

BAD_LINE = b"CLIENT_ERROR bad command line format\r\n"


def _few_tokens(reply, request):
    """1.6.40 answers a known command with too few words like any other bad line."""
    return reply.replace(b"ERROR\r\n", BAD_LINE, 1) if reply.startswith(b"ERROR\r\n") else reply


def _swallow(reply, request):
    """1.6.40 throws the body away when the line was bad but its length good; 1.6.18 read the body as a line."""
    first, _, rest = reply.partition(b"\n")
    return first + b"\n" if rest == b"ERROR\r\n" else reply


def _me_exptime(reply, request):
    """1.6.24 corrected the sign of `me`'s exp."""
    return re.sub(rb" exp=-(\d\d+) ", rb" exp=\1 ", reply)


_ARGUMENT_ERRORS = {b"D": b"CLIENT_ERROR invalid numeric delta value", b"J": b"CLIENT_ERROR invalid numeric initial value"}


def _md_errors(reply, request):
    """1.6.18 had one text for whatever was wrong with md's flags; 1.6.40 names the error as mg and ms do."""
    if reply != b"CLIENT_ERROR invalid or duplicate flag\r\n":
        return reply
    flags = request.rstrip(b"\r\n").split(b" ")[2:]
    letters = [flag[:1] for flag in flags]
    error = b"CLIENT_ERROR bad token in command line format"
    for position, letter in enumerate(letters):
        if letter in letters[:position]:
            error = b"CLIENT_ERROR duplicate flag"
            break
        if letter not in b"bcfhklqstuvxICEFDJMNOPLRT":
            error = b"CLIENT_ERROR invalid flag"
            break
        if letter == b"b":
            error = b"CLIENT_ERROR error decoding key"
        error = _ARGUMENT_ERRORS.get(letter, error)
    return error + b"\r\n"


RULES = {
    "few_tokens": _few_tokens,
    "md_errors": _md_errors,
    "me_exptime": _me_exptime,
    "swallow": _swallow,
}


def translate(name, reply, request):
    """The reply 1.6.45 gives to `request` where 1.6.18 gave `reply`."""
    return RULES[name](reply, request)
