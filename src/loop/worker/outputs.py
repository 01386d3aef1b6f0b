

# Outputs of programs, after labels.py: what ASE gets wrong of them, and what it does not read.

def opened(path):
    import gzip

    kind = gzip.open if path.endswith(".gz") else open
    return kind(path, "rt", encoding="utf-8", errors="replace")


class Refused(Exception):
    """What the user can put right; told as it is."""


def note(path, text):
    print(f"note: {path}: {' '.join(str(text).split())}", file=sys.stderr)


#: What ASE has no format for, by the names of dpdata.
BY_DPDATA = {
    "cp2k": "cp2k/output",
    "abacus": "abacus/scf",
    "abacus-md": "abacus/md",
    "abacus-relax": "abacus/relax",
    "n2p2": "n2p2",
    "deepmd": "deepmd/npy",
}


def of_run(folder):
    """The name that dpdata has for a folder in which a program ran."""
    inside = sorted(os.listdir(folder))
    if any(name.endswith("-pos-1.xyz") for name in inside):
        return "cp2k/aimd_output"
    if "INPUT" in inside and any(name.startswith("OUT.") for name in inside):
        with opened(os.path.join(folder, "INPUT")) as file:
            words = [line.split() for line in file]
        kind = "".join(line[1] for line in words if line[:1] == ["calculation"] and len(line) > 1)
        return {"md": "abacus/md", "relax": "abacus/relax", "cell-relax": "abacus/relax"}.get(kind, "abacus/scf")
    return None


def by_dpdata(path, name):
    try:
        import dpdata
    except ImportError:
        raise Refused("dpdata reads this format and is not installed: pip install dpdata") from None
    import warnings

    from ase import Atoms

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        system = dpdata.LabeledSystem(path, fmt=name)
    for warning in said:
        if warning.category is UserWarning:
            note(path, warning.message)
    data = system.data
    symbols = [data["atom_names"][t] for t in data["atom_types"]]
    for k in range(len(system)):
        cell = None if system.nopbc else data["cells"][k]
        atoms = Atoms(symbols, data["coords"][k], cell=cell, pbc=not system.nopbc)
        labels = {"energy": data["energies"][k], "forces": data["forces"][k]}
        if "virials" in data:
            labels["virial"] = data["virials"][k].ravel()
        yield atoms, labels, {}, None


def by_content(path):
    """ASE; what it cannot read of an output by the other file of the same run, or by dpdata."""
    with opened(path) as file:
        head = file.read(4096)
    if "* O   R   C   A *" in head:
        return of_orca(path)
    marks = {" vasp.": "vasp/outcar", "Invoking FHI-aims": "fhi_aims/md"}
    other = next((name for mark, name in marks.items() if mark in head), None)
    if other is None:
        return by_ase(path, None)
    try:
        return list(by_ase(path, None))
    except Exception as error:
        xml = os.path.join(os.path.dirname(path), "vasprun.xml")
        try:
            found = list(by_ase(xml, None) if other == "vasp/outcar" and os.path.exists(xml) else by_dpdata(path, other))
        except Exception:
            raise error from None
        note(path, f"read by {'the vasprun.xml beside it' if os.path.exists(xml) else 'dpdata'}: ASE says: {error}")
        return found


def unconverged(path):
    """The numbers of the frames of an OUTCAR or vasprun.xml whose SCF did not reach its threshold."""
    import re

    name = os.path.basename(path)
    if "vasprun" in name:
        with opened(path) as file:
            return unconverged_xml(file)
    if "OUTCAR" not in name:
        return set()
    with opened(path) as file:
        text = file.read()
    steps = text.split("TOTAL-FORCE (eV/Angst)")[:-1]
    most = re.search(r"NELM\s*=\s*(\d+)", text)
    # Before release 6 VASP says that EDIFF is reached also where NELM was.
    old = re.match(r"\s*vasp\.[1-5]\.", text) and most

    def reached(step):
        counts = re.findall(r"Iteration\s+\d+\(\s*(\d+)\)", step)
        return "EDIFF is reached" in step and not (old and counts and int(counts[-1]) >= int(most[1]))

    return {number for number, step in enumerate(steps) if not reached(step)}


def unconverged_xml(file):
    from xml.etree import ElementTree

    most, steps, number, found = None, 0, 0, set()
    try:
        for _, element in ElementTree.iterparse(file):
            # A second NELM is that of response functions.
            if most is None and element.tag == "i" and element.get("name") == "NELM":
                most = int(element.text)
            steps += element.tag == "scstep"
            if element.tag == "calculation":
                if most and steps >= most:
                    found.add(number)
                number, steps = number + 1, 0
                element.clear()
    except ElementTree.ParseError:
        # VASP was killed; ASE reads what is whole.
        pass
    return found


def of_orca(path):
    """Each geometry of ORCA's output alone: of several without a step of a relaxation between them, as in dynamics,
    ASE joins the last geometry to the first gradient."""
    import io
    import re

    from ase.io import read as parse

    with opened(path) as file:
        before, *pieces = re.split(r"^CARTESIAN COORDINATES \(ANGSTROEM\)", file.read(), flags=re.M)
    count = None
    for piece in pieces:
        count = (re.findall(r"Number of atoms\s+\.+\s+\d+", before) or [count])[-1]
        before = piece
        one = re.split("ORCA GEOMETRY RELAXATION STEP|ORCA TERMINATED NORMALLY", piece)[0]
        # Of constraints it warns within the table of the gradient.
        lines = [line for line in one.split("\n") if not line.startswith("WARNING: THERE ARE")]
        text = "\n".join(lines)
        try:
            atoms = parse(io.StringIO(f"{count}\nCARTESIAN COORDINATES (ANGSTROEM){text}\nORCA TERMINATED NORMALLY\n"),
                          format="orca-output")
        except (ValueError, IndexError) as error:
            note(path, f"a geometry is left out, whose numbers are not legible or cut off: {error}")
            continue
        if "not fully converged" in one.lower():
            yield atoms, {}, {"scf": "not converged"}, None
        elif one.count("CARTESIAN GRADIENT") > 1:
            yield atoms, {}, {"gradients": "several, of several states"}, None
        else:
            yield atoms, labels_of(atoms), {}, None
