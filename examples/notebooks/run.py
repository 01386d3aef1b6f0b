"""Executes the notebooks: python run.py [--keep] [NAME ...]; --keep writes the outputs into them.

Needs nbclient, ipykernel, matplotlib and what a notebook says. One whose programs are missing is left out and told."""

import importlib.util
import pathlib
import shutil
import sys
import time

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).resolve().parent
#: Modules and programs that a notebook needs beside nepal, ASE and matplotlib.
NEEDS = {"4-lammps": ["lmp"], "5-thermal-conductivity": ["phono3py"]}


def main(*arguments):
    names = [a for a in arguments if a != "--keep"]
    ran = 0
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        missing = [n for n in NEEDS.get(path.stem, []) if not (shutil.which(n) or importlib.util.find_spec(n))]
        if missing:
            print(f"left out: {path.stem}: needs {', '.join(missing)}")
            continue
        book = nbformat.read(path, as_version=4)
        start = time.monotonic()
        NotebookClient(book, timeout=300, resources={"metadata": {"path": str(HERE)}}, record_timing=False).execute()
        figures = sum("image/png" in o.get("data", {}) for c in book.cells for o in c.get("outputs", []))
        print(f"{path.stem}: {time.monotonic() - start:.0f} s, {figures} figures")
        if "--keep" in arguments:
            nbformat.write(book, path)
        ran += 1
    print(f"{ran} notebooks ran")


if __name__ == "__main__":
    main(*sys.argv[1:])
