#!/usr/bin/env python3
"""Copies, shared caches and edits of campaigns: nothing is lost, nothing is paid twice without a word.

usage: python3 benches/campaigns.py [--copies 20] [--pairs 4] [--edits 20] [--seed 1] [--program target/release/nepal-loop]

A small Stillinger-Weber campaign, whose labels are processes of their own that count themselves, is
 * copied (`cp -a`) at a random moment while it runs; original and copy then go on at the same time. The copy has to say
   that it is one, both end like an undisturbed run, the original with no label computed twice and none lost;
 * run twice with one cache at the same time, half of the pairs with another host name each (`unshare`, needs root) or
   with one of the two killed on the way: each label is computed once, apart from those that were being computed then;
 * edited in one random key after its end, and run again: it either computes no label again, or refuses to go on
   without --accept-changes, names the key and how many labels are at stake, and has changed nothing.
"""
import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import chaos

EDITS = [
    ("seed = 5", "seed = 6"),
    ("seed = 5", "seed = 500"),
    ("threads = 1", "threads = 2"),
    ('title = "Chaos"', 'title = "Order"'),
    ("first_epochs = ", "first_epochs = 1"),
    ("final_epochs = ", "final_epochs = 1"),
    ("cutoff 5 4", "cutoff 5 4.2"),
    ("neuron 8", "neuron 9"),
    ('method = "Stillinger-Weber behind', 'method = "stillinger-Weber behind'),
    ('method = "Stillinger-Weber behind', 'method = "SW behind'),
    ("parallel = 3", "parallel = 2"),
    ("parallel = 3", "parallel = 3\ntimeout = 1000"),
    ("lattice = 5.43\nstrain", "lattice = 5.44\nstrain"),
    ("strain = 0.03", "strain = 0.031"),
    ("rattle = 0.1\ncount = 20", "rattle = 0.1001\ncount = 20"),
    ("count = 20", "count = 21"),
    ("count = 6", "count = 5"),
    ("save = 1.5", "save = 1.6"),
    ("break = 8.0", "break = 9.0"),
    ("temperature = [300, 1200]", "temperature = [300, 1201]"),
    ("timestep = 0.002", "timestep = 0.001"),
    ("steps = 1500", "steps = 1600"),
    ("max_structures = 10", "max_structures = 9"),
    ("clean_rounds = 3", "clean_rounds = 2"),
    ('name = "warm"', 'name = "warmer"'),
]


def site(folder, common):
    """A campaign's folder; the labelling program is one for all, and notes where it ran."""
    folder.mkdir()
    text = (common / "c.toml").read_text().replace("count = 60", "count = 20").replace("steps = 3000", "steps = 1500")
    (folder / "c.toml").write_text(text)


def start(place, program, wrapper=()):
    """A driver in a folder, with its words in a file beside it."""
    with open(place.parent / f"{place.name}.stderr", "wb") as words:
        return subprocess.Popen([*wrapper, program, "run", "c.toml"], cwd=place, stdout=words, stderr=words)


def said(place):
    return (place.parent / f"{place.name}.stderr").read_text(errors="replace").strip()


def computed(common, *places):
    """How often each label was computed in some folders."""
    counts = collections.Counter()
    path = common / "computed"
    for line in path.read_text().splitlines() if path.exists() else []:
        key, folder = line.split(maxsplit=1)
        counts[key] += any(pathlib.Path(folder).is_relative_to(place) for place in places)
    return +counts


def ran(common, place):
    """How often a folder's jobs ran, by the beginnings of their keys."""
    folders = [pathlib.Path(line.split(maxsplit=1)[1]) for line in (common / "computed").read_text().splitlines()]
    return collections.Counter(folder.name.split("-")[0] for folder in folders if folder.is_relative_to(place))


def ended(child, place, wrong, what):
    if child.wait(timeout=900) not in (0, 3):
        wrong.append(f"{what}: ended with {child.returncode}: {said(place)[-300:]}")
        return False
    return True


def copies(base, options, common, quiet, chance, wrong):
    """Copies at random moments of a run; how many labels that they had already were computed by them again."""
    again = 0
    # Labels that look wrong are computed a second time in any run.
    doubted = {key for key, number in ran(common, quiet).items() if number > 1}
    for n in range(options.copies):
        own, copy = base / f"own{n}", base / f"copy{n}"
        site(own, common)
        child = start(own, options.program)
        time.sleep(chance.uniform(0.1, 0.9) * options.quiet)
        # Files that come and go are missed.
        subprocess.run(["cp", "-a", own, copy], stderr=subprocess.DEVNULL, check=False)
        had = {path.stem[:16] for path in (copy / "work/labels/labels").rglob("*.json")}
        other = start(copy, options.program)
        what = f"copy {n}"
        if ended(child, own, wrong, what) and ended(other, copy, wrong, what):
            for name, place in [(name, place) for name in chaos.SAME for place in (own, copy)]:
                if (quiet / "work" / name).read_bytes() != (place / "work" / name).read_bytes():
                    wrong.append(f"{what}: {name} of {place.name} differs")
            counts = computed(common, own)
            if counts != options.counts:
                wrong.append(f"{what}: the original computed {counts.total()} labels, {len(counts)} different ones")
            if "copy of" not in said(copy) and (copy / "work/campaign.json").exists() and had:
                wrong.append(f"{what}: does not say that it is one")
            again += len((set(ran(common, copy)) & had) - doubted)
        shutil.rmtree(own, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)
    if again:
        wrong.append(f"copies computed {again} labels again that they had")
    return again


