"""The calculator in the programs that people use it from. What is not installed is skipped with the reason."""

import copy
import pickle

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.filters import ExpCellFilter, FrechetCellFilter, StrainFilter, UnitCellFilter
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from conftest import EXAMPLES

import nepal
from nepal.ase import Nepal

MODEL, SET = EXAMPLES / "nep.txt", EXAMPLES / "active_set.nas"


def silicon(a=5.6, repeat=1):
    atoms = bulk("Si", "diamond", a=a, cubic=True) * repeat
    atoms.calc = Nepal(MODEL)
    return atoms


@pytest.mark.parametrize("cell_filter", [FrechetCellFilter, ExpCellFilter, UnitCellFilter, StrainFilter])
def test_cell_filters_find_one_lattice_constant(cell_filter):
    atoms = silicon()
    BFGS(cell_filter(atoms), logfile=None).run(fmax=1e-3, steps=100)
    assert atoms.cell.lengths() == pytest.approx([5.457] * 3, abs=0.003)
    assert atoms.get_stress() == pytest.approx(np.zeros(6), abs=1e-4)


def test_molecular_dynamics_keeps_the_energy():
    from ase.md.verlet import VelocityVerlet

    atoms = silicon(5.457, 2)
    MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=np.random.default_rng(1))
    start = atoms.get_total_energy()
    VelocityVerlet(atoms, 1 * units.fs).run(50)
    assert atoms.get_total_energy() == pytest.approx(start, abs=1e-3 * len(atoms) / 8)


def test_an_nph_ensemble_moves_the_cell():
    from ase.md.nose_hoover_chain import IsotropicMTKNPT

    atoms = silicon(5.457, 1)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    IsotropicMTKNPT(atoms, 1 * units.fs, 300, 0.0, 100 * units.fs, 1000 * units.fs).run(10)
    assert np.isfinite(atoms.get_potential_energy()) and atoms.get_volume() != pytest.approx(5.457**3, rel=1e-9)


def test_nudged_elastic_band():
    from ase.mep import NEB

    first = silicon(5.457)
    del first[0]
    first.calc = Nepal(MODEL)
    last = first.copy()
    # A neighbour of the vacancy moves into it.
    near = int(np.argmin(np.linalg.norm(first.positions, axis=1)))
    last.positions[near] = 0
    images = [first.copy() for _ in range(4)] + [last]
    band = NEB(images, allow_shared_calculator=True)
    band.interpolate(mic=True)
    shared = Nepal(MODEL)
    for image in images:
        image.calc = shared
    BFGS(band, logfile=None).run(steps=3)
    energies = [image.get_potential_energy() for image in images]
    assert max(energies) > energies[0] and np.isfinite(energies).all()


def test_vibrations(tmp_path):
    from ase.vibrations import Vibrations

    atoms = silicon(5.457)
    modes = Vibrations(atoms, indices=[0, 1], name=str(tmp_path / "modes"))
    modes.run()
    frequencies = modes.get_frequencies()
    assert len(frequencies) == 6 and (frequencies.real > 100).all()


def test_phonopy_with_born_free_forces():
    pytest.importorskip("phonopy", reason="SKIPPED: needs phonopy")
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = bulk("Si", "diamond", a=5.457)
    cell = PhonopyAtoms(symbols=atoms.symbols, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions())
    phonons = Phonopy(cell, supercell_matrix=np.diag([2, 2, 2]))
    phonons.generate_displacements(distance=0.01)
    phonons.forces = forces_of(phonons.supercells_with_displacements)
    phonons.produce_force_constants()
    phonons.run_mesh([8, 8, 8])
    phonons.run_thermal_properties(t_step=300, t_max=300, t_min=300)
    # Dulong and Petit: 3 R for each of two atoms is the bound, and at 300 K silicon is at four fifths of it.
    assert 0.6 < phonons.get_thermal_properties_dict()["heat_capacity"][0] / (6 * 8.314) < 0.9


def forces_of(supercells):
    calculator = nepal.Calculator(MODEL)
    found = []
    for cell in supercells:
        structure = nepal.Structure(cell.positions, cell.symbols, cell=cell.cell)
        found.append(calculator.compute(structure, ["forces"])["forces"])
    return found


