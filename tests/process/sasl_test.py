"""-S: SASL on the binary protocol, with Cyrus and its database, and with a plain password file."""

import hmac
import os
import socket
import subprocess
import tempfile
import unittest

import binary
import checks
import servers
from starts import USAGE, failing

OK, INVALID, AUTH_FAILURE, CONTINUE, UNKNOWN = 0x00, 0x04, 0x20, 0x21, 0x81
USER, PASSWORD = "testuser", "pass:word"


class Packets:
    """Asks one packet at a time."""

    def __init__(self, client):
        self.client = client

    def ask(self, opcode, **parts):
        self.client.send(binary.packet(opcode, **parts))
        header = self.client.read_exactly(24)
        body = self.client.read_exactly(int.from_bytes(header[8:12], "big"))
        (reply,), _ = binary.split(header + body)
        return reply

    def plain(self, user=USER, password=PASSWORD):
        return self.ask("sasl_auth", key=b"PLAIN", value=b"\0%s\0%s" % (user.encode(), password.encode()))


class Access:
    """What is the same however the passwords are kept; subclasses give `environment(folder)`."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cairn-test-"))
        environment = cls.environment()
        try:
            cls.server = cls.enterClassContext(servers.Server(servers.find_candidate(), ["-S"], env=environment))
        except servers.ServerError as error:
            if "not built with SASL support" not in str(error):
                raise
            raise unittest.SkipTest("the server was built without Cyrus SASL") from error

    def packets(self):
        client = self.server.connect()
        self.addCleanup(client.close)
        return Packets(client)

    def test_mechanisms(self):
        reply = self.packets().ask("sasl_list")
        self.assertEqual(reply.status, OK)
        self.assertIn(b"PLAIN", reply.value.split())

    def test_nothing_before(self):
        for opcode, parts in (("get", {"key": b"a"}), ("noop", {}), ("stat", {}), ("flush", {}),
                              ("set", {"key": b"a", "extras": b"\0" * 8, "value": b"x"})):
            with self.subTest(opcode):
                packets = self.packets()
                self.assertEqual(packets.ask(opcode, **parts).status, AUTH_FAILURE)
                self.assertEqual(packets.client.read_all(), b"")

    def test_version_is_told_to_all(self):
        reply = self.packets().ask("version")
        self.assertEqual(reply.status, OK)
        self.assertRegex(reply.value, rb"^\d+\.\d+\.\d+")

    def test_success(self):
        packets = self.packets()
        reply = packets.plain()
        self.assertEqual((reply.status, reply.value), (OK, b"Authenticated"))
        self.assertEqual(packets.ask("set", key=b"a", extras=b"\0" * 8, value=b"x").status, OK)
        self.assertEqual(packets.ask("get", key=b"a").value, b"x")

    def test_failure_and_another_try(self):
        packets = self.packets()
        for user, password in ((USER, "wrong"), ("nobody", PASSWORD), (USER, ""), ("", "")):
            self.assertEqual(packets.plain(user, password).status, AUTH_FAILURE, (user, password))
        self.assertEqual(packets.plain().status, OK)
        self.assertEqual(packets.ask("noop").status, OK)

    def test_a_failure_takes_access_away(self):
        packets = self.packets()
        self.assertEqual(packets.plain().status, OK)
        self.assertEqual(packets.plain(password="wrong").status, AUTH_FAILURE)
        self.assertEqual(packets.ask("get", key=b"a").status, AUTH_FAILURE)

    def test_odd_requests(self):
        packets = self.packets()
        self.assertEqual(packets.ask("sasl_step", key=b"PLAIN", value=b"\0a\0b").status, AUTH_FAILURE)
        self.assertEqual(packets.ask("sasl_auth", key=b"NOSUCH", value=b"x").status, AUTH_FAILURE)
        self.assertEqual(packets.plain().status, OK)
        self.assertEqual(self.packets().ask("sasl_auth", key=b"M" * 33, value=b"x").status, INVALID)

    def test_in_two_steps(self):
        packets = self.packets()
        self.assertEqual(packets.ask("sasl_auth", key=b"PLAIN").status, CONTINUE)
        reply = packets.ask("sasl_step", key=b"PLAIN", value=b"\0%s\0%s" % (USER.encode(), PASSWORD.encode()))
        self.assertEqual((reply.status, reply.value), (OK, b"Authenticated"))
        self.assertEqual(packets.ask("noop").status, OK)

    def test_text_is_turned_away(self):
        with self.server.connect() as client:
            client.send(b"version\r\n" + b"x" * 20)
            self.assertEqual(client.read_all(), b"")

    def test_statistics(self):
        packets = self.packets()
        packets.plain(password="wrong")
        packets.plain()
        packets.client.send(binary.packet("stat"))
        stats = {}
        while True:
            header = packets.client.read_exactly(24)
            (reply,), _ = binary.split(header + packets.client.read_exactly(int.from_bytes(header[8:12], "big")))
            if not reply.key:
                break
            stats[reply.key] = reply.value
        self.assertGreaterEqual(int(stats[b"auth_cmds"]), 2)
        self.assertGreaterEqual(int(stats[b"auth_errors"]), 1)

    def test_libmemcached_tools(self):
        copy, cat = checks.tool("memccp"), checks.tool("memccat")
        if not copy or not cat:
            self.skipTest("libmemcached-tools is not installed")
        path = os.path.join(self.folder, "page")
        with open(path, "w", encoding="ascii") as file:
            file.write("by sasl")
        common = [f"--servers=127.0.0.1:{self.server.port}", "--binary", f"--username={USER}"]
        done = checks.run([copy, *common, f"--password={PASSWORD}", path])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(checks.run([cat, *common, f"--password={PASSWORD}", "page"]).stdout, "by sasl\n")
        self.assertNotEqual(checks.run([cat, *common, "--password=wrong", "page"]).returncode, 0)

    def test_pylibmc(self):
        try:
            import pylibmc
        except ImportError:
            self.skipTest("pylibmc is not installed")
        address = [f"127.0.0.1:{self.server.port}"]
        mc = pylibmc.Client(address, binary=True, username=USER, password=PASSWORD)
        self.addCleanup(mc.disconnect_all)
        self.assertTrue(mc.set("pylibmc", "value"))
        self.assertEqual(mc.get("pylibmc"), "value")
        wrong = pylibmc.Client(address, binary=True, username=USER, password="wrong")
        self.addCleanup(wrong.disconnect_all)
        with self.assertRaises(pylibmc.Error):
            wrong.set("pylibmc", "other")


class Cyrus(Access, unittest.TestCase):
    """sasldb, as Cyrus's own tools make it."""

    @classmethod
    def environment(cls):
        make = checks.tool("saslpasswd2")
        if not make:
            raise unittest.SkipTest("sasl2-bin is not installed")
        database = os.path.join(cls.folder, "sasldb2")
        subprocess.run([make, "-p", "-c", "-f", database, "-a", "memcached", "-u", socket.gethostname(), USER],
                       input=PASSWORD.encode(), check=True, capture_output=True, timeout=checks.DEADLINE)
        with open(os.path.join(cls.folder, "memcached.conf"), "w", encoding="ascii") as file:
            file.write(f"mech_list: plain cram-md5\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                       f"sasldb_path: {database}\nlog_level: 0\n")
        return {"SASL_CONF_PATH": cls.folder}

    def test_challenge_and_response(self):
        for password, status in ((PASSWORD, OK), ("wrong", AUTH_FAILURE)):
            packets = self.packets()
            challenge = packets.ask("sasl_auth", key=b"CRAM-MD5")
            self.assertEqual(challenge.status, CONTINUE)
            digest = hmac.new(password.encode(), challenge.value, "md5").hexdigest()
            reply = packets.ask("sasl_step", key=b"CRAM-MD5", value=f"{USER} {digest}".encode())
            self.assertEqual(reply.status, status)


@checks.cairnd_only("only a build of its own for it reads MEMCACHED_SASL_PWDB")
class PasswordFile(Access, unittest.TestCase):
    """No set-up of Cyrus at all."""

    @classmethod
    def environment(cls):
        cls.path = os.path.join(cls.folder, "passwords")
        with open(cls.path, "w", encoding="ascii") as file:
            file.write(f"other:more\n{USER}:{PASSWORD}\n")
        return {"MEMCACHED_SASL_PWDB": cls.path}

    def test_a_second_user(self):
        self.assertEqual(self.packets().plain("other", "more").status, OK)

    def test_a_file_that_is_not_there_stops_the_start(self):
        code, found = failing("-S", "-p", "-1", "-l", "127.0.0.1", env={"MEMCACHED_SASL_PWDB": "/no/such/file"})
        self.assertNotEqual(code, 0)
        self.assertIn("/no/such/file", found)
        self.assertEqual(len(found.splitlines()), 1, found)


class Refused(unittest.TestCase):
    def test_together_with_udp_or_text(self):
        for options in (["-S", "-U", "11211"], ["-S", "-B", "ascii"]):
            self.assertEqual(failing(*options)[0], USAGE)


class Without(checks.ServerCase):
    def test_the_commands_are_unknown(self):
        packets = Packets(self.client())
        self.assertEqual(packets.ask("sasl_list").status, UNKNOWN)
        self.assertEqual(Packets(self.client()).plain().status, UNKNOWN)


if __name__ == "__main__":
    checks.main()
