"""Enthalpies of the labelled cells of cells.py by CP2K and by the model, and where they cross.

    nepal-loop label --config campaign.toml --structures cells.xyz --out labelled.xyz
    nepal-loop predict --model result/nep.txt --structures cells.xyz --out predicted.xyz
    python3 compare.py labelled.xyz predicted.xyz
"""
import re
import sys


def read(name):
    out = {}
    for line in open(name):
        if "Lattice" not in line:
            continue
        cell = [float(x) for x in re.search('Lattice="([^"]*)"', line)[1].split()]
        volume = cell[0] * cell[4] * cell[8]
        energy = float(re.search(r"\benergy=(\S+)", line)[1])
        phase, p = re.search(r"config_type=(\S+)", line)[1], float(re.search(r"gpa=(\S+)", line)[1])
        # eV and Å³ of GaN; 1 GPa Å³ is 0.0062415091 eV.
        out[phase, p] = (energy / 4 + p * 0.0062415091 * volume / 4, volume / 4)
    return out


for name in sys.argv[1:]:
    rows = read(name)
    pressures = sorted({p for _, p in rows})
    difference = [rows["rocksalt", p][0] - rows["wurtzite", p][0] for p in pressures]
    print(name, "  ".join(f"{p:.0f} GPa {d:+.3f} eV" for p, d in zip(pressures, difference)))
    for (p, d), (q, e) in zip(zip(pressures, difference), zip(pressures[1:], difference[1:])):
        if d > 0 >= e:
            print(f"  equal at {p + (q - p) * d / (d - e):.1f} GPa")