def test_phono3py():
    pytest.importorskip("phono3py", reason="SKIPPED: needs phono3py")
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = bulk("Si", "diamond", a=5.457)
    cell = PhonopyAtoms(symbols=atoms.symbols, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions())
    phonons = Phono3py(cell, supercell_matrix=np.eye(3, dtype=int) * 2, primitive_matrix="P", log_level=0)
    phonons.generate_displacements(distance=0.03, cutoff_pair_distance=3.0)
    cells = phonons.supercells_with_displacements
    phonons.forces = [
        np.zeros((len(phonons.supercell), 3)) if one is None else forces_of([one])[0] for one in cells
    ]
    phonons.produce_fc2()
    phonons.produce_fc3()
    phonons.mesh_numbers = [3, 3, 3]
    phonons.init_phph_interaction()
    phonons.run_thermal_conductivity(temperatures=[300])
    kappa = phonons.thermal_conductivity.kappa
    kappa = np.asarray(kappa).reshape(-1, 6)[0]
    # Cubic: one number, positive, no shear.
    assert kappa[:3] == pytest.approx([kappa[0]] * 3, rel=1e-3) and kappa[0] > 1
    assert kappa[3:] == pytest.approx(np.zeros(3), abs=1e-3 * kappa[0])


def test_pymatgen_structures():
    pytest.importorskip("pymatgen", reason="SKIPPED: needs pymatgen")
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    structure = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.457), ["Si"], [[0, 0, 0]])
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = Nepal(MODEL)
    assert atoms.get_potential_energy() == pytest.approx(silicon(5.457).get_potential_energy(), abs=1e-6)
    found = nepal.Calculator(MODEL).compute(structure, ["energy"])
    assert found["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert nepal.active_set(MODEL, structure).ranks["Si"] > 0


def test_matcalc():
    pytest.importorskip("matcalc", reason="SKIPPED: needs matcalc")
    from matcalc import ElasticityCalc, RelaxCalc
    from pymatgen.core import Lattice, Structure

    structure = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.6), ["Si"], [[0, 0, 0]])
    relaxed = RelaxCalc(Nepal(MODEL), optimizer="BFGS", fmax=1e-3).calc(structure)
    assert relaxed["a"] == pytest.approx(5.457, abs=0.004)
    elastic = ElasticityCalc(Nepal(MODEL), relax_structure=False).calc(relaxed["final_structure"])
    # In eV/Å³; in GPa before version 0.5 of matcalc.
    modulus = elastic["bulk_modulus_vrh"]
    assert 50 < (modulus / units.GPa if modulus < 10 else modulus) < 150


def test_janus_core():
    pytest.importorskip("janus_core", reason="SKIPPED: needs janus-core")
    from janus_core.calculations.geom_opt import GeomOpt

    atoms = silicon()
    GeomOpt(struct=atoms, fmax=1e-3, filter_class=FrechetCellFilter, write_results=False, track_carbon=False).run()
    assert atoms.cell.lengths() == pytest.approx([5.457] * 3, abs=0.004)


def energy(calculator, scale):
    """Top level, so that processes find it."""
    atoms = bulk("Si", "diamond", a=5.457 * scale, cubic=True)
    atoms.calc = calculator
    return atoms.get_potential_energy(), float(calculator.get_property("grade", atoms).max())


def test_joblib_processes_and_threads():
    joblib = pytest.importorskip("joblib", reason="SKIPPED: needs joblib")
    scales = [0.98, 1.0, 1.02]
    calculator = Nepal(MODEL, SET, threads=1)
    wanted = [energy(calculator, scale) for scale in scales]
    for backend in ("loky", "multiprocessing", "threading"):
        jobs = [joblib.delayed(energy)(copy.deepcopy(calculator), scale) for scale in scales]
        assert joblib.Parallel(n_jobs=2, backend=backend)(jobs) == wanted, backend


def test_copies_are_calculators_of_their_own():
    atoms = silicon(5.5)
    atoms.calc = Nepal(MODEL, SET, threads=1)
    wanted = atoms.get_potential_energy()
    for made in (copy.deepcopy(atoms.calc), pickle.loads(pickle.dumps(atoms.calc)), copy.deepcopy(atoms).calc):
        other = silicon(5.6)
        other.calc = made
        other.get_potential_energy()
        assert atoms.get_potential_energy() == wanted
        other.set_cell(atoms.cell, scale_atoms=True)
        assert other.get_potential_energy() == pytest.approx(wanted, abs=1e-12)
        assert made.get_property("grade", other).max() > 0
