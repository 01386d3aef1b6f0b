"""Files that people have: what commands read, what `import` takes over, what `export` writes."""

import gzip
import json
import pathlib
import shutil

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from conftest import DATA, EXAMPLES, program_found

import nepal
from nepal import _files
from nepal.ase import Nepal

pytestmark = program_found

OUTPUTS = DATA / "labeller-outputs"


def silicon(count=3):
    """Cells of silicon, with labels."""
    made = []
    for seed in range(count):
        atoms = bulk("Si", "diamond", a=5.5, cubic=True)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.01 * np.array([[1, 2, 0], [0, -1, 1], [0, 0, 2]])), scale_atoms=True)
        atoms.rattle(0.1, seed=seed)
        calc = Nepal(EXAMPLES / "nep.txt")
        results = {k: calc.get_property(k, atoms) for k in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


def energies(path, tmp_path):
    """What `predict` says of the structures of a file."""
    out = tmp_path / "predicted.xyz"
    nepal.command("predict", model=EXAMPLES / "nep.txt", structures=path, out=out)
    return [atoms.get_potential_energy() for atoms in read(out, ":")]


@pytest.mark.parametrize(
    "name, options",
    [
        ("POSCAR", {"format": "vasp", "direct": True}),
        ("relaxed.vasp", {}),
        ("a.cif", {}),
        ("a.traj", {}),
        ("a.db", {}),
        ("a.xsf", {}),
        ("data.lammps", {"format": "lammps-data", "masses": True, "atom_style": "atomic", "units": "metal"}),
    ],
)
def test_structures_of_a_format(name, options, tmp_path):
    atoms = silicon(1)[0]
    path = tmp_path / name
    write(path, atoms, **options)
    wanted = atoms.get_potential_energy()
    # CIF writes ten digits or fewer, LAMMPS its own orientation.
    assert energies(path, tmp_path) == pytest.approx([wanted], abs=1e-4)
    packed = tmp_path / f"{name}.gz"
    if name != "a.db":
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert energies(packed, tmp_path) == pytest.approx([wanted], abs=1e-4)


def test_a_lammps_dump_needs_elements(tmp_path):
    atoms = bulk("Si", "diamond", a=5.5, cubic=True)
    rows = "".join(f"{k + 1} 1 Si {x:.10f} {y:.10f} {z:.10f}\n" for k, (x, y, z) in enumerate(atoms.positions))
    head = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n8\nITEM: BOX BOUNDS pp pp pp\n" + "0 5.5\n" * 3
    one = head + "ITEM: ATOMS id type element x y z\n" + rows
    (tmp_path / "dump.lammpstrj").write_text(one.format(0) + one.format(10))
    atoms.calc = Nepal(EXAMPLES / "nep.txt")
    found = energies(tmp_path / "dump.lammpstrj", tmp_path)
    assert found == pytest.approx([atoms.get_potential_energy()] * 2, abs=1e-7)
    (tmp_path / "dump.bare").write_text(one.format(0).replace(" element", "").replace(" Si ", " "))
    with pytest.raises(nepal.Failed, match="dump_modify ID element"):
        energies(tmp_path / "dump.bare", tmp_path)
    write(tmp_path / "bare.data", atoms, format="lammps-data", masses=False)
    with pytest.raises(nepal.Failed, match="no Masses"):
        energies(tmp_path / "bare.data", tmp_path)


def test_what_cannot_be_read_is_told(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("nothing of the kind\n")
    with pytest.raises(nepal.Failed, match="notes.txt: expected a format that nepal or ASE can read"):
        energies(tmp_path / "notes.txt", tmp_path)
    write(tmp_path / "a.traj", silicon(1))
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'ase'\" >&2\nexit 3\n")
    bare.chmod(0o755)
    for python in (bare, tmp_path / "none"):
        monkeypatch.setenv("NEPAL_PYTHON", str(python))
        with pytest.raises(nepal.Failed, match="pip install ase, or name a Python"):
            energies(tmp_path / "a.traj", tmp_path)


def taken_over(path, tmp_path, **options):
    """The frames that `import` takes over."""
    out = tmp_path / "imported"
    shutil.rmtree(out, ignore_errors=True)
    options = {"max_force": 1e6, "max_net_force": 10, "label": "command", **options}
    nepal.command("import", path, out=out, **options)
    return read(out / "train.xyz", ":")


def stress(atoms):
    """That of ASE, or of our virial."""
    if "virial" in atoms.info:
        return -np.ravel(atoms.info["virial"])[[0, 4, 8, 5, 2, 1]] / atoms.get_volume()
    return atoms.get_stress()


def same(found, wanted, tolerance=1e-9):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert list(a.symbols) == list(b.symbols)
        assert a.cell[:] == pytest.approx(b.cell[:], abs=tolerance)
        assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(), abs=tolerance)
        assert a.get_forces() == pytest.approx(b.get_forces(), abs=tolerance)
        assert stress(a) == pytest.approx(stress(b), abs=tolerance)


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json", "train.xyz.gz"])
def test_labels_of_ase(name, tmp_path):
    wanted = silicon()
    path = tmp_path / name.removesuffix(".gz")
    write(path, wanted)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
    same(taken_over(tmp_path / name, tmp_path), wanted, 1e-7)


