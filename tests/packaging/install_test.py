"""What cmake --install does: the server and the client can each be installed without the other."""

import os
import pathlib
import subprocess
import unittest

FOLDER = pathlib.Path(os.environ["CAIRN_TEST_DIR"])


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, check=True, text=True).stdout


def installed(name, *options):
    """The files, by their paths below the prefix."""
    prefix = FOLDER / name
    run(os.environ["CAIRN_CMAKE"], "--install", os.environ["CAIRN_BUILD_DIR"], "--prefix", prefix, *options)
    return {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = installed("server", "--component", "server")
        cls.client = installed("client", "--component", "client")

    def test_server_is_no_client(self):
        self.assertEqual([path for path in self.server if "libcairn" in path or path.startswith("include")], [])
        for path in ("bin/cairnd", "libexec/cairn/cairnd-from-conf"):
            self.assertIn(path, self.server)
        self.assertEqual(run(FOLDER / "server/bin/cairnd", "-V"), run(os.environ["CAIRND"], "-V"))

    def test_client_is_no_server(self):
        self.assertEqual([path for path in self.client if "cairnd" in path], [])
        self.assertIn("bin/cairn-cli", self.client)

    def test_documents_come_with_both(self):
        names = {pathlib.Path(path).name for path in self.server & self.client}
        self.assertLessEqual({"LICENSE", "README.md", "client.md", "options.md"}, names)

    def test_together_they_are_everything(self):
        self.assertEqual(installed("all"), self.server | self.client)


if __name__ == "__main__":
    unittest.main()
