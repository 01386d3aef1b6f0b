"""The trainer against GPUMD's numbers, other potentials, evolution, TorchNEP, and its own limits.

    python3 benches/training.py PROGRAM SHARED OUT.md PART...

PROGRAM is nepal-loop (a release build). SHARED holds `pbte_nep_train/train.xyz` (GPUMD's example) and
`mlearn/` with Si-train.xyz, Si-test.xyz and so on (Zuo et al., J. Phys. Chem. A 124, 731 (2020)). Parts:

    pbte[=MINUTES]       time until GPUMD's final training errors, and the errors at the end
    accurate[=MINUTES]   test errors of `recipe accurate` on all threads beside MTP's, and what an evaluation costs
    mlearn[=MINUTES]     test errors, ours and the evolution strategy's in the same time
    torchnep[=MINUTES]   test errors, ours and TorchNEP's in the same time with one architecture, three seeds;
                         needs `TORCHNEP`, a Python that has torch and torchnep (see `torchnep`)
    finetune[=MINUTES]   from a model of 89 elements to one, with few labels, against from scratch; one thread each
    delta[=MINUTES]      silicon with few labels, with and without a baseline (Stillinger-Weber, and the published NEP of
                         bench_systems, of another functional), one thread each
    kinds[=MINUTES]      dipoles and polarizabilities of molecules and PbTe with charges beside GPUMD's published runs; needs
                         `TUTORIALS`, a clone of github.com/brucefan1983/GPUMD-Tutorials
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
import tarfile
import tempfile
import time

THREADS = os.cpu_count()
PBTE = "type 2 Te Pb\nlambda_1 0\nlambda_2 0\n"
#: One recipe for all elements; the virials of these sets are not the authors' own numbers.
MLEARN = "type 1 {}\nrecipe accurate\nlambda_v 0\n"
#: Force RMSE (meV/Å) and energy MAE (meV/atom) of the authors' moment tensor potentials on their test files.
MTP = {"Li": (13.2, 0.49), "Si": (88.1, 2.31), "Ge": (70.3, 1.79)}
#: A common model, for what an evaluation costs: GPUMD's default cutoffs, 50 neurons.
COMMON = "type 1 {}\ncutoff 8 4\nn_max 4 4\nbasis_size 8 8\nl_max 4 2 1\nneuron 50\n"
#: The one architecture of both trainers: what TorchNEP knows.
BOTH = """type 1 {}
cutoff 5 5
n_max 8 6
basis_size 8 8
l_max 4 2 0
neuron 30
"""
#: The shape of NEP89, for one element.
NEP89 = """type 1 {}
cutoff 6 5
n_max 4 4
basis_size 8 8
l_max 4 2 1
neuron 80
zbl 2
lambda_v 0
lambda_1 0.001
lambda_2 0.001
"""
#: The best of TorchNEP's schedules that was found by hand for sets of this size.
SCHEDULE = "batch 4\nlr_scheduler step\nstage2 1\n"


def train(program, folder, settings, frames, *more, threads=THREADS):
    """Trains in a folder; gives the record, the seconds, and what the system says that the process used."""
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
    return record, time.monotonic() - start, usage


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


def predicted(program, folder, settings, model, frames, *more):
    """Errors of a model on frames that its training never saw."""
    return train(program, folder, settings + "prediction 1\n", frames, "--init", model, *more)[0]["train"]


def cost(program, folder, settings, frames):
    """Energy, forces and virial on one thread, µs per atom, as `search` measures it."""
    record, _, _ = train(program, folder, settings, frames, "--epochs", 1)
    command = [program, "search", "--config", folder / "nep.in", "--train", frames, "--candidates", 2]
    command += ["--budget", 0.05, "--threads", 1, "--out", folder / "best.in"]
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    found = json.loads((folder / "best.json").read_text())["candidates"]
    return next(c["cost"] for c in found if c["nep_in"] == record["nep_in"])


def accurate(program, shared, folder, minutes):
    """`recipe accurate` beside MTP; the test sets are evaluated once, with the models that training ended with."""
    minutes = minutes or 10.0
    rows = [
        f"{minutes:g} minutes on {THREADS} threads, `recipe accurate`, test sets; shares of MTP's errors in brackets. Cost: "
        "energy, forces and virial, µs per atom on one thread, beside a NEP of 50 neurons (cutoffs 8 and 4 Å, n_max 4 4).",
        "",
        "| element | energy MAE, meV/atom | force MAE, meV/Å | force RMSE, meV/Å | training force RMSE | cost | of 50 neurons |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for element, (force, energy) in MTP.items():
        settings = MLEARN.format(element)
        frames, test = (shared / f"mlearn/{element}-{name}.xyz" for name in ["train", "test"])
        own = folder / element
        record, _, _ = train(program, own, settings, frames, "--budget", minutes)
        e = predicted(program, own / "test", settings, own / "nep.txt", test)
        ours, common = (cost(program, own / f"cost{k}", text.format(element), test) for k, text in enumerate([MLEARN, COMMON]))
        rows.append(
            f"| {element} | {1e3 * e['energy_mae']:.2f} ({1e3 * e['energy_mae'] / energy:.2f}) | {1e3 * e['force_mae']:.1f} "
            f"| {1e3 * e['force_rmse']:.1f} ({1e3 * e['force_rmse'] / force:.2f}) | {1e3 * record['train']['force_rmse']:.1f} "
            f"| {ours:.2f} | {common:.2f} |"
        )
    return rows


#: Runs TorchNEP in the current folder; prints the seconds of the whole and of its last epochs.
TORCH = """
import sys, time, torch
from torchnep import train_nep
torch.set_num_threads(int(sys.argv[2]))
start = time.monotonic()
train_nep("nep.in", sys.argv[1], output_dir=".", device="cpu", run_seed=int(sys.argv[3]), restart=False,
          checkpoint_interval=10**9, prediction_interval=0)