def pairs(base, options, common, chance, wrong):
    """Two campaigns with one cache; how many labels there were, and how many were computed again."""
    total = twice = 0
    for n in range(options.pairs):
        folders = [base / f"pair{n}{side}" for side in "ab"]
        for folder in folders:
            site(folder, common)
            path = folder / "c.toml"
            cache = f'control_hours = -1\ncache = "{base}/cache{n}"'
            path.write_text(path.read_text().replace("control_hours = -1", cache))
        far = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"] if n % 2 and os.geteuid() == 0 else []
        first, second = start(folders[0], options.program), start(folders[1], options.program, far)
        slack = 0
        if n % 4 >= 2:
            time.sleep(chance.uniform(0.2, 0.6) * options.quiet)
            first.send_signal(signal.SIGKILL)
            first.wait()
            # Those that run, three at most, end with their driver or go on without it.
            slack = 3
            first = start(folders[0], options.program)
        what = f"pair {n}"
        ended(first, folders[0], wrong, what)
        ended(second, folders[1], wrong, what)
        counts = computed(common, *folders)
        more = (counts - options.counts).total()
        total, twice = total + len(counts), twice + more
        if more > slack:
            wrong.append(f"{what}: {more} of {len(counts)} labels were computed again")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return total, twice


def edits(base, options, common, quiet, chance, wrong):
    """Edits of a finished campaign; how many went on, and how many asked first."""
    went, asked = [], []
    for old, new in chance.sample(EDITS, min(options.edits, len(EDITS))):
        kept = base / "kept"
        subprocess.run(["cp", "-a", quiet, kept], check=True)
        path = quiet / "c.toml"
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new))
        before, snapshot = computed(common, quiet), files(quiet)
        code = start(quiet, options.program).wait(timeout=900)
        paid = computed(common, quiet) - before
        words = said(quiet)
        if code in (0, 3):
            went.append(new)
            repeated = sum((paid & before).values())
            if repeated:
                wrong.append(f"edit {old!r} -> {new!r}: {repeated} labels were paid again")
        elif "--accept-changes" in words and re.search(r"\d+ (of \d+ )?label", words):
            asked.append(new)
            if paid or files(quiet) != snapshot:
                wrong.append(f"edit {old!r} -> {new!r}: {paid.total()} labels computed or files changed before asking")
        else:
            wrong.append(f"edit {old!r} -> {new!r}: ended with {code}: {words[-300:]}")
        shutil.rmtree(quiet)
        kept.rename(quiet)
    return went, asked


def files(place):
    """What a run may not touch before it is told to."""
    names = [p for p in sorted((place / "work").rglob("*")) if p.is_file() and not p.name.startswith(("live", "journal", "jobs", "campaign"))]
    return {str(p): p.read_bytes() for p in names if p.suffix != ".driver"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--last", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--program", default=str(chaos.ROOT / "target/release/nepal-loop"))
    options = parser.parse_args()
    options.program = str(pathlib.Path(options.program).resolve())
    chance = random.Random(options.seed)
    wrong = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        base = pathlib.Path(name).resolve()
        common, quiet = base / "common", base / "quiet"
        common.mkdir()
        script = chaos.Site(common, options).folder / "label.sh"
        script.write_text(script.read_text().replace('$(basename "$PWD")', "$PWD"))
        site(quiet, common)
        begun = time.time()
        if not ended(start(quiet, options.program), quiet, wrong, "undisturbed"):
            sys.exit(wrong[0])
        options.quiet = time.time() - begun
        options.counts = computed(common, quiet)
        print(f"undisturbed: {options.quiet:.0f} s, {len(options.counts)} labels, {options.counts.total() - len(options.counts)} of them doubted and computed again\n\n| what | |\n| --- | --- |", flush=True)
        again = copies(base, options, common, quiet, chance, wrong)
        print(f"| copies made while the original runs | {options.copies} |")
        print(f"| labels that a copy had and computed again | {again} |", flush=True)
        total, twice = pairs(base, options, common, chance, wrong)
        print(f"| pairs with one cache at the same time | {options.pairs} |")
        print(f"| their labels, of which computed again | {total}, {twice} |", flush=True)
        went, asked = edits(base, options, common, quiet, chance, wrong)
        print(f"| edits that went on without paying again | {len(went)} |\n| edits that asked first | {len(asked)} |")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
