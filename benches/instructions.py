#!/usr/bin/env python3
"""Instructions of one evaluation, counted by callgrind: a regression shows on the noisiest machine.

Compares with results/instructions.json and fails if any count grew by more than 2 %; `--bless` writes
the counts instead. valgrind knows no AVX-512, so this counts the code for AVX2.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
STORED = HERE / "results" / "instructions.json"
SYSTEMS = ["c_diamond_4096", "pbte_8000", "unep_alloy_4000", "si_diamond_4096"]
# What is counted: the functions' names in the program, with all that they call.
PARTS = {
    "list": "nepal_core::system::neighbors::NeighborList::build",
    "f64": "nepal_core::backend::cpu::engine::perform*",
    "mixed": "nepal_core::backend::cpu::engine::perform*",
}
ALLOWED_GROWTH = 0.02


def program():
    """Builds the benchmark program and says where it is."""
    command = ["cargo", "bench", "--bench", "single", "--no-run", "--message-format", "json"]
    command += ["--no-default-features", "--features", "cpu"]
    lines = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in lines.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "single" and message.get("executable"):
            return message["executable"]
    sys.exit("cargo named no program for the benchmark `single`")


def count(executable, system, part):
    """Instructions per atom of one evaluation or one list."""
    precision = "mixed" if part == "mixed" else "f64"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += [f"--toggle-collect={PARTS[part]}", executable, system, precision, "1"]
        environment = {**os.environ, "RAYON_NUM_THREADS": "1", "NEPAL_SIMD": "avx2"}
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{run.stderr}")
        atoms = int(run.stdout.split()[0])
        totals = [line for line in out.read_text().splitlines() if line.startswith("totals:")]
    instructions = int(totals[0].split()[1])
    if not instructions:
        sys.exit(f"callgrind saw no call of {PARTS[part]}")
    return round(instructions / atoms)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bless", action="store_true", help="store the counts")
    options = parser.parse_args()
    executable = program()
    found = {s: {part: count(executable, s, part) for part in PARTS} for s in SYSTEMS}
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    failed = False
    print(f"{'instructions per atom':<22} {'found':>9} {'stored':>9}")
    for system, parts in found.items():
        for part, instructions in parts.items():
            before = stored.get(system, {}).get(part)
            grown = before is not None and instructions > before * (1 + ALLOWED_GROWTH)
            failed |= grown or before is None
            print(f"{system:<16} {part:<5} {instructions:>9} {before or '-':>9}{'   GREW' if grown else ''}")
    if options.bless:
        STORED.write_text(json.dumps(found, indent=2) + "\n")
    elif failed:
        sys.exit("instructions grew by more than 2 %, or none are stored")


if __name__ == "__main__":
    main()
