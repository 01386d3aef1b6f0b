

# Files of other formats, after labels.py: worker read INPUT OUTPUT [FORMAT], worker write INPUT OUTPUT.

def lammps_format(path):
    """The format of a file of LAMMPS; refused where it does not name the elements."""
    with open(path, encoding="utf-8", errors="replace") as file:
        head = file.read(1 << 20)
    lines = head.splitlines()
    atoms = [line for line in lines if line.startswith("ITEM: ATOMS")]
    if atoms:
        if "element" not in atoms[0].split():
            raise ValueError("the dump names no elements; dump them: dump_modify ID element Si O ..., column element")
        return "lammps-dump-text"
    words = [line.split("#")[0].split() for line in lines[:40]]
    if any(w[1:] == ["atom", "types"] for w in words) and any(w[1:] == ["atoms"] for w in words):
        if not any(line.split("#")[0].strip() == "Masses" for line in lines):
            raise ValueError("the data file has no Masses, which tell the elements; write it with them")
        return "lammps-data"
    return None


#: What ASE has no format for, by the names of dpdata.
BY_DPDATA = {
    "cp2k": "cp2k/output",
    "abacus": "abacus/scf",
    "abacus-md": "abacus/md",
    "abacus-relax": "abacus/relax",
    "n2p2": "n2p2",
    "deepmd": "deepmd/npy",
}
#: Files of a folder that may hold labels, and the formats of ASE that read them.
OUTPUTS = {
    "vasp-out", "vasp-xml", "espresso-out", "abinit-out", "aims-output", "castep-castep", "orca-output",
    "traj", "db", "extxyz", "gpaw-out", "nwchem-out", "gaussian-out", "siesta-xv", "elk-in",
}


def by_dpdata(path, name):
    try:
        import dpdata
    except ImportError:
        raise ImportError("dpdata reads this format and is not installed: pip install dpdata") from None
    from ase import Atoms

    system = dpdata.LabeledSystem(path, fmt=name)
    data = system.data
    symbols = [data["atom_names"][t] for t in data["atom_types"]]
    for k in range(len(system)):
        cell = None if system.nopbc else data["cells"][k]
        atoms = Atoms(symbols, data["coords"][k], cell=cell, pbc=not system.nopbc)
        labels = {"energy": data["energies"][k], "forces": data["forces"][k]}
        if "virials" in data:
            labels["virial"] = data["virials"][k].ravel()
        yield atoms, labels, {}, None


def by_ase(path, name):
    from ase import io

    for atoms in io.iread(path, index=":", format=name):
        labels = {}
        if atoms.calc is not None:
            labels = {k: v for k, v in atoms.calc.results.items() if k in ("energy", "free_energy", "forces")}
            # The free energy is what the forces belong to.
            labels["energy"] = labels.pop("free_energy", labels.get("energy"))
            if atoms.calc.results.get("stress") is not None and atoms.cell.rank == 3:
                labels["virial"] = stress_to_virial(atoms.calc.results["stress"], atoms)
        kept = {k: v for k, v in atoms.info.items() if isinstance(v, (str, int, float))}
        yield atoms, labels, kept, atoms.arrays.get("force_mask")


def frames_of(path, name):
    name = name or (None if os.path.isdir(path) else lammps_format(path))
    if name in BY_DPDATA or (name or "").startswith("dpdata:"):
        return by_dpdata(path, BY_DPDATA.get(name, (name or "").removeprefix("dpdata:")))
    return by_ase(path, name)


def read(source, target, name=None):
    from ase.io.formats import UnknownFileTypeError, filetype

    paths = [source]
    if os.path.isdir(source) and not name:
        paths = []
        for folder, folders, files in os.walk(source):
            folders.sort()
            for file in sorted(files):
                path = os.path.join(folder, file)
                try:
                    if os.path.getsize(path) and filetype(path) in OUTPUTS:
                        paths.append(path)
                except (UnknownFileTypeError, OSError, UnicodeDecodeError):
                    pass
        if not paths:
            raise ValueError("no file in this folder is one whose labels ASE reads; name its format with --format")
    with open(target, "w", encoding="utf-8") as out:
        for path in paths:
            for atoms, labels, info, mask in frames_of(path, name):
                if len(paths) > 1:
                    info = {**info, "file": os.path.relpath(path, source)}
                out.write(frame(atoms, labels, info, mask))


def write(source, target):
    """An ASE database or trajectory, by the ending of its name, with all keys and columns."""
    from ase import io
    from ase.db import connect

    frames = io.read(source, index=":", format="extxyz")
    if not target.endswith(".db"):
        io.write(target, frames)
        return
    with connect(target, append=False) as database:
        for atoms in frames:
            # Of scalars, what a database can search for; the rest travels as data.
            told = {k: v for k, v in atoms.info.items() if k.isidentifier() and isinstance(v, (str, float, int))}
            plain = {"energy", "forces", "stress", "id", "age", "mass", "volume", "charge", "natoms", "pbc"}
            keys = {k: v for k, v in told.items() if k not in plain and not looks_like_number(v)}
            own = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
            database.write(atoms, key_value_pairs=keys, data={"info": told, "arrays": own})


def looks_like_number(value):
    """What ASE's databases refuse as the text of a key."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
        return True
    except ValueError:
        return value in ("True", "False", "")
