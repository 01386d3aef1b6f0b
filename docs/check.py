"""Does what the pages say: python docs/check.py FOLDER [PAGE ...], with nepal-loop, lmp and this Python's nepal in reach.

In each page the blocks `sh` and `python` are run in their order, and a block whose first line is a comment with
a file's name is written to that file first. All pages share FOLDER. Keys of other `toml` blocks, and flags of programs
in blocks that nothing here can run, are those of the reference. A block that fails ends it with status 1."""

import pathlib
import re
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
PAGES = ["start", "meaning", "hosts", "labels", "formats", "validation", "strategies", "coming-from", "trouble"]
KEYS = (HERE / "reference/campaign.md").read_text(encoding="utf-8")
COMMANDS = (HERE / "reference/commands.md").read_text(encoding="utf-8")
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


def known(page, table, path=""):
    """The keys of a piece of a campaign file are in the reference."""
    for key, value in table.items():
        if f"| `{key}` |" not in KEYS:
            sys.exit(f"docs/{page}.md: no campaign file has a key {path}{key}")
        values, at = (value, f"{path}{key}[]") if isinstance(value, list) else ([value], path + key)
        if f"# `{at}`" in KEYS:
            for inner in values:
                known(page, inner, at + ".")


def flags(page, block):
    for line in block.splitlines():
        if "nepal-loop" in line:
            for flag in re.findall(r" --[a-z0-9-]+", line.split("nepal-loop")[1]):
                if f"`{flag.strip()}" not in COMMANDS:
                    sys.exit(f"docs/{page}.md: no command has the flag{flag}: {line}")


def main(folder, *pages):
    messages()
    folder = pathlib.Path(folder)
    ran = 0
    for page in pages or PAGES:
        text = (HERE / f"{page}.md").read_text(encoding="utf-8")
        for language, block in BLOCK.findall(text):
            if named := FILE.match(block):
                (folder / named[1]).write_text(block, encoding="utf-8")
            elif language == "toml":
                known(page, tomllib.loads(block))
            if language not in ("sh", "python"):
                flags(page, block)
            if named:
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
