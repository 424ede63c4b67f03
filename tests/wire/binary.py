"""The memcached binary protocol: packets as bytes, and back, for tests."""

import struct

HEADER = struct.Struct(">BBHBBHIIQ")
REQUEST_MAGIC = 0x80
REPLY_MAGIC = 0x81

OPCODES = {
    "get": 0x00, "set": 0x01, "add": 0x02, "replace": 0x03, "delete": 0x04, "incr": 0x05, "decr": 0x06, "quit": 0x07,
    "flush": 0x08, "getq": 0x09, "noop": 0x0A, "version": 0x0B, "getk": 0x0C, "getkq": 0x0D, "append": 0x0E,
    "prepend": 0x0F, "stat": 0x10, "setq": 0x11, "addq": 0x12, "replaceq": 0x13, "deleteq": 0x14, "incrq": 0x15,
    "decrq": 0x16, "quitq": 0x17, "flushq": 0x18, "appendq": 0x19, "prependq": 0x1A, "verbosity": 0x1B, "touch": 0x1C,
    "gat": 0x1D, "gatq": 0x1E, "sasl_list": 0x20, "sasl_auth": 0x21, "sasl_step": 0x22, "gatk": 0x23, "gatkq": 0x24,
}
NAMES = {code: name for name, code in OPCODES.items()}


def packet(opcode, key=b"", extras=b"", value=b"", opaque=0, cas=0, magic=REQUEST_MAGIC, status=0, datatype=0,
           keylen=None, extlen=None, bodylen=None):
    """One packet. The three lengths are those of the parts unless given otherwise; status is the vbucket in a request."""
    if isinstance(opcode, str):
        opcode = OPCODES[opcode]
    body = extras + key + value
    return HEADER.pack(magic, opcode,
                       len(key) if keylen is None else keylen,
                       len(extras) if extlen is None else extlen,
                       datatype, status,
                       len(body) if bodylen is None else bodylen,
                       opaque, cas) + body


class Reply:
    """One parsed packet."""

    def __init__(self, header, body):
        (self.magic, self.opcode, keylen, extlen, self.datatype, self.status, self.bodylen, self.opaque,
         self.cas) = HEADER.unpack(header)
        self.extras = body[:extlen]
        self.key = body[extlen:extlen + keylen]
        self.value = body[extlen + keylen:]

    def __str__(self):
        parts = [NAMES.get(self.opcode, f"0x{self.opcode:02x}"), f"status=0x{self.status:02x}"]
        if self.magic != REPLY_MAGIC:
            parts.append(f"magic=0x{self.magic:02x}")
        for name in ("extras", "key", "value"):
            data = getattr(self, name)
            if data:
                parts.append(f"{name}={readable(data)}")
        parts += [f"opaque={self.opaque}", f"cas={self.cas}"]
        return " ".join(parts)


def split(data):
    """The packets at the front of `data` and the rest that is not a whole packet."""
    replies = []
    while len(data) >= HEADER.size:
        bodylen = HEADER.unpack_from(data)[6]
        if data[0] != REPLY_MAGIC or len(data) < HEADER.size + bodylen:
            break
        replies.append(Reply(data[:HEADER.size], data[HEADER.size:HEADER.size + bodylen]))
        data = data[HEADER.size + bodylen:]
    return replies, data


def readable(data, limit=200):
    """Bytes for a person: printable ASCII as it is, the rest as escapes, long runs cut."""
    text = repr(bytes(data))[2:-1]
    return text if len(text) <= limit else f"{text[:limit]}...({len(data)} bytes)"
