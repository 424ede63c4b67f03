"""php-memcached: the client (php_memcached.php), text and binary, and PHP's session handler."""

import os

import checks

PHP = checks.need_program("php")
FOLDER = os.path.dirname(os.path.abspath(__file__))

if "memcached" not in checks.run([PHP, "-m"]).stdout.split():
    checks.skip_all("PHP's memcached extension is not installed")


class Client(checks.ServerCase):
    def run_client(self, protocol, *options):
        done = checks.run([PHP, "-d", "error_reporting=-1", "-d", "display_errors=stderr",
                           os.path.join(FOLDER, "php_memcached.php"), self.php_address, protocol, ",".join(options)])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    @property
    def php_address(self):
        return self.address

    def test_text(self):
        self.run_client("text")

    def test_text_tcp_nodelay(self):
        self.run_client("text", "OPT_TCP_NODELAY")

    def test_text_no_block(self):
        self.run_client("text", "OPT_NO_BLOCK", "OPT_LIBKETAMA_COMPATIBLE")

    def test_text_noreply(self):
        self.run_client("text", "OPT_NOREPLY")

    def test_binary(self):
        self.run_client("binary")

    def test_binary_tcp_nodelay(self):
        self.run_client("binary", "OPT_TCP_NODELAY", "OPT_LIBKETAMA_COMPATIBLE")

    def test_binary_no_block(self):
        self.run_client("binary", "OPT_NO_BLOCK")


class UnixClient(checks.ServerCase):
    server_arguments = {"unix": True}
    run_client = Client.run_client

    @property
    def php_address(self):
        return self.server.path

    def test_text(self):
        self.run_client("text")

    def test_binary(self):
        self.run_client("binary")


class Session(checks.ServerCase):
    def session(self, binary, *arguments):
        options = {"session.save_handler": "memcached", "session.save_path": self.address,
                   "memcached.sess_binary_protocol": "On" if binary else "Off"}
        command = [PHP]
        for name, value in options.items():
            command += ["-d", f"{name}={value}"]
        done = checks.run([*command, os.path.join(FOLDER, "php_session.php"), *arguments])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_a_session_is_kept_and_locked(self):
        for binary in (False, True):
            with self.subTest(binary=binary):
                name = f"sessionnumber{int(binary)}"
                self.assertEqual(self.session(binary, name, "read"), "(none)")
                self.session(binary, name, "write", "kept " * 1000)
                self.assertEqual(self.session(binary, name, "read"), "kept " * 1000)
                self.session(binary, name, "destroy")
                self.assertEqual(self.session(binary, name, "read"), "(none)")
                keys = self.client().ask(f"get memc.sess.key.lock.{name}\r\n".encode(), b"END\r\n")
                self.assertEqual(keys, b"END\r\n")


if __name__ == "__main__":
    checks.main()
