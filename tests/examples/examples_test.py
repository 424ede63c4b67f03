"""The installed client library, as an application finds and links it, and the examples run with it."""

import concurrent.futures
import contextlib
import http.client
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


@contextlib.contextmanager
def site(program, database, release, cache):
    """A process of page_cache: its port."""
    with subprocess.Popen([program, "0", database, release, cache], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
        finally:
            process.kill()


def ask(port, path, method="GET", body=None):
    """What a visitor gets: the status, where the page came from, and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.getheader("X-Cache"), response.read().decode()
    finally:
        connection.close()


def rendered(*ports):
    return sum(int(ask(port, "/stats")[2].split()[1]) for port in ports)


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
        if not (build / "page_cache").exists():
            self.skipTest("page_cache is not built without SQLite")
        self.page_cache(build / "page_cache")

    def page_cache(self, program):
        database = FOLDER / "articles.db"
        database.unlink(missing_ok=True)
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(servers.Server(os.environ["CAIRND"]))
            cache = f"127.0.0.1:{server.port}"
            ports = [stack.enter_context(site(program, database, "v1", cache)) for _ in range(3)]

            # A stampede: of 90 visitors at three processes one waits for the database, the others for him.
            with concurrent.futures.ThreadPoolExecutor(90) as visitors:
                pages = list(visitors.map(lambda i: ask(ports[i % 3], "/article/1"), range(90)))
            self.assertEqual({(status, page) for status, _, page in pages},
                             {(200, "<h1>Cairns</h1><p>Piles of stones that show a way.</p>")})
            self.assertEqual(rendered(*ports), 1)
            self.assertEqual([source for _, source, _ in pages].count("computed"), 1)
            self.assertEqual(ask(ports[0], "/article/1")[1], "cache")

            # What is not there is remembered, too.
            self.assertEqual(ask(ports[0], "/article/7"), (404, "computed", "<h1>No such article</h1>"))
            self.assertEqual(ask(ports[1], "/article/7")[:2], (404, "cache"))

            # A change is seen by every process at once.
            self.assertEqual(ask(ports[0], "/article/7", "PUT", "first")[0], 200)
            self.assertEqual(ask(ports[1], "/article/7")[2], "<h1>Article 7</h1><p>first</p>")
            self.assertEqual(ask(ports[1], "/article/7", "PUT", "second")[0], 200)
            for port in ports:
                self.assertEqual(ask(port, "/article/7")[2], "<h1>Article 7</h1><p>second</p>")

            # A new theme, and a new release, begin afresh; the old release keeps its pages.
            before = rendered(*ports)
            self.assertEqual(ask(ports[0], "/theme", "POST")[0], 200)
            self.assertEqual(ask(ports[0], "/article/1")[1], "computed")
            self.assertEqual(rendered(*ports), before + 1)
            with site(program, database, "v2", cache) as next_release:
                self.assertEqual(ask(next_release, "/article/1")[1], "computed")
            self.assertEqual(ask(ports[0], "/article/1")[1], "cache")

        # Without its cache the site is slower, and there.
        with site(program, database, "v1", f"127.0.0.1:{servers.free_port()}") as alone:
            self.assertEqual(ask(alone, "/article/7"), (200, "none", "<h1>Article 7</h1><p>second</p>"))
            self.assertEqual(ask(alone, "/article/7", "PUT", "third")[0], 202)
            self.assertEqual(ask(alone, "/article/7")[2], "<h1>Article 7</h1><p>third</p>")

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
