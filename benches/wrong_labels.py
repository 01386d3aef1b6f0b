#!/usr/bin/env python3
"""Two labels in a hundred are wrong: which of them reach the training set?

usage: python3 benches/wrong_labels.py [--labels 300] [--share 50] [--program target/release/nepal-loop]

The campaign of benches/chaos.py, whose labelling program fails for one structure in fifty the first time that it
sees it, each time in another way: it does not converge, its output is cut short, its forces are those of other
atoms, noisy, too large, or do not add up, its energy is off. In the end every label of the training set is computed
again by the reference method and compared. A run without faults stands beside it.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import chaos

ROOT = pathlib.Path(__file__).resolve().parent.parent

KINDS = ["unconverged", "forces of other atoms", "energy + 50 meV/atom", "noisy forces", "forces 20 % too large",
         "net force", "output cut short"]

LABEL = """set -e
cp FOLDER/teacher.toml teacher.toml
PROGRAM --output-mode quiet label --config teacher.toml --structures "$1" --out labelled.xyz
python3 FOLDER/spoil.py FOLDER "$1" labelled.xyz "${RUNG:-0}"
echo "$(sha256sum <"$1" | cut -c 1-16) $(basename "$PWD")" >>FOLDER/computed
mv labelled.xyz "$2"
"""

# Wrong once: the second time the same structure is computed as it should.
SPOIL = '''
import hashlib, os, random, sys
folder, source, out, rung = sys.argv[1:]
text = open(source, "rb").read()
key = hashlib.sha256(text).hexdigest()
share = SHARE
if not share or int(key[:8], 16) % share or rung != "0":
    sys.exit(0)
kinds = KINDS
os.makedirs(folder + "/spoilt", exist_ok=True)
for n in range(10000):
    try:
        os.mkdir(f"{folder}/spoilt/{n}")
        break
    except FileExistsError:
        if open(f"{folder}/spoilt/{n}/key").read() == key:
            sys.exit(0)
kind = kinds[n % len(kinds)]
open(f"{folder}/spoilt/{n}/key.new", "w").write(key)
open(f"{folder}/spoilt/{n}/kind", "w").write(kind)
os.rename(f"{folder}/spoilt/{n}/key.new", f"{folder}/spoilt/{n}/key")
random.seed(n)
lines = open(out).read().splitlines()
head = lines[1]
words = head.split("Properties=")[1].split()[0].split(":")
at, column = 0, None
for name, width in zip(words[0::3], words[2::3]):
    if name in ("force", "forces"):
        column = at
    at += int(width)
rows = [line.split() for line in lines[2:]]
forces = [[float(x) for x in row[column:column + 3]] for row in rows]
atoms = len(rows)
if kind == "unconverged":
    sys.exit(3)
if kind == "forces of other atoms":
    forces = forces[1:] + forces[:1]
if kind == "noisy forces":
    noise = [[random.gauss(0, 0.3) for _ in range(3)] for _ in range(atoms)]
    mean = [sum(n[d] for n in noise) / atoms for d in range(3)]
    forces = [[f[d] + n[d] - mean[d] for d in range(3)] for f, n in zip(forces, noise)]
if kind == "forces 20 % too large":
    forces = [[1.2 * x for x in f] for f in forces]
if kind == "net force":
    forces[0][0] += 0.5
if kind.startswith("energy"):
    word = [w for w in head.split() if w.startswith("energy=")][0]
    head = head.replace(word, f"energy={float(word[7:]) + 0.05 * atoms!r}")
for row, force in zip(rows, forces):
    row[column:column + 3] = [repr(x) for x in force]
if kind == "output cut short":
    rows = rows[: atoms // 2]
with open(out, "w") as file:
    file.write("\\n".join([lines[0], head] + [" ".join(row) for row in rows]) + "\\n")
'''


def frames(path):
    """Energy, positions and forces of the frames of an extended XYZ file."""
    lines = iter(path.read_text().splitlines())
    for count in lines:
        head = next(lines)
        words = head.split("Properties=")[1].split()[0].split(":")
        starts, at = {}, 0
        for name, width in zip(words[0::3], words[2::3]):
            starts[name.rstrip("s")] = at
            at += int(width)
        rows = [next(lines).split() for _ in range(int(count))]
        take = lambda name: [[float(x) for x in row[starts[name]:starts[name] + 3]] for row in rows]
        energy = float([w for w in head.split() if w.startswith("energy=")][0][7:])
        yield energy, take("po"), take("force")


def campaign(folder, options, share):
    folder.mkdir()
    site = chaos.Site(folder, options)
    text = (folder / "c.toml").read_text()
    text = text.replace("count = 60", f"count = {options.labels}")
    text = text.replace("control_hours", "ladder = [{ env = { RUNG = \"1\" } }]\ncontrol_hours")
    (folder / "c.toml").write_text(text)
    (folder / "label.sh").write_text(LABEL.replace("FOLDER", str(folder)).replace("PROGRAM", options.program))
    (folder / "spoil.py").write_text(SPOIL.replace("SHARE", str(share)).replace("KINDS", json.dumps(KINDS)))
    begun = time.time()
    if site.start().wait() != 0:
        sys.exit(site.said())
    print(f"one in {share}: {time.time() - begun:.0f} s" if share else f"without faults: {time.time() - begun:.0f} s", flush=True)
    return site


def wrong(site, options):
    """Labels of the training set that the reference method does not confirm."""
    command = [options.program, "--output-mode", "quiet", "label", "--config", "teacher.toml"]
    command += ["--structures", "work/final/train.xyz", "--out", "truth.xyz"]
    subprocess.run(command, cwd=site.folder, check=True)
    have, truth = list(frames(site.work / "final/train.xyz")), list(frames(site.folder / "truth.xyz"))
    assert len(have) == len(truth)
    bad = 0
    for (e, _, f), (e0, _, f0) in zip(have, truth):
        off = max(abs(x - y) for a, b in zip(f, f0) for x, y in zip(a, b))
        bad += abs(e - e0) > 1e-4 * len(f) or off > 1e-3
    return len(have), bad


def errors(site):
    test = json.loads((site.work / "final/training.json").read_text())["test"]
    return f"{1e3 * test['energy_rmse']:.2f} meV/atom, {1e3 * test['force_rmse']:.1f} meV/Å"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=300, help="structures of the first training set")
    parser.add_argument("--share", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--last", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", default=str(ROOT / "target/release/nepal-loop"))
    options = parser.parse_args()
    options.program = str(pathlib.Path(options.program).resolve())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        base = pathlib.Path(name).resolve()
        clean = campaign(base / "clean", options, 0)
        faulty = campaign(base / "faulty", options, options.share)
        report(clean, faulty, options)


def report(clean, faulty, options):
    spoilt = {}
    for folder in (faulty.folder / "spoilt").glob("*"):
        spoilt[(folder / "key").read_text()[:16]] = (folder / "kind").read_text()
    counts, folders = faulty.computed()
    # The folder of an attempt begins with the label's key; unconverged ones leave no line.
    again = {key for key, n in counts.items() if n > 1}
    quarantined = [p.name[:16] for p in (faulty.work / "labels/quarantine").glob("*")]
    by_key = {f.split("-")[0]: key for key, names in folders.items() for f in names}
    held = {by_key.get(name, name) for name in quarantined}
    print("| fault | injected | computed again | quarantined |\n| --- | --- | --- | --- |")
    for kind in KINDS:
        mine = {key for key, k in spoilt.items() if k == kind}
        repeated = len(mine & again) + (len(mine & set(counts)) if kind == "unconverged" else 0)
        print(f"| {kind} | {len(mine)} | {repeated} | {len(mine & held)} |")
    size, bad = wrong(faulty, options)
    size0, bad0 = wrong(clean, options)
    good = len(held - set(spoilt))
    print("\n| what | without faults | with |\n| --- | --- | --- |")
    print(f"| labels in the training set | {size0} | {size} |")
    print(f"| of them wrong | {bad0} | {bad} |")
    counts0, _ = clean.computed()
    print(f"| good labels computed again | {sum(n > 1 for n in counts0.values())} | {len(again - set(spoilt))} |")
    print(f"| good labels lost | 0 | {good} |")
    print(f"| errors on the test set | {errors(clean)} | {errors(faulty)} |")
    for path in sorted(faulty.work.glob("round-*/doubted.json")):
        doubts = [("wrong" if by_key.get(d["key"][:16]) in spoilt else "good", d["times"]) for d in json.loads(path.read_text())]
        if doubts:
            print(f"\n{path.parent.name}: " + ", ".join(f"{what} {times:.2f}" for what, times in doubts))
    caught = collections.Counter(spoilt.values())
    if bad or bad0 or good or not caught:
        sys.exit(f"{bad} wrong labels were trained on, {good} good ones lost")


if __name__ == "__main__":
    main()
