#!/usr/bin/python3
"""House rules that a machine can check, and a check of the checks.

Usage: tidy_test.py <root of the source tree>

Every rule is a function from a file (its path from the root and its text) to complaints. Each has
one or more examples below that it must complain about, and ones that it must let pass: a rule that
cannot fail would be worth nothing.
"""

import pathlib
import re
import subprocess
import sys

CODE_FOLDERS = (
    "storage", "protocol", "server", "client", "tests", "benchmarks", "tools", "examples")
CPP_SUFFIXES = (".h", ".cc")
TEXT_SUFFIXES = CPP_SUFFIXES + (
    ".py", ".sh", ".cmake", ".txt", ".md", ".json", ".service", ".in", ".php", ".pl", ".conf",
    ".yml", ".yaml", ".dict", ".supp")

# Which of our folders a folder may include.
MAY_INCLUDE = {
    "storage": {"storage"},
    "protocol": {"protocol"},
    "server": {"server", "protocol", "storage"},
    "client": {"client", "cairn", "protocol"},
}
# Libcairn's public headers, which are included as "cairn/x.h": what else they may include. Those
# who install them have nothing else.
PUBLIC_HEADERS = "client/include/cairn/"
PUBLIC_MAY_INCLUDE = {"cairn", "absl"}
# Its users in this tree.
PUBLIC_HEADER_USERS = {"client", "tests", "benchmarks", "tools", "examples"}
# And which folders may use a dependency; all may use the standard library, abseil and fmt.
DEPENDENCY_USERS = {
    "event2": {"server", "client", "tests", "benchmarks", "tools"},
    "openssl": {"server", "client", "tests", "benchmarks", "tools"},
    "sasl": {"server", "client", "tests", "benchmarks", "tools"},
    "catch2": {"tests"},
    "benchmark": {"benchmarks"},
}
# Never, in the folders that only know bytes: these talk to the outside.
SYSTEM_ONLY_FOR_SERVER = re.compile(
    r"^(sys/(socket|epoll|un|uio)\.h|netinet/|arpa/|netdb\.h|event\.h)")

LINE_COLUMNS_MAX = 100
FILE_LINES_MAX = 800

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
# Bytes that a test sends or expects are what they are.
DATA = re.compile(r"/transcripts/|_corpus/")
# Written in two pieces, so that this file passes its own check.
LEFTOVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def folder_of(path):
    return path.split("/", 1)[0]


def is_cpp(path):
    return path.endswith(CPP_SUFFIXES)


def include_direction(path, text):
    """Folders include only what the layering allows."""
    folder = folder_of(path)
    if not is_cpp(path) or folder not in CODE_FOLDERS or path.startswith("tests/tsan/"):
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, header = match.groups()
        target = folder_of(header)
        if quote == '"' and "/" not in header:
            yield number, f'"{header}" is to be included by its path from the root'
        if target == "cairn" and folder not in PUBLIC_HEADER_USERS:
            yield number, f"{folder}/ may not include the client library"
        if path.startswith(PUBLIC_HEADERS) and (quote == '"' or "/" in header):
            if target not in PUBLIC_MAY_INCLUDE:
                yield number, f"a public header may not include {header}"
        if folder not in MAY_INCLUDE:
            if target in DEPENDENCY_USERS and folder not in DEPENDENCY_USERS[target]:
                yield number, f"{folder}/ may not use {target}"
            if folder != target and target in ("tests", "benchmarks") and folder != "tests":
                yield number, f"{folder}/ may not include {target}/"
            continue
        if target in CODE_FOLDERS and target not in MAY_INCLUDE[folder]:
            yield number, f"{folder}/ may not include {target}/"
        if target in DEPENDENCY_USERS and folder not in DEPENDENCY_USERS[target]:
            yield number, f"{folder}/ may not use {target}"
        if folder in ("storage", "protocol") and SYSTEM_ONLY_FOR_SERVER.match(header):
            yield number, f"{folder}/ may not use the system's {header}"


def file_length(path, text):
    """A file that long is several files."""
    lines = text.count("\n")
    if folder_of(path) in CODE_FOLDERS and path.endswith(CPP_SUFFIXES + (".py",)):
        if lines > FILE_LINES_MAX:
            yield lines, f"{lines} lines, at most {FILE_LINES_MAX}: split it by behaviour"


def line_length(path, text):
    """C++ lines fit in 100 columns."""
    if not is_cpp(path):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {LINE_COLUMNS_MAX}"


def pragma_once(path, text):
    """Headers may be included twice."""
    if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.MULTILINE):
        yield 1, "a header starts with its contract and #pragma once"


