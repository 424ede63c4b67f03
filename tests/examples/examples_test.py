"""The installed client library, as an application finds and links it, and the examples run with it.

Built with sanitizers, the library has them, and the examples and README's program get them, too; what is about linking
and not about running is left to the other builds.
"""

import concurrent.futures
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import checks
import servers

FOLDER = pathlib.Path(os.environ["CAIRN_TEST_DIR"])
SOURCE = pathlib.Path(os.environ["CAIRN_SOURCE_DIR"])
PREFIX = FOLDER / "prefix"
CMAKE = os.environ["CAIRN_CMAKE"]
CXX = os.environ["CAIRN_CXX"]
LIB = PREFIX / os.environ["CAIRN_LIBDIR"]
SONAME = os.environ.get("CAIRN_SONAME", "")  # empty: only the static library was built
FLAGS = os.environ["CAIRN_FLAGS"].split()  # of the sanitizers

needs_shared = unittest.skipUnless(SONAME, "libcairn was built without the shared library")
not_sanitized = unittest.skipIf(os.environ["CAIRN_SANITIZE"], "about linking: sanitizers see no more than in the other tests")


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=240, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def site(program, database, release, cache):
    """A process of page_cache: its port. It never ends by itself, unless a sanitizer has found something."""
    environment = dict(os.environ, TSAN_OPTIONS=os.environ.get("TSAN_OPTIONS", "") + ":halt_on_error=1")
    with subprocess.Popen([program, "0", database, release, cache], stdout=subprocess.PIPE, text=True,
                          env=environment) as process:
        try:
            yield int(process.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
        finally:
            ended = process.poll()
            process.kill()
        if ended is not None:
            raise AssertionError(f"page_cache ended with {ended}")


def ask(port, path, method="GET", body=None):
    """What a visitor gets: the status, where the page came from, and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.getheader("X-Cache"), response.read().decode()
    finally:
        connection.close()


def libraries(program):
    """The shared libraries that it asks for by name."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", program))


def configure(source, build, *options):
    return run(CMAKE, "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={PREFIX}", f"-DCMAKE_CXX_COMPILER={CXX}",
               f"-DCMAKE_CXX_FLAGS={' '.join(FLAGS)}", *options)


def rendered(*ports):
    return sum(int(ask(port, "/stats")[2].split()[1]) for port in ports)