def expected(name):
    return json.loads((OUTPUTS / "expected.json").read_text())[name]


@pytest.mark.parametrize(
    "name, unit, key",
    [
        ("qe/si8_upf_k222_ok.out", units.Rydberg, "Ry"),
        ("abinit/si8_k222_ok.abo", units.Hartree, "Ha"),
        ("cp2k/si8_k222_ok.out", units.Hartree, "Ha"),
    ],
)
def test_single_points_are_read_as_our_own(name, unit, key, tmp_path):
    [atoms] = taken_over(OUTPUTS / name, tmp_path)
    wanted = expected(name)
    assert atoms.get_potential_energy() == pytest.approx(wanted[f"energy_{key}"] * unit, rel=1e-6)
    forces = np.array(wanted[f"forces_{key}_bohr"]) * unit / units.Bohr
    assert atoms.get_forces() == pytest.approx(forces, abs=1e-4)
    assert len(atoms) == 8 and atoms.get_volume() == pytest.approx(160, rel=0.1)


def test_cp2k_by_dpdata_says_the_same(tmp_path):
    pytest.importorskip("dpdata", reason="SKIPPED: needs dpdata")
    path = OUTPUTS / "cp2k/si8_k222_ok.out"
    [ours] = taken_over(path, tmp_path)
    [theirs] = taken_over(path, tmp_path, format="cp2k")
    assert theirs.get_potential_energy() == pytest.approx(ours.get_potential_energy(), rel=1e-6)
    assert theirs.get_forces() == pytest.approx(ours.get_forces(), abs=1e-4)


def test_outputs_without_a_label_are_refused(tmp_path):
    for name in ("qe/si8_maxstep3_notconverged.out", "abinit/si8_tolvrs_notconverged.abo",
                 "cp2k/si8_gamma_notconverged.out"):
        with pytest.raises(nepal.Failed, match="SCF did not converge"):
            taken_over(OUTPUTS / name, tmp_path)
    text = gzip.decompress((OUTPUTS / "vasp/diamond_relax.OUTCAR.gz").read_bytes()).decode()
    (tmp_path / "OUTCAR").write_text(text.replace("EDIFF is reached", "EDIFF was missed", 1))
    found = taken_over(tmp_path / "OUTCAR", tmp_path)
    whole = taken_over(OUTPUTS / "vasp/diamond_relax.OUTCAR.gz", tmp_path)
    assert len(found) == len(whole) - 1


def test_vasp_gives_every_step(tmp_path):
    found = taken_over(OUTPUTS / "vasp/WH-AIMD.OUTCAR.gz", tmp_path)
    frames = expected("vasp/WH-AIMD.OUTCAR.gz")["frames"]
    assert len(found) == len(frames)
    for atoms, wanted in zip(found, frames):
        assert atoms.get_potential_energy() == pytest.approx(wanted["free_energy_eV"], abs=1e-6)
        assert np.abs(atoms.get_forces()).max() == pytest.approx(wanted["max_abs_force_eV_A"], abs=1e-5)
        assert stress(atoms) == pytest.approx(wanted["stress_eV_A3_voigt"], abs=1e-6)


