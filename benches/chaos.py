#!/usr/bin/env python3
"""A campaign under attack: it has to end, byte for byte, like one that nobody touched.

usage: python3 benches/chaos.py [--kills 100] [--seed 1] [--program target/release/nepal-loop]

A small Stillinger-Weber campaign, whose labels are processes of their own, is run twice. The second time drivers,
trainings and labels are killed (SIGKILL) at random moments, drivers are asked to stop (SIGTERM), the disk is full
once (a tmpfs, needs root), the journal's last line is spoilt, a stored label and the file of a finished step are
truncated. Then training set, model and active set are compared, and how often each label was computed.
Fails if anything differs.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

CAMPAIGN = """
title = "Chaos"
directory = "work"
seed = 5
threads = 1
[model]
first_epochs = {epochs}
epochs = {more}
final_epochs = {last}
nep_in = '''
type 1 Si
cutoff 5 4
n_max 4 3
basis_size 5 4
l_max 3 0 0
neuron 8
'''
[label]
kind = "command"
method = "Stillinger-Weber behind a process"
command = ["sh", "{folder}/label.sh", "{{input}}", "{{output}}"]
parallel = 3
control_hours = -1
[[initial]]
prototype = "diamond"
elements = ["Si"]
lattice = 5.43
strain = 0.03
rattle = 0.1
count = 60
[[test]]
prototype = "diamond"
elements = ["Si"]
lattice = 5.43
rattle = 0.1
count = 6
[grade]
save = 1.5
break = 8.0
spacing = 50
[[explore]]
name = "warm"
start = {{ prototype = "diamond", elements = ["Si"], lattice = 5.43 }}
ensemble = "svr"
temperature = [300, 1200]
timestep = 0.002
steps = 3000
[select]
max_structures = 10
[stop]
clean_rounds = 3
max_rounds = {rounds}
"""

TEACHER = """
title = "teacher"
directory = "w"
initial = [{ prototype = "sc", elements = ["Si"], lattice = 4.0 }]
explore = [{ name = "x", ensemble = "nve", temperature = [1, 1], steps = 1, start = { prototype = "sc", elements = ["Si"], lattice = 4.0 } }]
model = { first_epochs = 1, epochs = 1, nep_in = "type 1 Si" }
label = { kind = "stillinger-weber" }
"""

# The line in `computed` is the label's last deed but one.
LABEL = """set -e
cp FOLDER/teacher.toml teacher.toml
PROGRAM --output-mode quiet label --config teacher.toml --structures "$1" --out labelled.xyz
sleep 0.PAUSE
echo "$(sha256sum <"$1" | cut -c 1-16) $(basename "$PWD")" >>FOLDER/computed
mv labelled.xyz "$2"
"""

SAME = ["final/nep.txt", "final/train.xyz", "final/active_set.asi"]


class Site:
    """A campaign's folder."""

    def __init__(self, folder, options):
        self.folder = folder
        self.work = folder / "work"
        self.options = options
        settings = dict(folder=folder, epochs=options.epochs, more=options.epochs // 3, last=options.last, rounds=options.rounds)
        (folder / "c.toml").write_text(CAMPAIGN.format(**settings))
        (folder / "teacher.toml").write_text(TEACHER)
        label = LABEL.replace("FOLDER", str(folder)).replace("PROGRAM", options.program).replace("PAUSE", "8")
        (folder / "label.sh").write_text(label)
        self.errors = folder.parent / f"{folder.name}.stderr"

    def start(self):
        with open(self.errors, "wb") as errors:
            return subprocess.Popen(
                [self.options.program, "--output-mode", "quiet", "run", "c.toml"],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def said(self):
        return self.errors.read_text(errors="replace").strip()

    def step(self):
        """The step in hand, by the journal's last line."""
        try:
            lines = (self.work / "journal.jsonl").read_bytes().splitlines()
            last = json.loads(lines[-1])
        except (OSError, ValueError, IndexError):
            return ""
        return last["step"] if last["event"] == "begin" else ""

    def computed(self):
        """How often each label was computed, and by which folders."""
        path = self.folder / "computed"
        counts = collections.Counter()
        folders = collections.defaultdict(list)
        for line in path.read_text().splitlines() if path.exists() else []:
            key, folder = line.split()
            counts[key] += 1
            folders[key].append(folder)
        return counts, folders

    def labels(self):
        """Processes of labels that run: group leader and folder."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                place = os.readlink(entry / "cwd")
                pid = int(entry.name)
                if place.startswith(str(self.work / "running")) and os.getpgid(pid) == pid:
                    found.append((pid, pathlib.Path(place).name))
            except OSError:
                continue
        return sorted(found)


def kill(child):
    child.kill()
    child.wait()


class Attack:
    def __init__(self, site, options):
        self.site = site
        self.options = options
        self.random = random.Random(options.seed)
        self.count = collections.Counter()
        self.in_step = collections.Counter()
        self.spoilt = set()
        self.notes = []

    def pause(self, child, most):
        """A random time, or the driver's end: whether it still runs."""
        end = time.time() + self.random.uniform(0.02, most)
        while time.time() < end:
            if child.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def wait_for(self, child, condition, most=60):
        end = time.time() + most
        while not condition():
            if child.poll() is not None or time.time() > end:
                return False
            time.sleep(0.01)
        return True

    def plan(self):
        kills = self.options.kills
        plan = ["driver"] * (kills - kills // 4 - kills // 4)
        plan += ["label"] * (kills // 4) + ["trainer"] * (kills // 4)
        plan += ["stop"] * max(1, kills // 10) + ["journal", "cache", "file", "disk"]
        self.random.shuffle(plan)
        # Not before there is something to spoil.
        late = [plan.pop(plan.index(deed)) for deed in ("journal", "cache", "file", "disk")]
        for deed in late:
            plan.insert(self.random.randint(min(3, len(plan)), max(3, len(plan) // 3)), deed)
        return plan

    def run(self):
        plan = self.plan()
        child = self.site.start()
        begun = time.time()
        while plan:
            if self.site.step().startswith("final") and set(plan) == {"label"}:
                break
            deed = self.due(plan)
            # Labels take most of the time, and would take most of the attacks.
            idle = self.site.step().startswith("label") and deed != "label" and self.random.random() < 0.7
            if not self.pause(child, self.spacing()):
                if child.returncode in (0, 3):
                    break
                sys.exit(f"the driver ended by itself: {self.site.said()}")
            if idle or not getattr(self, deed)(child):
                continue
            plan.remove(deed)
            self.count[deed] += 1
            if child.poll() is not None:
                child = self.site.start()
        if plan:
            self.notes.append(f"the labels were all there before {len(plan)} of the attacks on them")
        # Late enough for the training's checkpoint, which is written every 20 s.
        if child.poll() is None and self.wait_for(child, lambda: self.site.step().startswith("final"), 300):
            checkpoint = self.site.work / "final/training.checkpoint.json"
            stamp = checkpoint.stat().st_mtime if checkpoint.exists() else 0
            newer = lambda: checkpoint.exists() and checkpoint.stat().st_mtime > stamp
            if self.wait_for(child, newer, 120):
                time.sleep(self.random.uniform(0, 2))
                kill(child)
                self.count["late"] += 1
                child = self.site.start()
        if child.wait(timeout=600) not in (0, 3):
            sys.exit(f"the last run failed: {self.site.said()}")
        return time.time() - begun

    def spacing(self):
        """Steps that are soon over are attacked more often."""
        step = self.site.step()
        short = 0.2 if step.startswith("label") else 1.0 if step.startswith("final") else 0.5
        return short * self.options.spacing

    def due(self, plan):
        """The next deed that the step in hand allows."""
        step = self.site.step()
        fitting = "label" if step.startswith("label") else "trainer" if "train" in step else ""
        # Labels are soon over: most attacks on them have to come while they last.
        if fitting in plan and self.random.random() < 0.6:
            return fitting
        others = [deed for deed in plan if deed not in ("label", "trainer")]
        return others[0] if others else plan[0]

    def driver(self, child):
        self.in_step[self.site.step().rsplit("-", 1)[0] or "between steps"] += 1
        kill(child)
        return True

    def trainer(self, child):
        if not self.wait_for(child, lambda: "train" in self.site.step()):
            return False
        if not self.pause(child, self.spacing()) or "train" not in self.site.step():
            return False
        kill(child)
        return True

    def label(self, child):
        running = []

        def found():
            # A label that dies twice is given up, as it should be: each is killed once.
            hit = {name.split("-")[0] for name in self.spoilt}
            running[:] = [(p, f) for p, f in self.site.labels() if f.split("-")[0] not in hit]
            return bool(running)

        if not self.wait_for(child, found, 5):
            return False
        pid, folder = self.random.choice(running)
        time.sleep(self.random.uniform(0, 0.2))
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.spoilt.add(folder)
        return True

    def stop(self, child):
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=120)
        return True

    def journal(self, child):
        kill(child)
        path = self.site.work / "journal.jsonl"
        content = path.read_bytes()
        last = content[:-1].rfind(b"\n") + 1
        if last == 0:
            return True
        middle = (last + len(content)) // 2
        path.write_bytes(content[:middle] + b"\x00" * (len(content) - middle - 1) + b"\n")
        return True

    def cache(self, child):
        kill(child)
        stored = sorted((self.site.work / "labels/labels").rglob("*.json"))
        if stored:
            victim = self.random.choice(stored)
            os.truncate(victim, victim.stat().st_size // 2)
            self.spoilt.add(victim.stem[:16])
        return True

    def file(self, child):
        kill(child)
        done = sorted(self.site.work.glob("round-*/labelled.xyz"))
        if done:
            os.truncate(done[-1], done[-1].stat().st_size // 2)
        return True

    def disk(self, child):
        if not self.options.disk:
            self.notes.append("the disk was not filled: no right to mount a tmpfs")
            return True
        filler = self.site.folder / "filler"
        try:
            with open(filler, "wb", buffering=0) as out:
                while True:
                    out.write(b"\0" * 4096)
        except OSError:
            pass
        # Labels that run now cannot leave their results either.
        self.spoilt.update(folder for _, folder in self.site.labels())
        try:
            code = child.wait(timeout=60)
            said = self.site.said()
        except subprocess.TimeoutExpired:
            code, said = None, ""
            kill(child)
        filler.unlink()
        self.disk_said = said
        self.notes.append(f"full disk: the driver ended with {code}: {said.splitlines()[-1][:160] if said else '(nothing)'}")
        return True


def verdict(quiet, rough, attack):
    wrong = []
    for name in SAME:
        if (quiet.work / name).read_bytes() != (rough.work / name).read_bytes():
            wrong.append(f"{name} differs")
    counts, folders = rough.computed()
    plain, _ = quiet.computed()
    if set(plain) != set(counts):
        wrong.append("other labels were computed")
    twice = {key: folders[key] for key in counts if counts[key] > plain[key]}
    # A label that was killed or truncated has to be computed again; the folder begins with its key.
    hit = {name.split("-")[0][:16] for name in attack.spoilt}
    excused = {key for key, names in twice.items() if any(n.split("-")[0] in hit for n in names)}
    for key in set(twice) - excused:
        wrong.append(f"label {key} was computed {counts[key]} times: {' '.join(twice[key])}")
    return wrong, len(counts), len(excused)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spacing", type=float, default=3.0, help="longest time between attacks, s")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--last", type=int, default=10000, help="epochs of the last training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", default=str(ROOT / "target/release/nepal-loop"))
    options = parser.parse_args()
    options.program = str(pathlib.Path(options.program).resolve())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        base = pathlib.Path(name).resolve()
        for part in ["quiet", "rough"]:
            (base / part).mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(base / "rough")]
        options.disk = subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0
        try:
            run(base, options)
        finally:
            if options.disk:
                subprocess.run(["umount", "-l", str(base / "rough")], check=False)


def run(base, options):
    quiet = Site(base / "quiet", options)
    begun = time.time()
    # Status 3: the rounds were used up before it converged.
    if quiet.start().wait() not in (0, 3):
        sys.exit(quiet.said())
    plain = time.time() - begun
    print(f"undisturbed: {plain:.0f} s", flush=True)
    rough = Site(base / "rough", options)
    attack = Attack(rough, options)
    wall = attack.run()
    wrong, labels, excused = verdict(quiet, rough, attack)
    went_on = len(re.findall("checkpoint at epoch", (rough.work / "final/training.json").read_text()))
    done = attack.count
    where = ", ".join(f"{n} {step}" for step, n in sorted(attack.in_step.items()))
    print("| what | |\n| --- | --- |")
    print(f"| drivers killed | {done['driver']} ({where}) |")
    print(f"| trainings killed | {done['trainer']} |")
    print(f"| last training killed after its first checkpoint | {done['late']} |")
    print(f"| labels killed | {done['label']} |")
    print(f"| drivers asked to stop (SIGTERM) | {done['stop']} |")
    print(f"| journal's last line spoilt, stored label truncated, finished file truncated, disk filled | {done['journal']}, {done['cache']}, {done['file']}, {done['disk'] * options.disk} |")
    print(f"| undisturbed run, run under attack | {plain:.0f} s, {wall:.0f} s |")
    print(f"| labels | {labels}, of which {excused} again because they were killed or truncated |")
    print(f"| labels computed twice without such a reason | {sum('was computed' in w for w in wrong)} |")
    print(f"| {', '.join(SAME)} | {'byte for byte the same' if not any('differs' in w for w in wrong) else 'DIFFER'} |")
    print(f"| the last training went on from a checkpoint | {'yes' if went_on else 'no'} |")
    for note in attack.notes:
        print(f"\n{note}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
