"""Certificates made for one test run, and TLS connections to a server under test."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

import checks
import servers

EXTENSIONS = """
[ca]
basicConstraints = critical, CA:TRUE
[server]
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
extendedKeyUsage = serverAuth
[client]
extendedKeyUsage = clientAuth
"""


class Certificates:
    """A folder with a CA, certificates signed by it, and one (`stranger`) signed by another CA.

    Files: ca.crt, server.crt/.key, other.crt/.key (also a server's), client.crt/.key, stranger.crt/.key.
    """

    def __init__(self):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        self.folder = tempfile.mkdtemp(prefix="cairn-test-")
        with open(self.path("extensions"), "w", encoding="ascii") as file:
            file.write(EXTENSIONS)
        self._authority("ca")
        self._authority("foreign")
        for name, kind, authority in (("server", "server", "ca"), ("other", "server", "ca"),
                                      ("client", "client", "ca"), ("stranger", "client", "foreign")):
            self.issue(name, kind, authority)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, kind="server", authority="ca"):
        self._openssl("req", "-new", "-key", self._key(name), "-subj", f"/CN={name}", "-out", self.path(f"{name}.csr"))
        self._openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{authority}.crt"),
                      "-CAkey", self.path(f"{authority}.key"), "-CAcreateserial", "-days", "2", "-sha256",
                      "-extfile", self.path("extensions"), "-extensions", kind, "-out", self.path(f"{name}.crt"))

    def server_options(self, **suboptions):
        """-Z with the server's certificate and more suboptions of -o."""
        values = {"ssl_chain_cert": self.path("server.crt"), "ssl_key": self.path("server.key"), **suboptions}
        return ["-Z", "-o", ",".join(name if value is True else f"{name}={value}" for name, value in values.items())]

    def context(self, client=None, verify=True):
        """For a client that trusts the CA and shows the certificate of that name, if any."""
        context = ssl.create_default_context(cafile=self.path("ca.crt"))
        context.check_hostname = False
        if not verify:
            context.verify_mode = ssl.CERT_NONE
        if client:
            context.load_cert_chain(self.path(f"{client}.crt"), self.path(f"{client}.key"))
        return context

    def _authority(self, name):
        self._openssl("req", "-x509", "-new", "-key", self._key(name), "-subj", f"/CN={name}", "-days", "2",
                      "-out", self.path(f"{name}.crt"))

    def _key(self, name):
        key = self.path(f"{name}.key")
        if not os.path.exists(key):
            self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        return key

    def _openssl(self, *arguments):
        done = checks.run(["openssl", *arguments])
        if done.returncode != 0:
            raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")


def require_server(options):
    """SkipTest when the server under test has no TLS built in."""
    command = [servers.find_candidate(), *(["-u", "root"] if checks.is_root() else []), "-p", "-1", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        _, errors = process.communicate(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return
    if b"not built with TLS" in errors:
        raise unittest.SkipTest("the server was built without TLS")


def connect(port, context, host="127.0.0.1"):
    """A servers.Client over TLS; its `sock` is the ssl.SSLSocket."""
    raw = socket.create_connection((host, port), servers.READ_TIMEOUT)
    try:
        return servers.Client(context.wrap_socket(raw, server_hostname="localhost"))
    except Exception:
        raw.close()
        raise