print("seconds", time.monotonic() - start)
"""


def torch_run(folder, settings, frames, seed, epochs, threads):
    """Trains with TorchNEP; gives the seconds. `TORCHNEP` names its Python."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nep.in").write_text(f"{settings}epoch {epochs}\n")
    command = [os.environ["TORCHNEP"], "-c", TORCH, str(frames), str(threads), str(seed)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(done.stdout.split("seconds")[-1])


def torchnep(program, shared, folder, minutes):
    """TorchNEP has no time limit: two short runs tell what an epoch takes, and the epochs follow from the minutes.

    `pip install --no-deps torch==2.15.0 torchnep==1.0.7` and numpy filelock typing-extensions setuptools sympy networkx
    jinja2 fsspec make a Python for `TORCHNEP` on a machine that has CUDA's libraries; on others, Debian's python3-torch
    with torchnep by `pip --no-deps` does.
    """
    minutes = minutes or 4.0
    rows = [
        f"{minutes:g} minutes on one thread each, one architecture (cutoffs 5 Å, n_max 8 6, 30 neurons), energies and forces; mean and "
        "spread (largest minus smallest) of the seeds' test errors.",
        "",
        "| element | method | energy MAE, meV/atom | force RMSE, meV/Å | share of TorchNEP's |",
        "| --- | --- | --- | --- | --- |",
    ]
    for element in os.environ.get("ELEMENTS", "Si Ge Li").split():
        frames, test = (shared / f"mlearn/{element}-{name}.xyz" for name in ["train", "test"])
        architecture = BOTH.format(element)
        plain = architecture + "lambda_v 0\n"
        theirs = plain + SCHEDULE
        few, more = (torch_run(folder / f"t{n}", theirs, frames, 0, n, 1) for n in [2, 6])
        each = (more - few) / 4
        epochs = max(2, int((60 * minutes - few) / each) + 2)
        found = {"TorchNEP": [], "nepal": []}
        for seed in range(int(os.environ.get("SEEDS", 3))):
            own = folder / f"{element}-{seed}"
            torch_run(own / "torch", theirs, frames, seed, epochs, 1)
            train(program, own / "nepal", plain, frames, "--budget", minutes, "--seed", seed, threads=1)
            for name, model in [("TorchNEP", own / "torch/nep_best.txt"), ("nepal", own / "nepal/nep.txt")]:
                found[name].append(predicted(program, own / f"test-{name}", plain, model, test))
        mean = lambda name, key: sum(e[key] for e in found[name]) / len(found[name])
        for name, errors in found.items():
            cells = []
            for key, form in [("energy_mae", ".2f"), ("force_rmse", ".1f")]:
                values = [1e3 * e[key] for e in errors]
                cells.append(f"{sum(values) / len(values):{form}} ± {max(values) - min(values):{form}}")
            share = mean(name, "force_rmse") / mean("TorchNEP", "force_rmse")
            rows.append(f"| {element} | {name}{f' ({epochs} epochs)' if name == 'TorchNEP' else ''} | {cells[0]} | {cells[1]} | {share:.2f} |")
    return rows


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


def foundation(shared, folder):
    """NEP89 (Liang et al., arXiv:2504.21286), which the source package of neptrainkit brings."""
    here = shared / "nep89.txt"
    if here.exists():
        return here
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    subprocess.run([*command, "neptrainkit==3.1.5"], check=True)
    with tarfile.open(next(folder.glob("neptrainkit-*.tar.gz"))) as package:
        member = next(m for m in package.getmembers() if m.name.endswith("/nep89.txt"))
        (folder / "nep89.txt").write_bytes(package.extractfile(member).read())
    return folder / "nep89.txt"


def finetune(program, shared, folder, minutes):
    minutes = minutes or 1.0
    folder.mkdir(parents=True, exist_ok=True)
    model = foundation(shared, folder)
    ways = [
        ("from scratch, the shape of the table above", MLEARN, None, []),
        ("from scratch, the shape of NEP89", NEP89, None, []),
        ("from NEP89, all layers move", NEP89, model, []),
        ("the same, descriptors stay", NEP89, model, ["--freeze", "descriptors"]),
        ("the same, only the output layer moves", NEP89, model, ["--freeze", "descriptors", "hidden"]),
    ]
    counts = [10, 50, 200]
    rows = [
        "| element | way | " + " | ".join(f"{n} labels" for n in counts) + " |",
        "| --- | --- |" + " --- |" * len(counts),
    ]
    jobs = {}
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for element in ["Si", "Ge", "Li"]:
            train_set, test = (shared / f"mlearn/{element}-{name}.xyz" for name in ["train", "test"])
            frames = ["\n".join(b) + "\n" for b in blocks(train_set)]
            random.Random(1).shuffle(frames)
            for count in counts:
                part = folder / f"{element}-{count}.xyz"
                part.write_text("".join(frames[:count]))
                for k, (_, settings, init, more) in enumerate(ways):
                    own = folder / f"{element}-{count}-{k}"

                    def job(own=own, settings=settings.format(element), part=part, init=init, more=more, test=test):
                        start = ["--init", init] if init else []
                        train(program, own, settings, part, "--budget", minutes, *start, *more, threads=1)
                        return predicted(program, own / "test", settings, own / "nep.txt", test)

                    jobs[element, k, count] = pool.submit(job)
    for element in ["Si", "Ge", "Li"]:
        for k, (name, *_) in enumerate(ways):
            found = [jobs[element, k, count].result() for count in counts]
            cells = [f"{1e3 * e['energy_mae']:.1f}; {1e3 * e['force_rmse']:.0f}" for e in found]
            rows.append(f"| {element} | {name} | " + " | ".join(cells) + " |")
    rows += ["", f"Test set of each element: energy MAE in meV/atom; force RMSE in meV/Å. {minutes:g} min of one thread each."]
    return rows


def delta(program, shared, folder, minutes):
    minutes = minutes or 1.0
    folder.mkdir(parents=True, exist_ok=True)
    baseline = folder / "sw.toml"
    baseline.write_text('kind = "stillinger-weber"\n')
    settings, test = MLEARN.format("Si"), shared / "mlearn/Si-test.xyz"
    frames = ["\n".join(b) + "\n" for b in blocks(shared / "mlearn/Si-train.xyz")]
    random.Random(1).shuffle(frames)
    published = shared / "bench_systems/Si_2022_NEP4_5body.txt"
    ways = [[], ["--baseline", baseline], ["--baseline", published]]
    rows = ["| labels | without | Stillinger-Weber | a published NEP |", "| --- | --- | --- | --- |"]

    def job(count, k):
        own, more = folder / f"{count}-{k}", ways[k]
        part = folder / f"{count}.xyz"
        train(program, own, settings, part, "--budget", minutes, *more, threads=1)
        return predicted(program, own / "test", settings, own / "nep.txt", test, *more)

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        jobs = {}
        for count in [5, 10, 20, 50]:
            (folder / f"{count}.xyz").write_text("".join(frames[:count]))
            jobs[count] = [pool.submit(job, count, k) for k in range(len(ways))]
        for count, row in jobs.items():
            cells = [f"{1e3 * e['energy_mae']:.1f}; {1e3 * e['force_rmse']:.0f}" for e in (j.result() for j in row)]
            rows.append(f"| {count} | " + " | ".join(cells) + " |")
    rows += ["", f"Test set: energy MAE in meV/atom; force RMSE in meV/Å. {minutes:g} min of one thread each."]
    return rows


#: GPUMD's own settings of its examples 12 and 13.
QM7B = """type 6 H C N O S Cl
model_type {}
cutoff 6 4
n_max 6 6
basis_size 10 10
l_max 4 2 1
neuron 10
lambda_1 {}
lambda_2 {}
"""


def frames_of(path):
    """Frames of an extended XYZ file as text."""
    lines = path.read_text().splitlines(keepends=True)
    at, found = 0, []
    while at < len(lines) and lines[at].strip():
        count = int(lines[at]) + 2
        found.append("".join(lines[at : at + count]))
        at += count
    return found


def rmse(rows):
    """Root mean square difference of the first and second halves of rows of numbers."""
    half = len(rows[0]) // 2
    return (sum((r[c] - r[c + half]) ** 2 for r in rows for c in range(half)) / len(rows) / half) ** 0.5


def kinds(program, shared, folder, minutes):
    """GPUMD trained on 5768 molecules of QM7b and evaluated its model on 1443 others. Only these are of a size that every
    clone has: four fifths of them are trained on here, and both models are compared on the last fifth."""
    minutes = minutes or 10.0
    tutorials = pathlib.Path(os.environ["TUTORIALS"]) / "examples"
    names = {1: ("12_NEP_dipole_QM7B", "dipole", 0.001), 2: ("13_NEP_polarizability_QM7B", "polarizability", 0.03)}
    rows = [
        f"{minutes:g} minutes each on {THREADS} threads. Molecules of QM7b: root mean square errors per atom and component on 289 "
        "molecules, in atomic units; GPUMD's example models were trained on 5768 others, ours on 1154 others.",
        "",
        "| | GPUMD, 5768 molecules | nepal, 1154 molecules | its training set |",
        "| --- | --- | --- | --- |",
    ]
    for kind, (name, what, weight) in names.items():
        own = folder / what
        own.mkdir(parents=True)
        frames = frames_of(tutorials / name / "test.xyz")
        for part, chosen in [("train", lambda k: k % 5), ("test", lambda k: k % 5 == 0)]:
            (own / f"{part}.xyz").write_text("".join(f for k, f in enumerate(frames) if chosen(k)))
        theirs = [[float(x) for x in row.split()] for row in open(tutorials / name / f"{what}_test.out")]
        settings = QM7B.format(kind, weight, weight)
        record, _, _ = train(program, own, settings, own / "train.xyz", "--budget", minutes)
        test = predicted(program, own / "last", settings, own / "nep.txt", own / "test.xyz")
        rows.append(
            f"| {what} | {rmse(theirs[::5]):.5f} | {test['tensor_rmse']:.5f} | {record['train']['tensor_rmse']:.5f} |"
        )
    frames = shared / "pbte_nep_train/train.xyz"
    record, seconds, _ = train(program, folder / "qnep", PBTE + "charge_mode 2\n", frames, "--budget", minutes)
    e = record["train"]
    return rows + [
        "",
        "PbTe with charges (`charge_mode 2`), training errors; GPUMD's example `qnep_train` after 20 000 generations:",
        "",
        "| | energy, meV/atom | force, meV/Å |",
        "| --- | --- | --- |",
        "| GPUMD | 0.45 | 39.2 |",
        f"| nepal, {seconds / 60:.0f} minutes | {1e3 * e['energy_rmse']:.3f} | {1e3 * e['force_rmse']:.2f} |",
    ]


def memory(program, shared, folder, _):
    source = list(blocks(shared / "pbte_nep_train/train.xyz"))
    rows = [
        "CPU seconds of one thread, PbTe, `optimizer adam`, data read and model written included.",
        "",
        "| atoms | one epoch | two | per atom of two, µs | a further one, per atom, µs | peak memory, GB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rng = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    for copies, keyword in [(16, ""), (160, ""), (160, "memory 8\n")]:
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
        settings = PBTE + "optimizer adam\nbad_data keep\n" + keyword
        place = folder / f"{copies}{keyword[:1]}"
        used = [train(program, place, settings, path, "--epochs", n, threads=1)[2] for n in (1, 2)]
        one, two = (u.ru_utime + u.ru_stime for u in used)
        atoms = copies * sum(len(b) - 2 for b in source)
        path.unlink()
        rows.append(
            f"| {atoms} {keyword and '(memory 8)'} | {one:.1f} | {two:.1f} | {1e6 * two / atoms:.1f} | {1e6 * (two - one) / atoms:.1f} | {1.024e-6 * used[1].ru_maxrss:.2f} |"
        )
    return rows


TITLES = {
    "pbte": "GPUMD's PbTe example",
    "accurate": "Beside moment tensor potentials",
    "torchnep": "Beside TorchNEP",
    "mlearn": "Silicon, germanium, lithium: gradients against evolution",
    "finetune": "Fine-tuning",
    "delta": "A baseline",
    "kinds": "Dipoles, polarizabilities, charges",
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