def test_a_folder_of_outputs(tmp_path):
    found = taken_over(OUTPUTS, tmp_path)
    told = {atoms.info.get("program") for atoms in found}
    assert {"qe", "abinit", "cp2k"} <= told and len(found) > 10


ASE_DATA = pathlib.Path(__import__("ase").__file__).parent / "test/testdata"


@pytest.mark.skipif(not ASE_DATA.exists(), reason="SKIPPED: this ASE comes without sample outputs, needs ASE's testdata")
@pytest.mark.parametrize("name, format",
                         [("castep/md.castep", None), ("aims/md.out", "aims-output"), ("vasp/vasprun_pstress.xml", None)])
def test_outputs_that_ase_brings(name, format, tmp_path):
    found = taken_over(ASE_DATA / name, tmp_path, format=format)
    wanted = read(ASE_DATA / name, ":", format=format)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(force_consistent=True), abs=1e-9)
        assert a.get_forces() == pytest.approx(b.get_forces(), abs=1e-9)


def test_formats_of_dpdata(tmp_path):
    dpdata = pytest.importorskip("dpdata", reason="SKIPPED: needs dpdata")
    wanted = silicon()
    write(tmp_path / "a.traj", wanted)
    system = dpdata.LabeledSystem(str(tmp_path / "a.traj"), fmt="ase/traj")
    system.to("deepmd/npy", str(tmp_path / "data"))
    for options in ({"from": "deepmd"}, {"format": "deepmd"}):
        same(taken_over(tmp_path / "data", tmp_path, **options), wanted, 1e-5)
    system.to("n2p2", str(tmp_path / "input.data"))
    found = taken_over(tmp_path / "input.data", tmp_path, format="n2p2")
    assert [a.get_potential_energy() for a in found] == pytest.approx(
        [a.get_potential_energy() for a in wanted], abs=1e-4)
    assert found[0].get_forces() == pytest.approx(wanted[0].get_forces(), abs=1e-4)


def test_plus_stress_of_mtp_is_the_virial(tmp_path):
    pytest.importorskip("motep", reason="SKIPPED: needs motep")
    (tmp_path / "a.cfg").write_text(
        "BEGIN_CFG\n Size\n    2\n Supercell\n    4 0 0\n    0 4 0\n    0 0 5\n"
        " AtomData:  id type cartes_x cartes_y cartes_z fx fy fz\n    1 0 0 0 0 0.1 0 0\n    2 1 0 0 2.5 -0.1 0 0\n"
        " Energy\n    -13.5\n PlusStress:  xx yy zz yz xz xy\n    1 2 3 0.4 0.5 0.6\n Feature   EFS_by\tVASP\nEND_CFG\n")
    [atoms] = taken_over(tmp_path / "a.cfg", tmp_path, format="mtp:Si,O")
    # In eV, positive in compression, as VASP prints "Total" of the forces on the cell.
    assert np.ravel(atoms.info["virial"])[[0, 4, 8, 5, 2, 1]] == pytest.approx([1, 2, 3, 0.4, 0.5, 0.6])
    assert list(atoms.symbols) == ["Si", "O"]


def test_label_keys(tmp_path):
    atoms = silicon(1)[0]
    bare = atoms.copy()
    bare.info["dft_e"] = atoms.get_potential_energy()
    bare.arrays["dft_f"] = atoms.get_forces()
    bare.info["dft_s"] = " ".join(map(str, atoms.get_stress(voigt=False).ravel()))
    (tmp_path / "keys.xyz").write_text(_files.text(bare))
    found = taken_over(tmp_path / "keys.xyz", tmp_path, energy_key="dft_e", forces_key="dft_f", stress_key="dft_s")
    same(found, [atoms], 1e-9)


