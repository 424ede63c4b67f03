"""Makes the replies of two servers comparable: CAS numbers, times and versions become placeholders.

Nothing else is changed: apart from these every byte counts.
"""

import re

import binary

EXPLICIT_CAS = 10 ** 12  # from here on a CAS was chosen by the client (E flag), and is compared as it is


class CasNames:
    """CAS numbers of one server as #1, #2, ... in the order of their first appearance."""

    def __init__(self):
        self.names = {}

    def name(self, cas):
        if cas == 0 or cas >= EXPLICIT_CAS:
            return str(cas)
        return f"#{self.names.setdefault(cas, len(self.names) + 1)}"


def text(data, cas_names):
    """A transcript of text replies as a list of str and bytes: lines and values."""
    result = []
    while data:
        end = data.find(b"\n")
        if end < 0:
            result.append(data)
            break
        line, data = data[:end + 1], data[end + 1:]
        size = None
        match = re.match(rb"VALUE \S+ \d+ (\d+)(?: (\d+))?\r\n\Z", line) or re.match(rb"VA (\d+)(?: .*)?\r\n\Z", line, re.S)
        if match:
            size = int(match.group(1)) + 2
        result.append(_line(line, cas_names))
        if size is not None:
            result.append(data[:size])
            data = data[size:]
    return result


def _line(line, cas_names):
    if line.startswith(b"VALUE "):
        match = re.fullmatch(rb"(VALUE .* \d+ \d+ )(\d+)(\r\n)", line, re.S)
        # "VALUE key flags bytes cas" has five words, and a key has no space
        if match and len(line.split(b" ")) == 5:
            return match.group(1) + cas_names.name(int(match.group(2))).encode() + match.group(3)
        return line
    if line.startswith(b"VERSION "):
        return b"VERSION <version>\r\n"
    if line.startswith(b"ME "):
        line = re.sub(rb" cas=(\d+)", lambda m: b" cas=" + cas_names.name(int(m.group(1))).encode(), line)
        line = re.sub(rb" la=\d+", b" la=<seconds>", line)
        line = re.sub(rb" exp=(\d+|-\d\d+)", lambda m: b" exp=" + _ttl(m.group(1)), line)
        return re.sub(rb" cls=\d+ size=\d+", b" cls=<n> size=<n>", line)
    if re.match(rb"(HD|VA \d+|EN|NS|EX|NF)( |\r)", line):
        words = line[:-2].split(b" ")
        return b" ".join(words[:1] + [_return_flag(word, cas_names) for word in words[1:]]) + b"\r\n"
    return line


def _return_flag(word, cas_names):
    if re.fullmatch(rb"c\d+", word):
        return b"c" + cas_names.name(int(word[1:])).encode()
    if re.fullmatch(rb"t\d+", word):
        return b"t" + _ttl(word[1:])
    if re.fullmatch(rb"l\d{1,3}", word):
        return b"l<seconds>"
    return word


def _ttl(digits):
    """A remaining TTL, rounded up to whole thousands: the generator's TTLs are, and no sequence lasts that long."""
    value = abs(int(digits))  # 1.6.45 shows times far away as negative
    return b"%d" % (-(-value // 1000) * 1000) if value < 10 ** 8 else b"<far away>"


def packets(data, cas_names):
    """A transcript of binary replies as a list of str, with what is no packet at the end as bytes."""
    replies, rest = binary.split(data)
    result = []
    for reply in replies:
        value = reply.value
        if binary.NAMES.get(reply.opcode) == "version" and not reply.status:
            value = b"<version>"
        result.append((binary.NAMES.get(reply.opcode, hex(reply.opcode)), reply.status, reply.datatype, reply.opaque,
                       cas_names.name(reply.cas), reply.extras, reply.key, value))
    return result + ([rest] if rest else [])
