"""How well the posterior's deviations hold on labels that were not trained on.

    python3 benches/posterior.py PROGRAM DATA MINUTES OUT.md

PROGRAM is nepal-loop, DATA a folder with Si-train.xyz, Si-test.xyz and so on of the public mlearn sets
(Zuo et al., J. Phys. Chem. A 124, 731 (2020)) as extended XYZ. Half of each test set calibrates, the
other half measures, and the other way round.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

SETTINGS = "type 1 {}\ncutoff 5 5\nn_max 6 6\nbasis_size 8 8\nl_max 4 1\nneuron 20\nlambda_v 0.1\n"


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = [0] * len(values)
    for place, index in enumerate(order):
        rank[index] = place
    return rank


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    n = len(a)
    return 1 - 6 * sum((x - y) ** 2 for x, y in zip(a, b)) / (n * (n * n - 1))


def frames(path):
    lines = path.read_text().split("\n")
    at = 0
    while at < len(lines) and lines[at].strip():
        n = int(lines[at])
        names, column = {}, 0
        properties = lines[at + 1].split("Properties=")[1].split()[0].strip('"').split(":")
        for name, width in zip(properties[0::3], properties[2::3]):
            names[name] = (column, column + int(width))
            column += int(width)
        yield names, [line.split() for line in lines[at + 2:at + 2 + n]]
        at += n + 2


def column(path, name):
    values = []
    for names, rows in frames(path):
        low, high = names[name]
        values += [[float(x) for x in row[low:high]] for row in rows]
    return values


def study(program, data, element, minutes):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "nep.in").write_text(SETTINGS.format(element))
        train, test = data / f"{element}-train.xyz", data / f"{element}-test.xyz"
        command = [program, "--output-mode", "quiet", "train", "--config", folder / "nep.in", "--train", train]
        command += ["--test", test, "--budget", str(minutes), "--out", folder / "nep.txt"]
        command += ["--posterior", folder / "posterior.json", "--threads", "1"]
        subprocess.run(command, check=True)
        record = json.loads((folder / "nep.json").read_text())
        command = [program, "--output-mode", "quiet", "predict", "--model", folder / "nep.txt"]
        command += ["--structures", test, "--posterior", folder / "posterior.json", "--out", folder / "out.xyz"]
        subprocess.run(command, check=True)
        deviations = [v[0] for v in column(folder / "out.xyz", "force_std")]
        found, labels = column(folder / "out.xyz", "forces"), column(test, "forces")
        errors = [sum((a - b) ** 2 for a, b in zip(f, g)) ** 0.5 for f, g in zip(found, labels)]
        order = sorted(range(len(errors)), key=deviations.__getitem__)
        fifth = len(order) // 5
        rms = lambda some: (sum(errors[i] ** 2 for i in some) / len(some)) ** 0.5
        return record, spearman(deviations, errors), rms(order[:fifth]), rms(order[-fifth:])


def main():
    program, data, minutes, out = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    lines = [
        "| set | test force RMSE (meV/Å) | factor | forces in 68 % | in 95 % | energies in 68 % | in 95 % | Spearman | RMS error, lowest fifth | highest fifth |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for element in ("Si", "Ge", "Li"):
        record, correlation, low, high = study(program, data, element, minutes)
        c = record["calibration"]
        force, energy = c["force_coverage"], c["energy_coverage"]
        cells = [element, f"{1e3 * record['test']['force_rmse']:.1f}", f"{c['pooled']:.2f}"]
        cells += [f"{100 * x:.1f} %" for x in (force["at_68"], force["at_95"], energy["at_68"], energy["at_95"])]
        cells += [f"{correlation:.2f}", f"{1e3 * low:.1f}", f"{1e3 * high:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    pathlib.Path(out).write_text("\n".join(lines) + "\n")


main()
