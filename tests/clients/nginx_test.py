"""nginx serving pages out of the server under test by memcached_pass, with and without kept connections."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import threading

import checks
import servers

NGINX = checks.need_program("nginx")

CONFIG = """
daemon off;
{user}
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type text/html;
  upstream direct {{ server {address}; }}
  upstream kept {{ server {address}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    memcached_read_timeout 20s;
    location /direct/ {{ set $memcached_key $uri; memcached_pass direct; error_page 404 = @made; }}
    location /kept/ {{ set $memcached_key $uri; memcached_pass kept; error_page 404 = @made; }}
    location /gzip/ {{ set $memcached_key $uri; memcached_pass kept; memcached_gzip_flag 2; }}
    location @made {{ return 200 "made by the application\n"; }}
  }}
}}
"""


class Nginx:
    """nginx in the foreground with its own folder and port."""

    def __init__(self, address):
        # In /tmp and open to all: as root its workers are another user's.
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-test-")
        os.chmod(self.folder.name, 0o755)
        self.port = servers.free_port()
        self.log = os.path.join(self.folder.name, "error.log")
        config = os.path.join(self.folder.name, "nginx.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(CONFIG.format(folder=self.folder.name, port=self.port, address=address,
                                     user="user nobody nogroup;" if checks.is_root() else ""))
        self.process = subprocess.Popen([NGINX, "-p", self.folder.name, "-c", config, "-e", self.log],
                                        stdin=subprocess.DEVNULL)

    def __enter__(self):
        checks.until(self.accepts, "nginx accepts connections")
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(checks.DEADLINE)
        self.folder.cleanup()

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError(f"nginx ended: {self.errors()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def errors(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()


class Pages(checks.ServerCase):
    def setUp(self):
        self.flush()

    def upstream(self):
        return self.address

    def nginx(self):
        return self.enterContext(Nginx(self.upstream()))

    def store(self, path, body, flags=0):
        client = self.client()
        self.assertEqual(client.ask(b"set %s %d 0 %d\r\n%s\r\n" % (path.encode(), flags, len(body), body)),
                         b"STORED\r\n")

    def test_pages(self):
        nginx = self.nginx()
        for place in ("direct", "kept"):
            for size in (0, 1, 100, 5000, 16384, 500000, 1000000):
                with self.subTest(place=place, size=size):
                    body = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
                    self.store(f"/{place}/page", body)
                    status, found, _ = nginx.get(f"/{place}/page")
                    self.assertEqual((status, found), (200, body))
            status, found, _ = nginx.get(f"/{place}/missing")
            self.assertEqual((status, found), (200, b"made by the application\n"))
        self.assertEqual(nginx.errors(), "")

    def test_names_are_escaped(self):
        nginx = self.nginx()
        self.store("/kept/a%20b", b"with a space")
        self.assertEqual(nginx.get("/kept/a%20b")[1], b"with a space")

    def test_gzip_flag(self):
        nginx = self.nginx()
        self.store("/gzip/packed", b"not really gzip", flags=2)
        self.store("/gzip/plain", b"plain", flags=1)
        self.assertEqual(nginx.get("/gzip/packed")[2].get("Content-Encoding"), "gzip")
        self.assertIsNone(nginx.get("/gzip/plain")[2].get("Content-Encoding"))
        self.assertEqual(nginx.get("/gzip/missing")[0], 404)

    def test_connections_are_kept(self):
        nginx = self.nginx()
        self.store("/kept/page", b"page")
        nginx.get("/kept/page")
        before = int(self.stats()["total_connections"])
        for _ in range(200):
            self.assertEqual(nginx.get("/kept/page")[1], b"page")
        opened = int(self.stats()["total_connections"]) - before
        self.assertLess(opened, 20)

    def test_many_readers(self):
        nginx = self.nginx()
        for number in range(20):
            self.store(f"/kept/{number}", b"%d " % number * 20000)
        failures = []

        def read(reader):
            for number in range(50):
                page = (reader + number) % 20
                status, found, _ = nginx.get(f"/kept/{page}")
                if status != 200 or found != b"%d " % page * 20000:
                    failures.append((reader, number, status, len(found)))

        threads = [threading.Thread(target=read, args=(reader,)) for reader in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(failures, [])
        self.assertEqual(nginx.errors(), "")


class PagesOverUnix(Pages):
    server_arguments = {"unix": True}

    @classmethod
    def setUpClass(cls):
        cls.options = ["-a", "777"]
        super().setUpClass()
        os.chmod(cls.server.folder, 0o755)

    def upstream(self):
        return f"unix:{self.server.path}"


if __name__ == "__main__":
    checks.main()
