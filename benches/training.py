"""The trainer against GPUMD's numbers, against evolution, and against its own limits.

    python3 benches/training.py PROGRAM SHARED OUT.md PART...

PROGRAM is nepal-loop (a release build). SHARED holds `pbte_nep_train/train.xyz` (GPUMD's example) and
`mlearn/` with Si-train.xyz, Si-test.xyz and so on (Zuo et al., J. Phys. Chem. A 124, 731 (2020)). Parts:

    pbte[=MINUTES]       time until GPUMD's final training errors, and the errors at the end
    mlearn[=MINUTES]     test errors, ours and the evolution strategy's in the same time
    finetune[=MINUTES]   from half of the silicon set to all of it in a tenth of the time
    memory               peak memory and seconds per epoch from 10^4 to 10^6 atoms

Each part replaces its section of OUT.md. The machine must be idle: budgets are wall clock.
"""

import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

THREADS = os.cpu_count()
PBTE = "type 2 Te Pb\nlambda_1 0\nlambda_2 0\n"
#: One architecture for all three elements.
MLEARN = """type 1 {}
cutoff 5 5
n_max 6 4
basis_size 8 8
l_max 4 2 0
neuron 30
lambda_v 0
lambda_1 0.001
lambda_2 0.001
"""


def train(program, folder, settings, frames, *more, threads=THREADS):
    """Trains in a folder; gives the record, the seconds and the peak memory in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nep.in").write_text(settings)
    command = [program, "--output-mode", "json", "train", "--config", folder / "nep.in"]
    command += ["--train", frames, "--threads", threads, "--out", folder / "nep.txt", *more]
    start = time.monotonic()
    with open(folder / "log", "w") as log:
        child = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text()[-2000:])
    record = json.loads((folder / "nep.json").read_text())
    return record, time.monotonic() - start, usage.ru_maxrss * 1024


def pbte(program, shared, folder, minutes):
    minutes = minutes or 15.0
    frames = shared / "pbte_nep_train/train.xyz"
    target = PBTE + "target_error 0.41e-3 39.9e-3\n"
    _, reached, _ = train(program, folder / "target", target, frames, "--budget", 1)
    record, seconds, _ = train(program, folder / "whole", PBTE, frames, "--budget", minutes)
    final = record["train"]
    return [
        "| | energy, meV/atom | force, meV/Å | seconds |",
        "| --- | --- | --- | --- |",
        "| GPUMD's example, final | 0.41 | 39.9 | |",
        f"| both reached (budget 1 min) | | | {reached:.0f} |",
        f"| after {minutes:g} min | {1e3 * final['energy_rmse']:.3f} | {1e3 * final['force_rmse']:.2f} "
        f"| {seconds:.0f} |",
        f"| share of GPUMD's | {final['energy_rmse'] / 0.41e-3:.2f} | {final['force_rmse'] / 39.9e-3:.2f} | |",
    ]


def predicted(program, folder, settings, model, frames):
    """Errors of a model on frames that its training never saw."""
    return train(program, folder, settings + "prediction 1\n", frames, "--init", model)[0]["train"]


def mlearn(program, shared, folder, minutes):
    """The test sets choose nothing: they are evaluated once, with the models that training ended with."""
    minutes = minutes or 10.0
    rows = [
        f"Evolution and nepal ran at the same time, {minutes:g} minutes on one thread each; GAP (SOAP, 2000 sparse "
        "points, `benches/peer_gap.py`) is fitted to its end. Energies in meV/atom, forces in eV/Å, test sets.",
        "",
        "| element | method | energy RMSE | energy MAE | force RMSE | force MAE | nepal's force RMSE / its |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    gap = pathlib.Path(__file__).parent / "results/gap.json"
    peers = json.loads(gap.read_text()) if gap.exists() else {}
    for element in ["Si", "Ge", "Li"]:
        settings = MLEARN.format(element)
        frames, test = (shared / f"mlearn/{element}-{name}.xyz" for name in ["train", "test"])

        def errors(name, settings=settings, frames=frames, test=test):
            own = folder / f"{element}-{name}"
            line = "optimizer snes\n" if name == "evolution" else ""
            train(program, own, settings + line, frames, "--budget", minutes, threads=1)
            return predicted(program, own / "test", settings, own / "nep.txt", test)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = dict(zip(["evolution", "nepal"], pool.map(errors, ["evolution", "nepal"])))
        found["GAP"] = peers.get(element)
        for name in ["evolution", "GAP", "nepal"]:
            if e := found[name]:
                share = found["nepal"]["force_rmse"] / e["force_rmse"]
                rows.append(
                    f"| {element} | {name} | {1e3 * e['energy_rmse']:.2f} | {1e3 * e['energy_mae']:.2f} "
                    f"| {e['force_rmse']:.4f} | {e['force_mae']:.4f} | {share:.2f} |"
                )
    return rows


def blocks(path):
    """The frames of an extended XYZ file as lists of lines."""
    lines = pathlib.Path(path).read_text().split("\n")
    at = 0
    while at < len(lines) and lines[at].strip():
        n = int(lines[at])
        yield lines[at : at + n + 2]
        at += n + 2


def finetune(program, shared, folder, minutes):
    minutes = minutes or 3.0
    whole = shared / "mlearn/Si-train.xyz"
    test = shared / "mlearn/Si-test.xyz"
    half = folder / "half.xyz"
    folder.mkdir(parents=True, exist_ok=True)
    half.write_text("".join("\n".join(b) + "\n" for b in list(blocks(whole))[::2]))
    settings = MLEARN.format("Si")
    rows = ["| training | minutes | test force RMSE, eV/Å |", "| --- | --- | --- |"]
    for name, frames, share, init in [
        ("half of the set", half, 1.0, None),
        ("all, fresh", whole, 1.0, None),
        ("all, fresh", whole, 0.1, None),
        ("all, from the half's model", whole, 0.1, folder / "0/nep.txt"),
    ]:
        more = ["--budget", minutes * share, *(["--init", init] if init else [])]
        own = folder / str(len(rows) - 2)
        train(program, own, settings, frames, *more)
        found = predicted(program, own / "test", settings, own / "nep.txt", test)
        rows.append(f"| {name} | {minutes * share:g} | {found['force_rmse']:.4f} |")
    return rows


def memory(program, shared, folder, _):
    source = list(blocks(shared / "pbte_nep_train/train.xyz"))
    rows = ["| atoms | seconds for 2 epochs | per atom, µs | peak memory, GB |", "| --- | --- | --- | --- |"]
    rng = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    for copies in [2, 16, 160]:
        path = folder / f"{copies}.xyz"
        with open(path, "w") as out:
            for _ in range(copies):
                for block in source:
                    out.write("\n".join(block[:2]) + "\n")
                    for line in block[2:]:
                        words = line.split()
                        # No two frames are the same: repetitions would be refused.
                        words[1:4] = [f"{float(x) + rng.gauss(0, 0.01):.5f}" for x in words[1:4]]
                        out.write(" ".join(words) + "\n")
        settings = PBTE + "optimizer adam\nbad_data keep\n"
        _, seconds, peak = train(program, folder / str(copies), settings, path, "--epochs", 2)
        atoms = copies * sum(len(b) - 2 for b in source)
        path.unlink()
        rows.append(f"| {atoms} | {seconds:.1f} | {1e6 * seconds / atoms:.0f} | {peak * 1e-9:.2f} |")
    return rows


TITLES = {
    "pbte": "GPUMD's PbTe example",
    "mlearn": "Silicon, germanium, lithium: gradients against evolution",
    "finetune": "Fine-tuning",
    "memory": "Memory and epochs",
}


def main():
    program, shared, out, *parts = sys.argv[1:]
    program, shared, out = os.path.abspath(program), pathlib.Path(shared), pathlib.Path(out)
    for part in parts:
        name, _, value = part.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            job = globals()[name]
            rows = job(program, shared, pathlib.Path(folder) / name, float(value) if value else None)
        sections = {}
        if out.exists():
            for section in out.read_text().split("\n## ")[1:]:
                title, _, body = section.partition("\n")
                sections[title] = body.strip()
        sections[TITLES[name]] = "\n".join(rows)
        text = "# The trainer\n\nMade by `python3 benches/training.py`; parts can be run again one by one.\n"
        for title, body in sections.items():
            text += f"\n## {title}\n\n{body}\n"
        out.write_text(text)
        print(f"## {TITLES[name]}\n\n" + "\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
