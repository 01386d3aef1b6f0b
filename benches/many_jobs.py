#!/usr/bin/env python3
"""Ten thousand labels through a real Slurm of one node: what the driver costs, how often it asks.

usage: python3 benches/many_jobs.py [--labels 10000] [--program target/release/nepal-loop] [--poll 10]
Needs slurmctld, slurmd and munged (apt-get install --no-install-recommends slurm-wlm munge), as root. The labels
come from a shell script that computes next to nothing, so that all the time is Slurm's and the driver's.
"""
import argparse
import os
import pathlib
import resource
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NODE = ROOT / "tests/support/slurm-node.sh"

CAMPAIGN = """
title = "many"
directory = "work"
initial = [{{ prototype = "sc", elements = ["Na"], lattice = 4.0 }}]
[[explore]]
name = "none"
start = {{ prototype = "sc", elements = ["Na"], lattice = 4.0 }}
ensemble = "nve"
temperature = [300, 300]
steps = 1
[model]
first_epochs = 1
epochs = 1
nep_in = "type 1 Na\\ncutoff 4 4\\nn_max 1 1\\nl_max 1 0 0\\nneuron 1\\n"
[label]
kind = "command"
method = "nothing"
command = ["sh", "{folder}/label.sh", "{{input}}", "{{output}}"]
[scheduler]
kind = "slurm"
wrapper = ["sh", "{folder}/count.sh"]
max_jobs = {labels}
array = 1000
poll_seconds = {poll}
"""

LABEL = """{ read n; read comment; read s x y z rest; } <"$1"
printf '1\\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1\\n%s %s %s %s 0 0 0\\n' \
    "$s" "$x" "$y" "$z" >"$2"
echo x >>FOLDER/computed
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=10000)
    parser.add_argument("--poll", type=float, default=10)
    parser.add_argument("--cpus", type=int, default=8)
    parser.add_argument("--program", default=str(ROOT / "target/release/nepal-loop"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o755)
        node = folder / "node"
        environment = dict(os.environ, SLURM_CONF=str(node / "slurm.conf"))
        (folder / "c.toml").write_text(
            CAMPAIGN.format(folder=folder, labels=options.labels, poll=options.poll)
        )
        (folder / "label.sh").write_text(LABEL.replace("FOLDER", str(folder)))
        (folder / "count.sh").write_text(f'echo "$(date +%s.%N) $1" >>{folder}/asked\nexec "$@"\n')
        with open(folder / "in.xyz", "w") as out:
            for i in range(options.labels):
                out.write('1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\n')
                out.write(f"Na {i * 1e-4:.6f} 0.0 0.0\n")
        subprocess.run(["sh", str(NODE), "start", str(node), str(options.cpus)], check=True)
        try:
            start = time.time()
            driver = subprocess.Popen(
                [options.program, "--output-mode", "quiet", "label", "--config", "c.toml"]
                + ["--structures", "in.xyz", "--out", "out.xyz"],
                cwd=folder,
                env=environment,
            )
            threading.Thread(target=watch, args=(driver, folder, options.labels, start), daemon=True).start()
            _, status, usage = os.wait4(driver.pid, 0)
            wall = time.time() - start
        finally:
            subprocess.run(["sh", str(NODE), "stop", str(node)], check=False)
        report(folder, options, status, usage, wall)


def watch(driver, folder, labels, start):
    while True:
        time.sleep(60)
        computed = folder / "computed"
        done = computed.stat().st_size // 2 if computed.exists() else 0
        print(f"{time.time() - start:.0f} s: {done} of {labels} computed", flush=True)


def report(folder, options, status, usage, wall):
    text = (folder / "out.xyz").read_text() if (folder / "out.xyz").exists() else ""
    labelled = text.count("Lattice")
    computed = len((folder / "computed").read_text().split())
    asked = [line.split() for line in (folder / "asked").read_text().splitlines()]
    times = [float(t) for t, _ in asked]
    gaps = [b - a for a, b in zip(times, times[1:])]
    kinds = {}
    for _, kind in asked:
        kinds[kind] = kinds.get(kind, 0) + 1
    seconds = usage.ru_utime + usage.ru_stime
    calls = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print("| what | measured |\n| --- | --- |")
    print(f"| labels asked for, accepted, computed | {options.labels}, {labelled}, {computed} |")
    print(f"| wall time | {wall:.0f} s |")
    print(f"| driver's largest memory | {usage.ru_maxrss / 1024:.0f} MB |")
    print(f"| driver's processor time, share of a core | {seconds:.1f} s, {100 * seconds / wall:.2f} % |")
    print(f"| calls of Slurm's commands | {calls} |")
    print(f"| shortest time between two calls | {min(gaps):.2f} s (poll_seconds = {options.poll:g}) |")
    assert status == 0 and labelled == computed == options.labels, "labels were lost or computed twice"
    assert min(gaps) > options.poll - 0.1, "the scheduler was asked too often"


if __name__ == "__main__":
    main()
