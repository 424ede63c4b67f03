#!/usr/bin/env python3
"""Instructions that an operation of the store takes, counted by callgrind.

    benchmarks/store_instructions.py build/release/benchmarks/store_ops [--count=N]

Each operation runs in a program of its own, once with and once without N operations; the difference
is theirs. Needs valgrind, and says so where it is absent.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

OPERATIONS = {
    "get": "a get that hits, of an item read before within the second",
    "get-first": "a get that hits, the item's first within the second",
    "miss": "a get that misses",
    "overwrite": "a set of a key that is there, of the same size",
    "set": "a set of a new key; in the long run each evicts",
    "set-delete": "a set of a new key and its delete",
    "incr": "an increment",
}


def instructions(program, operation, count):
    out = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", program, operation]
        + [str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Collected : (\d+)", out.stderr)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=200000)
    parser.add_argument("--only", default="", help=", ".join(OPERATIONS))
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not here: apt-get install valgrind, or your system's like", file=sys.stderr)
        return 77
    wanted = [name for name in options.only.split(",") if name] or list(OPERATIONS)
    nothing = instructions(options.program, "get", 0)
    for name in wanted:
        each = (instructions(options.program, name, options.count) - nothing) / options.count
        print(f"{each:8.0f}  {name:12} {OPERATIONS[name]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