def pkg_config(*options):
    return run("pkg-config", *options, f"--define-variable=prefix={PREFIX}", "cairn",
               env=dict(os.environ, PKG_CONFIG_PATH=str(LIB / "pkgconfig"))).split()


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run(CMAKE, "--install", os.environ["CAIRN_BUILD_DIR"], "--component", "client", "--prefix", PREFIX)

    def look_aside(self, program):
        with servers.Server(os.environ["CAIRND"]) as server:
            down = f"127.0.0.1:{servers.free_port()}"
            up = f"127.0.0.1:{server.port}"
            self.assertEqual(run(program, up).splitlines(),
                             ["miss /", "miss /about", "hit  /", "2 hits, 1 misses, 0 not reached"])
            self.assertEqual(run(program, up).splitlines()[:3], ["hit  /", "hit  /about", "hit  /"])
            self.assertEqual(run(program, down).splitlines()[-1], "0 hits, 0 misses, 3 not reached")

    def assert_static(self, program):
        self.assertFalse([name for name in libraries(program) if name.startswith("libcairn")])

    def built(self, *options):
        """The examples, in one folder whatever the options: only what they change is built again."""
        build = FOLDER / "build"
        configure(SOURCE / "examples", build, *options)
        run(CMAKE, "--build", build)
        return build

    @needs_shared
    def test_shared_library_found_by_cmake(self):
        build = self.built("-DBUILD_SHARED_LIBS=ON")
        self.assertIn(SONAME, libraries(build / "look_aside"))
        # What only the library uses is the library's to find.
        self.assertFalse([name for name in libraries(build / "look_aside") if re.search("event|ssl|crypto|zstd", name)])
        self.look_aside(build / "look_aside")

    def test_static_library_found_by_cmake(self):
        build = self.built("-DBUILD_SHARED_LIBS=OFF")
        self.assert_static(build / "look_aside")
        self.look_aside(build / "look_aside")
        if not (build / "page_cache").exists():
            self.skipTest("page_cache is not built without SQLite")
        self.page_cache(build / "page_cache")

    @needs_shared
    def test_components_of_the_package(self):
        project = FOLDER / "components"
        project.mkdir(exist_ok=True)

        def found(components):
            (project / "CMakeLists.txt").write_text(f"""
                cmake_minimum_required(VERSION 3.22)
                project(components LANGUAGES CXX)
                find_package(cairn {components})
                foreach(name IN ITEMS client client_static client_shared)
                  if(TARGET cairn::${{name}})
                    get_target_property(type cairn::${{name}} TYPE)
                    message(STATUS "is: ${{name}} ${{type}}")
                  endif()
                endforeach()
                message(STATUS "is: found ${{cairn_FOUND}}")
                """)
            return re.findall("is: (.*)", configure(project, project / "build"))

        static, shared = "client_static STATIC_LIBRARY", "client_shared SHARED_LIBRARY"
        self.assertEqual(found("REQUIRED"), ["client STATIC_LIBRARY", static, "found 1"])
        self.assertEqual(found("0.1 COMPONENTS shared"), ["client SHARED_LIBRARY", shared, "found 1"])
        self.assertEqual(found("COMPONENTS static shared"), ["client STATIC_LIBRARY", static, shared, "found 1"])
        self.assertEqual(found("QUIET COMPONENTS flying"), ["found 0"])

        # A distribution may leave the static library out.
        targets = next(PREFIX.glob("lib*/**/cairn-static-targets.cmake"))
        hidden = targets.with_suffix(".hidden")
        targets.rename(hidden)
        try:
            self.assertEqual(found("REQUIRED"), ["client SHARED_LIBRARY", shared, "found 1"])
        finally:
            hidden.rename(targets)

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

    @not_sanitized
    def test_found_by_pkg_config(self):
        source = FOLDER / "look_aside.o"
        run(CXX, "-std=c++20", "-fPIC", "-c", SOURCE / "examples" / "look_aside.cc", "-o", source,
            *pkg_config("--cflags"))
        if SONAME:
            program = FOLDER / "look_aside_shared"
            run(CXX, source, "-o", program, f"-Wl,-rpath,{LIB}", *pkg_config("--libs"))
            self.assertIn(SONAME, libraries(program))
            self.look_aside(program)

        static = ["-l:libcairn.a" if flag == "-lcairn" else flag for flag in pkg_config("--libs", "--static")]
        program = FOLDER / "look_aside_static"
        run(CXX, source, "-o", program, *static)
        self.assert_static(program)
        self.look_aside(program)
        # An application may make all of it part of a shared library of its own.
        run(CXX, "-shared", "-Wl,-z,text", source, "-o", FOLDER / "look_aside.so", "-Wl,--whole-archive",
            LIB / "libcairn.a", "-Wl,--no-whole-archive", *[flag for flag in static if "cairn" not in flag])

    def test_what_the_readme_says_is_what_happens(self):
        """Its program, its CMakeLists.txt and its pkg-config line, in an empty folder."""
        app = FOLDER / "app"
        shutil.rmtree(app, ignore_errors=True)
        app.mkdir()
        readme = (SOURCE / "README.md").read_text()
        section = readme[readme.index("## An application in C++"):readme.index("## Running it")]
        blocks = {kind: text for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)}
        (app / "app.cc").write_text(blocks["cpp"])
        (app / "CMakeLists.txt").write_text(blocks["cmake"])
        configure(app, app / "build")
        run(CMAKE, "--build", app / "build")
        by_hand = re.search(r"`g\+\+ (.*) \$\(pkg-config (.*) cairn\)`", section)
        run(CXX, *FLAGS, *by_hand[1].split(), f"-Wl,-rpath,{LIB}", *pkg_config(*by_hand[2].split()), cwd=app)

        says = re.split(r"^\$ .*\n", blocks["console"], flags=re.MULTILINE)
        for program in (app / "build" / "app", app / "app"):
            with servers.Server(os.environ["CAIRND"]) as server:
                for expected in says[2:]:
                    self.assertEqual(run(program, f"127.0.0.1:{server.port}"), expected)

    @needs_shared
    def test_shared_library_shows_what_is_public_and_nothing_else(self):
        library = LIB / SONAME
        self.assertEqual((LIB / "libcairn.so").readlink(), pathlib.Path(SONAME))
        self.assertIn(f"[{SONAME}]", run("readelf", "-dW", library))

        headers = "".join(path.read_text() for path in (PREFIX / "include" / "cairn").glob("*.h"))
        classes = re.findall(r"^(?:class|struct)(?: \[\[nodiscard\]\])? CAIRN_EXPORT (\w+) {", headers, re.MULTILINE)
        functions = re.findall(r"^CAIRN_EXPORT [^(]*?(\w+)\(", headers, re.MULTILINE)
        self.assertIn("AsyncResult", classes)
        self.assertIn("WarmUp", functions)

        shown = [line.split(" ", 2)[2] for line in run("nm", "-DC", "--defined-only", library).splitlines()]
        names = "|".join(classes + functions)
        public = re.compile(rf"cairn::(?:{names})\b")
        private = re.compile(r"^[^(]*\b(?:Impl|Leases|Lock|Loop|State)(?:::|$)")
        self.assertEqual([name for name in shown if not public.match(name) or private.match(name)], [])
        for function in functions:
            self.assertTrue([name for name in shown if name.startswith(f"cairn::{function}")], function)

    @not_sanitized
    def test_public_headers_stand_alone(self):
        for header in sorted((PREFIX / "include" / "cairn").glob("*.h")):
            run(CXX, "-std=c++20", "-fsyntax-only", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-x", "c++",
                f"-I{PREFIX / 'include'}", "-", input=f"#include <cairn/{header.name}>\n")


if __name__ == "__main__":
    checks.main()
