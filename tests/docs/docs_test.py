"""The pages of docs/ that the server writes itself are what it writes now, and docs/client.md has the whole interface.

The former come from the tables that drive it; a change there is followed by
    for page in options stats commands; do cairnd --describe=$page > docs/$page.md; done
"""

import difflib
import os
import pathlib
import re
import subprocess
import unittest

SOURCE = pathlib.Path(os.environ["CAIRN_SOURCE_DIR"])
DOCS = SOURCE / "docs"
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


# Of these a reader needs no more than the header: values that are passed on, and what the library sees of a request.
NOT_EXPLAINED = {"statistics.h", "tracing.h"}


def interface(header):
    """What a public header offers: classes, their public calls, functions, and the fields of options."""
    text = re.sub(r"//.*", "", header.read_text(encoding="utf-8"))
    names = set(re.findall(r"^CAIRN_EXPORT [^(]*?(\w+)\(", text, re.MULTILINE))
    classes = r"^class (CAIRN_EXPORT )?(\w+) {\n(.*?)^};"
    for exported, name, body in re.findall(classes, text, re.DOTALL | re.MULTILINE):
        names.update({name} if exported else ())
        names.update(re.findall(r"^  (?!explicit )[\w:<>,*& ]+ ([A-Z]\w+)\(", body.split(" private:")[0], re.MULTILINE))
    options = r"^( *)struct (?:CAIRN_EXPORT )?(?:\w*Options|Server) {\n(.*?)^\1};"
    for _, body in re.findall(options, text, re.DOTALL | re.MULTILINE):
        for line in body.splitlines():
            field = re.fullmatch(r" +(?!using |static |enum )\w.* [*&]?(\w+)", line.split(" = ")[0].rstrip("; "))
            if field and field[1] != "const":
                names.add(field[1])
    return names


class Client(unittest.TestCase):
    def test_page_has_the_whole_interface(self):
        words = set(re.findall(r"\w+", (DOCS / "client.md").read_text(encoding="utf-8")))
        headers = {header.name: interface(header) for header in (SOURCE / "client" / "include" / "cairn").glob("*.h")}
        self.assertLessEqual({"Client", "Get", "IncrementOrStart", "InvalidateMulti"}, headers["client.h"])
        self.assertLessEqual({"servers", "key_prefix", "tracer", "flags"}, headers["options.h"])
        self.assertLessEqual({"WarmUp", "batch", "progress"}, headers["warm_up.h"])
        for name, offered in headers.items():
            if name not in NOT_EXPLAINED:
                with self.subTest(name):
                    self.assertEqual(offered - words, set())


if __name__ == "__main__":
    unittest.main()
