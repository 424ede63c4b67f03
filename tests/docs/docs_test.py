"""The pages of docs/ that the server writes itself are what it writes now.

They come from the tables that drive it; a change there is followed by
    for page in options stats commands; do cairnd --describe=$page > docs/$page.md; done
"""

import difflib
import os
import pathlib
import subprocess
import unittest

DOCS = pathlib.Path(os.environ["CAIRN_SOURCE_DIR"]) / "docs"
PAGES = ("options", "stats", "commands")


class Pages(unittest.TestCase):
    def test_pages_are_current(self):
        for page in PAGES:
            with self.subTest(page):
                command = [os.environ["CAIRND"], f"--describe={page}"]
                written = subprocess.run(command, capture_output=True, check=True, text=True).stdout
                path = DOCS / f"{page}.md"
                found = path.read_text(encoding="utf-8") if path.exists() else ""
                difference = difflib.unified_diff(found.splitlines(), written.splitlines(), str(path),
                                                  " ".join(command), lineterm="")
                self.assertEqual(found, written, "\n" + "\n".join(difference))

    def test_other_pages_are_refused(self):
        done = subprocess.run([os.environ["CAIRND"], "--describe=nothing"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
