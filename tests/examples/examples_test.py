"""The installed client library, as an application finds and links it, and the examples run with it."""

import os
import pathlib
import subprocess
import unittest

import checks
import servers

FOLDER = pathlib.Path(os.environ["CAIRN_TEST_DIR"])
SOURCE = pathlib.Path(os.environ["CAIRN_SOURCE_DIR"])
PREFIX = FOLDER / "prefix"
CMAKE = os.environ["CAIRN_CMAKE"]
CXX = os.environ["CAIRN_CXX"]


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=240, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run(CMAKE, "--install", os.environ["CAIRN_BUILD_DIR"], "--prefix", PREFIX)

    def look_aside(self, program):
        with servers.Server(os.environ["CAIRND"]) as server:
            down = f"127.0.0.1:{servers.free_port()}"
            up = f"127.0.0.1:{server.port}"
            self.assertEqual(run(program, up).splitlines(),
                             ["miss /", "miss /about", "hit  /", "2 hits, 1 misses, 0 not reached"])
            self.assertEqual(run(program, up).splitlines()[:3], ["hit  /", "hit  /about", "hit  /"])
            self.assertEqual(run(program, down).splitlines()[-1], "0 hits, 0 misses, 3 not reached")

    def test_found_by_cmake(self):
        build = FOLDER / "build"
        run(CMAKE, "-S", SOURCE / "examples", "-B", build, f"-DCMAKE_PREFIX_PATH={PREFIX}", f"-DCMAKE_CXX_COMPILER={CXX}")
        run(CMAKE, "--build", build)
        self.look_aside(build / "look_aside")

    def test_found_by_pkg_config(self):
        folders = ":".join(str(path) for path in PREFIX.glob("lib*/**/pkgconfig"))
        flags = run("pkg-config", "--cflags", "--libs", "--define-variable=prefix=" + str(PREFIX), "cairn",
                    env=dict(os.environ, PKG_CONFIG_PATH=folders)).split()
        program = FOLDER / "look_aside_pkg_config"
        run(CXX, "-std=c++20", SOURCE / "examples" / "look_aside.cc", "-o", program, *flags)
        self.look_aside(program)

    def test_public_headers_stand_alone(self):
        for header in sorted((PREFIX / "include" / "cairn").glob("*.h")):
            run(CXX, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c++",
                f"-I{PREFIX / 'include'}", "-", input=f"#include <cairn/{header.name}>\n")


if __name__ == "__main__":
    checks.main()