CAMPAIGN = {
    "title": "labels to export", "directory": "work", "seed": 1, "threads": 1,
    "model": {
        "first_epochs": 5, "epochs": 5, "final_epochs": 5,
        "nep_in": "type 1 Si\ncutoff 4 4\nn_max 2 2\nbasis_size 4 4\nl_max 2 0 0\nneuron 4\n",
    },
    "label": {"kind": "stillinger-weber"},
    "initial": [{"file": "train.xyz", "labelled": True}],
    "test": [{"file": "test.xyz", "labelled": True}],
    "grade": {"save": 1.5, "break": 4.0, "every": 10, "spacing": 50},
    "explore": [{
        "name": "short", "start": {"prototype": "diamond", "elements": ["Si"], "lattice": 5.43}, "ensemble": "nve",
        "temperature": [10, 10], "steps": 10,
    }],
    "select": {"max_structures": 1},
    "stop": {"max_rounds": 1},
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A campaign that has labels, fragments with masks among them."""
    folder = tmp_path_factory.mktemp("campaign")
    frames = silicon(5)
    mask = np.ones(8)
    mask[:3] = 0
    frames[0].new_array("force_mask", mask)
    frames[0].info["energy_weight"] = 0.5
    _files.write(frames[:4], folder / "train.xyz")
    _files.write(frames[4:], folder / "test.xyz")
    made = nepal.Campaign.create(folder / "c.toml", CAMPAIGN)
    made.run(progress=lambda event: None)
    return made, made.labels(folder / "all.xyz")


@pytest.mark.parametrize("format, name", [("xyz", "all.xyz"), ("ase-db", "all.db"), ("deepmd", "data"), ("mtp", "all.cfg")])
def test_exports_come_back(campaign, format, name, tmp_path):
    if format == "mtp":
        pytest.importorskip("motep", reason="SKIPPED: needs motep")
    made, frames = campaign
    nepal.command("export", made.path, out=tmp_path / name, format=format)
    options = {"mtp": {"format": "mtp:Si"}}.get(format, {})
    found = taken_over(tmp_path / name, tmp_path, **options)
    key = Atoms.get_potential_energy
    same(sorted(found, key=key), sorted(frames, key=key), 1e-6)
    if format in ("xyz", "ase-db"):
        assert sum("mask" in atoms.arrays and (atoms.arrays["mask"] == 0).sum() == 3 for atoms in found) == 1
    if format == "ase-db":
        from ase.db import connect

        with connect(tmp_path / name) as database:
            assert database.count(set="test") == 1
            assert {row.data["info"]["label_source"] for row in database.select(set="test")} == {"file"}
    if format == "deepmd":
        masks = [np.load(path) for path in sorted((tmp_path / name).rglob("atom_pref.npy"))]
        assert any((mask == 0).sum() == 3 for mask in masks)
        dpdata = pytest.importorskip("dpdata", reason="SKIPPED: needs dpdata")
        system = dpdata.LabeledSystem(str(next((tmp_path / name).iterdir())), fmt="deepmd/npy")
        assert len(system) >= 5


ORCA = """
                                 *****************
                                 * O   R   C   A *
                                 *****************

Number of atoms                             ....      2
{steps}
                             ****ORCA TERMINATED NORMALLY****
"""
ORCA_STEP = """
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  H      0.000000    0.000000    0.000000
  F      0.000000    0.000000    {distance:.6f}

-------------------------   --------------------
FINAL SINGLE POINT ENERGY      {energy:.9f}{doubt}
-------------------------   --------------------

------------------
CARTESIAN GRADIENT
------------------
{warning}
   1   H   :    0.000000000    0.000000000   {slope:.9f}
   2   F   :    0.000000000    0.000000000   {minus:.9f}

"""


def orca(*steps):
    made = [ORCA_STEP.format(distance=0.9 + 0.01 * k, energy=-100 - k, slope=0.1 * k, minus=-0.1 * k,
                             **{"doubt": "", "warning": "", **step}) for k, step in enumerate(steps)]
    return ORCA.format(steps="".join(made))


@pytest.mark.parametrize("between", ["", "                    ORCA GEOMETRY RELAXATION STEP\n"])
def test_geometries_of_orca_keep_their_own_gradients(between, tmp_path):
    # Dynamics has no steps of a relaxation between them; of constraints a warning stands in the gradient.
    warned = {"warning": "\nWARNING: THERE ARE 1 CONSTRAINED CARTESIAN COORDINATES"}
    steps = [{}, warned, {"doubt": "   (Wavefunction not fully converged!)"}, {}]
    text = orca(*steps).replace("\n---------------------------------\nCART", f"\n{between}---\nCART")
    (tmp_path / "run.out").write_text(text)
    found = taken_over(tmp_path / "run.out", tmp_path)
    refused = read(tmp_path / "imported/refused.xyz", ":")
    assert [atoms.info["scf"] for atoms in refused] == ["not converged"]
    for atoms, k in zip(found, [0, 1, 3], strict=True):
        assert atoms.positions[1, 2] == pytest.approx(0.9 + 0.01 * k)
        assert atoms.get_potential_energy() == pytest.approx(-(100 + k) * units.Hartree, abs=1e-5)
        assert atoms.get_forces()[0, 2] == pytest.approx(-0.1 * k * units.Hartree / units.Bohr, abs=1e-6)


def test_an_scf_of_vasp_at_its_last_step_is_refused(tmp_path):
    text = gzip.decompress((OUTPUTS / "vasp/diamond_relax.OUTCAR.gz").read_bytes()).decode()
    # Its three SCFs took 11, 4 and 4 steps; before release 6 all say that EDIFF is reached.
    (tmp_path / "OUTCAR").write_text(text.replace("NELM   =     60;", "NELM   =     11;"))
    assert len(taken_over(tmp_path / "OUTCAR", tmp_path)) == 2
    newer = (tmp_path / "OUTCAR").read_text().replace("vasp.5.4.4", "vasp.6.4.2", 1)
    (tmp_path / "OUTCAR").write_text(newer)
    assert len(taken_over(tmp_path / "OUTCAR", tmp_path)) == 3


@pytest.mark.skipif(not ASE_DATA.exists(), reason="SKIPPED: this ASE comes without sample outputs, needs ASE's testdata")
def test_vasprun_xml_is_asked_of_its_scf(tmp_path):
    import re

    # A second NELM is that of response functions.
    text = (ASE_DATA / "vasp/vasprun_pstress.xml").read_text().replace('"NELMGW"', '"NELM"')
    count = text.count("<scstep>")
    (tmp_path / "vasprun.xml").write_text(re.sub(r'(name="NELM">\s*)\d+', rf"\g<1>{count}", text, count=1))
    with pytest.raises(nepal.Failed, match="no usable label among 1 frames"):
        taken_over(tmp_path / "vasprun.xml", tmp_path)
    # Where ASE cannot read an OUTCAR, the other file of the run serves.
    (tmp_path / "vasprun.xml").write_text(text)
    (tmp_path / "OUTCAR").write_text(" vasp.6.3.0 20Jan22\n  NWRITE = 0\n")
    assert len(taken_over(tmp_path / "OUTCAR", tmp_path)) == 1


ABACUS = {
    "INPUT": "INPUT_PARAMETERS\nsuffix run\ncalculation scf\n",
    "STRU": "ATOMIC_SPECIES\nSi 28.085 Si.upf\n\nLATTICE_CONSTANT\n1.8897261246\n\nLATTICE_VECTORS\n5 0 0\n0 5 0\n0 0 5\n\n"
            "ATOMIC_POSITIONS\nCartesian\nSi\n0.0\n2\n0 0 0 1 1 1\n0 0 2.5 1 1 1\n",
    "OUT.run/running_scf.log": """
 charge density convergence is achieved
 final etot is -200.5 eV

 TOTAL-FORCE (eV/Angstrom)

      atom              x              y              z
       Si1    +0.00000000    +0.00000000    -0.25000000
       Si2    +0.00000000    +0.00000000    +0.25000000

 TOTAL-STRESS (KBAR)

    +10.00000000    +0.00000000    +0.00000000
    +0.00000000    +20.00000000    +0.00000000
    +0.00000000    +0.00000000    +30.00000000

 !FINAL_ETOT_IS -200.5 eV
""",
}


@pytest.mark.parametrize("options", [{}, {"format": "abacus"}])
def test_a_folder_of_abacus_is_known(options, tmp_path):
    pytest.importorskip("dpdata", reason="SKIPPED: needs dpdata")
    for name, text in ABACUS.items():
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    [atoms] = taken_over(tmp_path / "run", tmp_path, **options)
    assert atoms.get_potential_energy() == -200.5
    assert atoms.get_forces()[:, 2] == pytest.approx([-0.25, 0.25])
    # Positive in compression there, negative in ASE.
    assert stress(atoms)[:3] == pytest.approx(-np.array([10, 20, 30]) * 0.1 * units.GPa, rel=1e-5)
