"""What the verification checks of KIM ask of a model, asked of the calculator."""

import concurrent.futures

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import model

import nepal

#: With and without the ZBL term, one element and several, open and periodic.
FOLDERS = ["si_2022_nep4_3body", "unep_v1_16_metals", "mo_w_se_nep3"]


@pytest.fixture(params=FOLDERS, scope="module")
def calculator(request):
    return nepal.Calculator(model(request.param))


def cluster(calculator, n=12, seed=0):
    """Atoms of all elements, no two close."""
    rng = np.random.default_rng(seed)
    places = np.array([[i, j, k] for i in range(3) for j in range(2) for k in range(2)])[:n]
    positions = 2.7 * places + rng.normal(0, 0.15, (n, 3))
    elements = calculator.model.elements
    symbols = [elements[i % len(elements)] for i in rng.permutation(n)]
    return Atoms(symbols, positions)


def periodic(calculator, seed=0):
    atoms = cluster(calculator, seed=seed)
    atoms.cell = [[8.3, 0.2, 0], [0.4, 5.9, 0.1], [0, -0.3, 5.7]]
    atoms.pbc = True
    return atoms


def both(calculator):
    return [cluster(calculator), periodic(calculator)]


def compute(calculator, atoms):
    found = calculator.compute(atoms, ["energy", "energies", "forces", "virial"])
    scale = max(1.0, np.abs(found["forces"]).max())
    return found, scale


def test_permutation_symmetry(calculator):
    order = np.random.default_rng(5).permutation(12)
    for atoms in both(calculator):
        a, scale = compute(calculator, atoms)
        b, _ = compute(calculator, atoms[order])
        assert b["energy"] == pytest.approx(a["energy"], abs=1e-9 * scale)
        assert np.allclose(b["forces"], a["forces"][order], atol=1e-9 * scale)
        assert np.allclose(b["energies"], a["energies"][order], atol=1e-9 * scale)


def test_objectivity(calculator):
    """A rotated and shifted system has the same energy and rotated forces and virial."""
    rng = np.random.default_rng(6)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    for atoms in both(calculator):
        a, scale = compute(calculator, atoms)
        atoms.set_cell(atoms.cell.array @ rotation.T)
        atoms.positions = atoms.positions @ rotation.T + rng.normal(size=3)
        b, _ = compute(calculator, atoms)
        assert b["energy"] == pytest.approx(a["energy"], abs=1e-9 * scale)
        assert np.allclose(b["forces"], a["forces"] @ rotation.T, atol=1e-8 * scale)
        assert np.allclose(b["virial"], rotation @ a["virial"] @ rotation.T, atol=1e-7 * scale)


def test_inversion_symmetry(calculator):
    for atoms in both(calculator):
        a, scale = compute(calculator, atoms)
        atoms.positions *= -1
        atoms.set_cell(-atoms.cell.array)
        b, _ = compute(calculator, atoms)
        assert b["energy"] == pytest.approx(a["energy"], abs=1e-9 * scale)
        assert np.allclose(b["forces"], -a["forces"], atol=1e-9 * scale)


def test_periodicity_support(calculator):
    """Two periods in one cell are twice one, in every mixture of boundaries; wrapping changes
    nothing."""
    for pbc in np.ndindex(2, 2, 2):
        atoms = periodic(calculator)
        atoms.pbc = pbc
        a, scale = compute(calculator, atoms)
        for axis in np.nonzero(pbc)[0]:
            n = [1, 1, 1]
            n[axis] = 2
            b, _ = compute(calculator, atoms * n)
            assert b["energy"] == pytest.approx(2 * a["energy"], abs=1e-8 * scale)
            assert np.allclose(b["forces"][12:], a["forces"], atol=1e-8 * scale)
            moved = atoms.copy()
            moved.positions[3] -= 2 * atoms.cell[axis]
            c, _ = compute(calculator, moved)
            assert c["energy"] == pytest.approx(a["energy"], abs=1e-9 * scale)


def test_forces_are_numerical_derivatives(calculator):
    for atoms in both(calculator):
        found, scale = compute(calculator, atoms)
        h = 1e-4
        for atom, axis in [(0, 0), (3, 1), (5, 2), (11, 0)]:
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * h
                energies.append(compute(calculator, moved)[0]["energy"])
            numeric = (energies[1] - energies[0]) / (2 * h)
            assert found["forces"][atom, axis] == pytest.approx(numeric, abs=1e-5 * scale)


def test_forces_add_up_to_nothing(calculator):
    for atoms in both(calculator):
        found, scale = compute(calculator, atoms)
        assert np.abs(found["forces"].sum(axis=0)).max() < 1e-9 * scale
        torque = np.cross(atoms.positions, found["forces"]).sum(axis=0)
        if not atoms.pbc.any():
            assert np.abs(torque).max() < 1e-8 * scale


def test_dimer_continuity(calculator):
    """Energy and force of a pair have no steps, and end at zero at the cutoff."""
    elements = calculator.model.elements
    cutoff = calculator.model.cutoff
    for a, b in {(elements[0], elements[0]), (elements[0], elements[-1])}:
        alone = sum(
            calculator.compute(nepal.Structure([[0, 0, 0]], [e]), ["energy"])["energy"]
            for e in (a, b)
        )
        distances = np.linspace(1.2, cutoff + 0.5, 4001)
        energy, force = np.empty(4001), np.empty(4001)
        for k, r in enumerate(distances):
            found = calculator.compute(nepal.Structure([[0, 0, 0], [r, 0, 0]], [a, b]))
            energy[k], force[k] = found["energy"] - alone, found["forces"][1, 0]
        step = distances[1] - distances[0]
        # The energy changes by the force, everywhere: Simpson over each pair of steps.
        change = energy[2::2] - energy[:-2:2]
        expected = -(force[:-2:2] + 4 * force[1:-1:2] + force[2::2]) * step / 3
        scale = max(1.0, np.abs(force).max())
        assert np.abs(change - expected).max() < 1e-6 * scale
        beyond = distances > cutoff
        assert np.all(force[beyond] == 0)
        assert np.abs(energy[beyond]).max() < 1e-9 * scale
        assert abs(force[~beyond][-1]) < 1e-3 * scale


def test_thread_safety(calculator):
    """Calculators of one model in four threads give what one alone gives."""
    structures = [periodic(calculator, seed) for seed in range(16)]
    expected = [compute(calculator, atoms)[0] for atoms in structures]

    def work(part):
        own = nepal.Calculator(calculator.model)
        return [own.compute(atoms) for atoms in part]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(work, [structures[i::4] for i in range(4)])):
            for a, b in zip(found, expected[k::4]):
                assert a["energy"] == b["energy"] and np.array_equal(a["forces"], b["forces"])


def test_units(silicon):
    """A known material: the lattice constant of silicon in Å, its bulk modulus in GPa."""
    from ase.eos import calculate_eos
    from ase.units import GPa

    from nepal.ase import Nepal

    atoms = bulk("Si", "diamond", a=5.45)
    atoms.calc = Nepal(silicon)
    volume, energy, modulus = calculate_eos(atoms, eps=0.02).fit()
    assert (4 * volume) ** (1 / 3) == pytest.approx(5.45, abs=0.06)
    assert 75 < modulus / GPa < 115
    assert -6 < energy / 2 < -4
