"""Reads the transcript files (format: transcripts/README.md)."""

import re
import shlex


class Step:
    """One line of a case."""

    def __init__(self, line, word, text):
        self.line = line  # number in the file
        self.word = word  # ">", "<", "closed", ...
        self.text = text


class Case:
    def __init__(self, title, line):
        self.title = title
        self.line = line
        self.whole = title.endswith(" [whole]")
        self.steps = []


class Transcript:
    """A file: its headers and cases, as `side` ("ours" or "peer") must see them."""

    def __init__(self, path, side):
        self.path = path
        self.options = []
        self.files = {}
        self.env = {}
        self.start = ""
        self.fresh_each_case = False
        self.requires = []
        self.cases = []
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    self._read(number, line.rstrip("\n"), side)
                except (ValueError, IndexError) as error:
                    raise SystemExit(f"{path}:{number}: {error}") from None

    def _read(self, number, line, side):
        if line.startswith("#"):
            if not self.cases:
                self._header(line)
            return
        if line.startswith("-- "):
            self.cases.append(Case(line[3:], number))
            return
        if not line.strip():
            return
        for prefix in ("ours: ", "peer: "):
            if line.startswith(prefix):
                if side != prefix[:4]:
                    return
                line = line[len(prefix):]
        word, _, text = line.partition(" ")
        if word not in WORDS:
            raise ValueError(f"unknown line {line!r}")
        self.cases[-1].steps.append(Step(number, word, text))

    def _header(self, line):
        match = re.fullmatch(r"# (options|file|env|start|fresh|requires): (.*)", line)
        if not match:
            return
        name, value = match.groups()
        if name == "options":
            self.options = shlex.split(value)
        elif name == "file":
            file, _, content = value.partition(" ")
            self.files[file] = expand(content, {})
        elif name == "env":
            variable, _, content = value.partition(" ")
            self.env[variable] = content
        elif name == "start":
            self.start = value
        elif name == "fresh":
            self.fresh_each_case = value == "case"
        else:
            self.requires.append(value)


WORDS = {">", ">>", "<", "<<", "<~", "<*", "b>", "b<", "b<*", "u>", "u<", "u-", "half-close", "closed", "silent",
         "settle", "@", "counters", "stat", "signal", "write", "exit"}

_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "s": b" ", "0": b"\0", "\\": b"\\", "{": b"{", "$": b"$"}
_TOKEN = re.compile(r"\\x([0-9a-fA-F]{2})|\\(.)|\{((?:[^{}\\]|\\.)+)\*(\d+)\}|\$\{(\w+)(?:\+(\d+))?\}|([^\\{$]+|.)", re.S)


def expand(text, variables):
    """The bytes a line of a transcript stands for."""
    result = b""
    for match in _TOKEN.finditer(text):
        byte, escape, repeated, count, name, plus, plain = match.groups()
        if byte:
            result += bytes([int(byte, 16)])
        elif escape:
            if escape not in _ESCAPES:
                raise ValueError(f"unknown escape \\{escape}")
            result += _ESCAPES[escape]
        elif repeated:
            result += expand(repeated, variables) * int(count)
        elif name:
            if name not in variables:
                raise ValueError(f"${{{name}}} was not captured")
            value = variables[name]
            result += b"%d" % (int(value) + int(plus)) if plus else value
        elif plain in ("{", "$"):
            raise ValueError(f"write \\{plain} for a literal {plain} (and {{...*n}} does not nest)")
        else:
            result += plain.encode()
    return result


def fields(text):
    """`a=1 b=2` as a dict; values are still unexpanded."""
    result = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not name=value")
        result[name] = value
    return result
