"""-d, -P, -u: a daemon with a pid file, as another user."""

import os
import pwd
import signal
import socket
import stat
import tempfile
import unittest

import checks
import servers
from starts import as_root


class Daemon(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="cairn-test-"))
        os.chmod(self.folder, 0o777)
        self.pid_file = os.path.join(self.folder, "pid")
        self.port = servers.free_port()
        self.pid = None
        self.addCleanup(self.kill)

    def kill(self):
        if self.pid and os.path.exists(f"/proc/{self.pid}"):
            os.kill(self.pid, signal.SIGKILL)

    def start(self, *options, user=None):
        command = [servers.find_candidate(), "-d", "-P", self.pid_file, "-l", "127.0.0.1", "-p", str(self.port),
                   *(["-u", user] if user else as_root()), *options]
        done = checks.run(command)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        checks.until(lambda: os.path.exists(self.pid_file) and self.read(), "the pid file is written")
        self.pid = int(self.read())
        client = checks.until(self.connect, "the daemon accepts")
        self.addCleanup(client.close)
        return client

    def read(self):
        with open(self.pid_file, encoding="ascii") as file:
            text = file.read()
        return text if text.endswith("\n") else ""

    def connect(self):
        try:
            return servers.Client(socket.create_connection(("127.0.0.1", self.port), servers.READ_TIMEOUT))
        except OSError:
            return None

    def ended(self):
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    def test_it_runs_in_the_background(self):
        client = self.start()
        stats = client.stats()
        self.assertEqual(int(stats["pid"]), self.pid)
        self.assertNotEqual(os.getsid(self.pid), os.getsid(0))
        self.assertEqual(os.readlink(f"/proc/{self.pid}/cwd"), "/")
        for number in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{self.pid}/fd/{number}"), "/dev/null")

    def test_the_pid_file_is_removed_at_the_end(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            with self.subTest(number):
                self.start()
                os.kill(self.pid, number)
                checks.until(self.ended, "the daemon ends")
                self.assertFalse(os.path.exists(self.pid_file))

    def test_shutdown_command(self):
        client = self.start("-A")
        client.send(b"shutdown\r\n")
        self.assertEqual(client.read_all(), b"")
        checks.until(self.ended, "the daemon ends")
        self.assertFalse(os.path.exists(self.pid_file))

    def test_a_start_that_fails_late(self):
        """The terminal's process waits until the daemon serves, and ends as it did."""
        command = [servers.find_candidate(), "-d", "-P", self.pid_file, "-l", "127.0.0.1", "-p", str(self.port),
                   "-m", "200000000", *as_root()]
        done = checks.run(command)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\A[^\n]*memory[^\n]*\n\Z")
        self.assertFalse(os.path.exists(self.pid_file))

    def test_a_pid_file_that_cannot_be_written(self):
        """It is said, and the daemon runs."""
        path = os.path.join(self.folder, "missing", "pid")
        command = [servers.find_candidate(), "-P", path, "-l", "127.0.0.1", "-p", str(self.port), *as_root()]
        server = servers.Server(command[0], command[1:], listen=False).start()
        self.addCleanup(server.kill)
        client = checks.until(self.connect, "it accepts")
        client.close()
        checks.until(lambda: path in server.log(), "it says so")
        server.stop()

    @unittest.skipUnless(checks.is_root(), "needs root")
    def test_as_another_user(self):
        client = self.start(user="nobody")
        client.ask(b"set a 0 0 1\r\nx\r\n")
        runs_as(self, self.pid, "nobody")
        self.assertEqual(os.stat(self.pid_file).st_uid, pwd.getpwnam("nobody").pw_uid)


def runs_as(test, pid, name):
    user = pwd.getpwnam(name)
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    test.assertEqual(set(fields["Uid"].split()), {str(user.pw_uid)})
    test.assertEqual(set(fields["Gid"].split()), {str(user.pw_gid)})
    test.assertEqual(fields["Groups"].split(), [])


@unittest.skipUnless(checks.is_root(), "needs root")
class AnotherUser(unittest.TestCase):
    """-u in the foreground."""

    def test_the_socket_belongs_to_the_user(self):
        """Else its clients, who share the user or the group, cannot connect."""
        user = pwd.getpwnam("nobody")
        with tempfile.TemporaryDirectory(prefix="cairn-test-") as folder:
            os.chmod(folder, 0o777)
            path = os.path.join(folder, "socket")
            options = ["-u", "nobody", "-s", path, "-a", "0660"]
            with servers.Server(servers.find_candidate(), options, listen=False) as server:
                checks.until(lambda: self.answers(path), "it answers, so all is set")
                found = os.stat(path)
                self.assertEqual((found.st_uid, found.st_gid), (user.pw_uid, user.pw_gid))
                self.assertEqual(stat.S_IMODE(found.st_mode), 0o660)
                runs_as(self, server.pid, "nobody")

    def answers(self, path):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(path)
            except OSError:
                return False
            return servers.Client(sock).ask(b"mn\r\n") == b"MN\r\n"

    def test_limits_are_raised_before(self):
        options = ["-u", "nobody", "-c", "3000"]
        with servers.Server(servers.find_candidate(), options) as server, server.connect() as client:
            client.ask(b"mn\r\n")
            runs_as(self, server.pid, "nobody")
            with open(f"/proc/{server.pid}/limits", encoding="ascii") as file:
                line, = [line for line in file if line.startswith("Max open files")]
        self.assertGreaterEqual(int(line.split()[3]), 3000)


class CoreFiles(unittest.TestCase):
    def test_the_limit_is_raised(self):
        with servers.Server(servers.find_candidate(), ["-r"]) as server:
            with open(f"/proc/{server.pid}/limits", encoding="ascii") as file:
                line, = [line for line in file if line.startswith("Max core file size")]
        soft, hard = line.split()[4:6]
        self.assertEqual(soft, hard)


if __name__ == "__main__":
    checks.main()