def leftovers(path, text):
    """What is to be done is an issue, not a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        match = LEFTOVER.search(line)
        if match:
            yield number, f"{match.group(1)} left over: do it, or open an issue"


def trailing_whitespace(path, text):
    """Nothing invisible at the end of lines, and a newline at the end of files."""
    # Split by hand: splitlines() would also split at bytes that are data in some files.
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip(" \t\r"):
            yield number, "trailing whitespace"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"


RULES = (include_direction, file_length, line_length, pragma_once, leftovers, trailing_whitespace)

# (rule, path, text, whether the rule must complain)
EXAMPLES = (
    (include_direction, "storage/a.cc", '#include "server/session.h"\n', True),
    (include_direction, "storage/a.cc", '#include "protocol/parser.h"\n', True),
    (include_direction, "storage/a.h", "#include <event2/event.h>\n", True),
    (include_direction, "storage/a.h", "#include <sys/socket.h>\n", True),
    (include_direction, "storage/a.h", "#include <sys/mman.h>\n", False),
    (include_direction, "protocol/a.cc", '#include "storage/store.h"\n', True),
    (include_direction, "protocol/a.cc", "#include <openssl/ssl.h>\n", True),
    (include_direction, "protocol/a.cc", '  #  include "server/x.h"\n', True),
    (include_direction, "client/a.cc", '#include "storage/store.h"\n', True),
    (include_direction, "client/a.cc", '#include "server/session.h"\n', True),
    (include_direction, "client/a.cc", '#include "protocol/parser.h"\n', False),
    (include_direction, "client/a.cc", '#include "cairn/client.h"\n', False),
    (include_direction, "server/a.cc", '#include "cairn/client.h"\n', True),
    (include_direction, "protocol/a.cc", '#include "cairn/client.h"\n', True),
    (include_direction, "tests/client/a_test.cc", '#include "cairn/client.h"\n', False),
    (include_direction, "client/include/cairn/a.h", '#include "client/ring.h"\n', True),
    (include_direction, "client/include/cairn/a.h", '#include "protocol/parser.h"\n', True),
    (include_direction, "client/include/cairn/a.h", "#include <event2/event.h>\n", True),
    (include_direction, "client/include/cairn/a.h", "#include <sys/socket.h>\n", True),
    (include_direction, "client/include/cairn/a.h",
     '#include <string>\n\n#include "absl/status/status.h"\n#include "cairn/server.h"\n', False),
    (include_direction, "server/a.cc", '#include "client/client.h"\n', True),
    (include_direction, "server/a.cc", '#include "tests/catch.h"\n', True),
    (include_direction, "server/a.cc", '#include "session.h"\n', True),
    (include_direction, "server/a.cc", "#include <catch2/catch.hpp>\n", True),
    (include_direction, "server/a.cc",
     '#include <vector>\n#include "storage/store.h"\n#include <event2/event.h>\n', False),
    (include_direction, "benchmarks/a_bench.cc", '#include "tests/catch.h"\n', True),
    (include_direction, "tests/server/a_test.cc",
     '#include "server/a.h"\n#include "tests/catch.h"\n', False),
    (file_length, "server/a.cc", "int x;\n" * (FILE_LINES_MAX + 1), True),
    (file_length, "tests/wire/a.py", "x = 1\n" * (FILE_LINES_MAX + 1), True),
    (file_length, "server/a.cc", "int x;\n" * FILE_LINES_MAX, False),
    (line_length, "server/a.cc", "/" * (LINE_COLUMNS_MAX + 1) + "\n", True),
    (line_length, "server/a.cc", "/" * LINE_COLUMNS_MAX + "\n", False),
    (line_length, "server/a.cc", "// " + "\u00e9" * (LINE_COLUMNS_MAX - 3) + "\n", False),
    (pragma_once, "server/a.h", "int x;\n", True),
    (pragma_once, "server/a.h", "// #pragma once\n", True),
    (pragma_once, "server/a.h", "// What it is.\n#pragma once\n", False),
    (pragma_once, "server/a.cc", "int x;\n", False),
    (leftovers, "server/a.cc", "// TO" "DO: later\n", True),
    (leftovers, "server/a.cc", "// FIX" "ME\n", True),
    (leftovers, "server/a.cc", "// XX" "X why\n", True),
    (leftovers, "server/a.cc", "// todos are fine in prose\n", False),
    (trailing_whitespace, "server/a.cc", "int x; \n", True),
    (trailing_whitespace, "server/a.cc", "int x;\t\n", True),
    (trailing_whitespace, "server/a.cc", "int x;\r\n", True),
    (trailing_whitespace, "server/a.cc", "int x;", True),
    (trailing_whitespace, "server/a.cc", "int x;\n\nint y;\n", False),
)


def check_the_checks():
    failures = []
    for rule, path, text, expected in EXAMPLES:
        if bool(list(rule(path, text))) != expected:
            verb = "complains about" if not expected else "lets pass"
            failures.append(f"rule {rule.__name__} {verb} {text[:60]!r} in {path}")
    untested = {rule for rule in RULES} - {example[0] for example in EXAMPLES if example[3]}
    failures += [f"rule {rule.__name__} has no example that it fails on" for rule in untested]
    return failures


def project_files(root):
    """What git tracks or would track; without git (a tarball), what the code folders hold."""
    try:
        listed = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True).stdout
        paths = [path for path in listed.decode().split("\0") if path]
    except (OSError, subprocess.CalledProcessError):
        paths = [str(path.relative_to(root)) for folder in CODE_FOLDERS + ("cmake", "scripts")
                 for path in pathlib.Path(root, folder).rglob("*")]
    return sorted(path for path in paths
                  if path.endswith(TEXT_SUFFIXES) and not DATA.search(path)
                  and pathlib.Path(root, path).is_file())


def check_project(root):
    failures = []
    paths = project_files(root)
    for path in paths:
        text = pathlib.Path(root, path).read_bytes().decode("utf-8", errors="replace")
        for rule in RULES:
            failures += [f"{path}:{number}: {what}" for number, what in rule(path, text)]
    if not any(is_cpp(path) for path in paths):
        failures.append(f"no C++ file found below {root}")
    return failures, len(paths)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    failures = check_the_checks()
    complaints, count = check_project(root)
    failures += complaints
    print(*failures, sep="\n")
    print(f"{count} files, {len(EXAMPLES)} examples, {len(failures)} complaints")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
