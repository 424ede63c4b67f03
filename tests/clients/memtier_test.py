"""memtier_benchmark ($MEMTIER or on PATH) runs without an error: text and binary, pipelined or not, TLS, UNIX socket."""

import json
import os
import subprocess
import tempfile

import checks
import tls

MEMTIER = os.environ.get("MEMTIER") or checks.need_program("memtier_benchmark")
REQUESTS = 3000
CLIENTS = 4
THREADS = 2


class Load:
    """One run per protocol and depth; every request must be answered and no connection lost."""

    extra = ()

    def where(self):
        return ["-s", "127.0.0.1", "-p", str(self.server.port)]

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-test-")
        self.addCleanup(self.folder.cleanup)

    def load(self, protocol, pipeline, *more, requests=REQUESTS):
        report = os.path.join(self.folder.name, "report.json")
        command = [MEMTIER, *self.where(), *self.extra, "-P", protocol, f"--pipeline={pipeline}",
                   f"--clients={CLIENTS}", f"--threads={THREADS}", f"--requests={requests}", "--hide-histogram",
                   "--key-maximum=5000", f"--json-out-file={report}", *more]
        done = checks.run(command, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("error", (done.stdout + done.stderr).lower().replace("connection errors", ""))
        with open(report, encoding="utf-8") as file:
            results = json.load(file)["ALL STATS"]
        self.assertEqual(results["Totals"]["Count"], requests * CLIENTS * THREADS)
        self.assertEqual(results["Totals"].get("Connection Errors", 0), 0)
        return results

    def test_text(self):
        results = self.load("memcache_text", 1)
        self.assertGreater(results["Gets"]["Count"], results["Sets"]["Count"])

    def test_text_pipelined(self):
        self.load("memcache_text", 50)

    def test_binary(self):
        self.load("memcache_binary", 1)

    def test_binary_pipelined(self):
        self.load("memcache_binary", 50)

    def test_sizes_up_to_100_kilobytes(self):
        for protocol in ("memcache_text", "memcache_binary"):
            with self.subTest(protocol):
                self.load(protocol, 4, "--data-size-range=1-100000", "--random-data", "--ratio=1:1",
                          "--key-maximum=200", requests=300)

    def test_hits(self):
        """All keys are written first: not a single miss afterwards."""
        for protocol in ("memcache_text", "memcache_binary"):
            with self.subTest(protocol):
                self.load(protocol, 10, "--ratio=1:0", "--key-pattern=P:P", "--key-minimum=1", "--key-maximum=3000",
                          "--data-size=100")
                results = self.load(protocol, 10, "--ratio=0:1", "--key-minimum=1", "--key-maximum=3000",
                                    "--data-size=100")
                self.assertEqual(results["Gets"]["Misses/sec"], 0)


class Tcp(Load, checks.ServerCase):
    pass


class Unix(Load, checks.ServerCase):
    server_arguments = {"unix": True}

    def where(self):
        return ["-S", self.server.path]


class Tls(Load, checks.ServerCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = cls.enterClassContext(tls.Certificates())
        cls.options = cls.certificates.server_options()
        tls.require_server(cls.options)
        super().setUpClass()

    extra = ("--tls", "--tls-skip-verify")


if __name__ == "__main__":
    if "--tls" not in subprocess.run([MEMTIER, "--help"], capture_output=True, text=True, check=False).stdout:
        checks.skip_all(f"{MEMTIER} was built without TLS or is not memtier_benchmark")
    checks.main()
