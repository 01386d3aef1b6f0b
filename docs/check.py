"""Does what the pages say: python docs/check.py FOLDER [PAGE ...], with nepal-loop, lmp and this Python's nepal in reach.

In each page the blocks `sh` and `python` are run in their order, and a block whose first line is a comment with
a file's name is written to that file first. All pages share FOLDER. A block that fails ends it with status 1."""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PAGES = ["start", "meaning", "hosts", "labels", "formats", "coming-from", "trouble"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.\w+)\n")


def messages():
    """Every message of the page of troubles is one of the program's."""
    sources = " ".join(
        " ".join(re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8")).split())
        for path in (HERE.parent / "src").rglob("*.rs")
    )
    table = (HERE / "trouble.md").read_text(encoding="utf-8").split("| --- |")[1]
    for message in re.findall(r"^\| `(.*?)`", table, re.MULTILINE):
        if message not in sources:
            sys.exit(f"docs/trouble.md: nothing says {message!r}")


def main(folder, *pages):
    messages()
    folder = pathlib.Path(folder)
    ran = 0
    for page in pages or PAGES:
        text = (HERE / f"{page}.md").read_text(encoding="utf-8")
        for language, block in BLOCK.findall(text):
            if named := FILE.match(block):
                (folder / named[1]).write_text(block, encoding="utf-8")
                continue
            words = {"sh": ["bash", "-euo", "pipefail", "-c", block], "python": [sys.executable, "-c", block]}.get(language)
            if words is None:
                continue
            done = subprocess.run(
                words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
            )
            ran += 1
            if done.returncode or "Traceback" in done.stdout:
                sys.exit(f"docs/{page}.md: status {done.returncode} of\n{block}\n{done.stdout}")
    print(f"{ran} blocks of {len(pages or PAGES)} pages ran")


if __name__ == "__main__":
    main(*sys.argv[1:])
