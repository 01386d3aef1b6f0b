"""The relaxed cells of in.enthalpy as eight-atom cells: cells.py OUT.xyz PRESSURE..."""
import sys
out = open(sys.argv[1], "w")
for phase in ("wurtzite", "rocksalt"):
    rows = {l.split()[0]: l.split() for l in open(f"{phase}.dat")}
    for p in sys.argv[2:]:
        a, b, c = (float(x) for x in rows[p][4:7])
        if phase == "wurtzite":
            atoms = [l.split() for l in open(f"wurtzite-{p}.dump").read().split("ITEM: ATOMS")[1].splitlines()[1:]]
            # Atom 5 is the nitrogen above atom 1, but for the repeats of the cell.
            u = (float(atoms[4][4]) - float(atoms[0][4])) / c % 1
            sites = [(0, 1/3, 0), (.5, 1/6, .5), (.5, 5/6, 0), (0, 2/3, .5)]
            sites += [(x, y, z + u) for x, y, z in sites]
        else:
            sites = [(0, 0, 0), (.5, .5, 0), (.5, 0, .5), (0, .5, .5), (.5, .5, .5), (0, 0, .5), (0, .5, 0), (.5, 0, 0)]
        out.write(f'8\nLattice="{a} 0 0 0 {b} 0 0 0 {c}" Properties=species:S:1:pos:R:3 pbc="T T T" config_type={phase} gpa={p}\n')
        for k, (x, y, z) in enumerate(sites):
            out.write(f"{'Ga' if k < 4 else 'N'} {x*a:.6f} {y*b:.6f} {z*c:.6f}\n")
