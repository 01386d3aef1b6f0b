

# Files of other formats, after labels.py: worker read INPUT OUTPUT [FORMAT], worker write INPUT OUTPUT FORMAT.

def lammps_format(path):
    """The format of a file of LAMMPS; refused where it does not name the elements."""
    with opened(path) as file:
        head = file.read(1 << 20)
    lines = head.splitlines()
    atoms = [line for line in lines if line.startswith("ITEM: ATOMS")]
    if atoms:
        if "element" not in atoms[0].split():
            raise Refused("the dump names no elements; dump them: dump_modify ID element Si O ..., column element")
        return "lammps-dump-text"
    words = [line.split("#")[0].split() for line in lines[:40]]
    if any(w[1:] == ["atom", "types"] for w in words) and any(w[1:] == ["atoms"] for w in words):
        if not any(line.split("#")[0].strip() == "Masses" for line in lines):
            raise Refused("the data file has no Masses, which tell the elements; write it with them")
        return "lammps-data"
    return None


def by_motep(path, name):
    try:
        from motep.io.mlip.cfg import read_cfg
    except ImportError:
        raise Refused("motep reads MTP's cfg files and is not installed: pip install motep") from None
    species = name.partition(":")[2].split(",")
    if species == [""]:
        raise Refused("MTP's cfg files count elements; say which they are, such as --format mtp:Si,O")
    with open(path, encoding="utf-8") as file:
        images = read_cfg(file, index=":", species=species)
    for atoms in images:
        yield atoms, labels_of(atoms), {}, None


def labels_of(atoms):
    """What a calculator of ASE has computed already."""
    if atoms.calc is None:
        return {}
    results = atoms.calc.results
    labels = {k: v for k, v in results.items() if k in ("energy", "free_energy", "forces")}
    # The free energy is what the forces belong to.
    labels["energy"] = labels.pop("free_energy", labels.get("energy"))
    if results.get("stress") is not None and atoms.cell.rank == 3:
        labels["virial"] = stress_to_virial(results["stress"], atoms)
    return labels


def of_database(path):
    """Rows of an ASE database with their keys, and what `write_db` kept beside them."""
    from ase.db import connect

    with connect(path) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            data = row.data
            atoms.info.update(data.get("info", {}))
            for name, values in data.get("arrays", {}).items():
                if len(values) == len(atoms) and name not in atoms.arrays:
                    atoms.new_array(name, values)
            yield atoms


def by_ase(path, name):
    from ase import io

    doubtful = unconverged(path)
    images = of_database(path) if path.endswith(".db") else io.iread(path, index=":", format=name)
    for number, atoms in enumerate(images):
        if number in doubtful:
            # Without labels it is refused, and kept with the reason.
            yield atoms, {}, {"scf": "not converged"}, None
            continue
        kept = {k: v for k, v in atoms.info.items() if isinstance(v, (str, int, float))}
        mask = atoms.arrays.get("force_mask", atoms.arrays.get("mask"))
        yield atoms, labels_of(atoms), kept, mask


def frames_of(path, name):
    folder = os.path.isdir(path)
    of = (of_run(path) if folder else None) if name in (None, "cp2k", "abacus") else None
    name = name or (None if folder else lammps_format(path))
    if (name or "").split(":")[0] == "mtp":
        return by_motep(path, name)
    if of or name in BY_DPDATA or (name or "").startswith("dpdata:"):
        return by_dpdata(path, of or BY_DPDATA.get(name, (name or "").removeprefix("dpdata:")))
    if folder and name is None:
        raise Refused("no run is known of these files; name the format (--format), or a file in the folder")
    if name == "orca-output":
        return of_orca(path)
    return by_ase(path, name) if name else by_content(path)


def read(source, target, name=None):
    """Reads the files of a list; of several those that cannot be read are told and left out."""
    with open(source, encoding="utf-8", errors="surrogateescape") as file:
        paths = file.read().splitlines()
    with open(target, "w", encoding="utf-8") as out:
        for path in paths:
            try:
                for atoms, labels, info, mask in frames_of(path, name):
                    if len(paths) > 1:
                        info = {**info, "file": path}
                    out.write(frame(atoms, labels, info, mask))
            except Exception as error:
                if len(paths) == 1:
                    raise
                print(f"note: {path}: not read: {error or type(error).__name__}", file=sys.stderr)


def write(source, target, name):
    from ase import io

    frames = io.read(source, index=":", format="extxyz")
    for atoms in frames:
        if "virial" in atoms.info and atoms.calc is not None:
            virial = atoms.info.pop("virial").ravel()
            atoms.calc.results["stress"] = -virial[[0, 4, 8, 5, 2, 1]] / atoms.get_volume()
    if name == "mtp":
        write_mtp(frames, target)
    elif name == "deepmd":
        write_deepmd(frames, target)
    elif name == "ase-db":
        write_db(frames, target)
    else:
        io.write(target, frames, format=name)


def write_mtp(frames, target):
    try:
        from motep.io.mlip.cfg import write_cfg
    except ImportError:
        raise Refused("motep writes MTP's cfg files and is not installed: pip install motep") from None
    species = sorted({symbol for atoms in frames for symbol in atoms.symbols})
    with open(target, "w", encoding="utf-8") as file:
        write_cfg(file, frames, species=species)
    print("types count " + " ".join(species) + " from 0")


def write_deepmd(frames, target):
    """A folder for each order of elements, as DeePMD-kit reads it; masks of forces become its atom_pref."""
    import numpy as np

    systems = {}
    for atoms in frames:
        key = (tuple(atoms.symbols), bool(atoms.pbc.all()), atoms.calc is not None and "stress" in atoms.calc.results)
        systems.setdefault(key, []).append(atoms)
    os.makedirs(target)
    for number, ((symbols, periodic, stressed), images) in enumerate(systems.items()):
        folder = os.path.join(target, f"system.{number:03}")
        data = os.path.join(folder, "set.000")
        os.makedirs(data)
        elements = sorted(set(symbols))

        def lines(name, words):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.writelines(f"{word}\n" for word in words)

        lines("type_map.raw", elements)
        lines("type.raw", [elements.index(symbol) for symbol in symbols])
        if not periodic:
            lines("nopbc", [])
        labels = [labels_of(atoms) for atoms in images]
        columns = {
            "coord": [atoms.positions.ravel() for atoms in images],
            "box": [atoms.cell[:].ravel() for atoms in images],
            "energy": [label["energy"] for label in labels],
            "force": [np.ravel(label["forces"]) for label in labels],
        }
        if stressed:
            columns["virial"] = [label["virial"] for label in labels]
        masks = [atoms.arrays.get("mask", np.ones(len(atoms))) for atoms in images]
        if any((mask != 1).any() for mask in masks):
            columns["atom_pref"] = masks
        for name, rows in columns.items():
            np.save(os.path.join(data, name + ".npy"), np.array(rows, dtype=float))


def write_db(frames, target):
    """An ASE database, with all keys and columns."""
    from ase.db import connect

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
