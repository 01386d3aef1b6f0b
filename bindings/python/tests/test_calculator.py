"""The calculator on arrays: numbers of other programs, shapes, places, errors."""

import copy
import pickle
import threading

import numpy as np
import pytest
from conftest import EXAMPLES, model, reference

import nepal


@pytest.mark.parametrize(
    "folder", ["si_2022_nep4_3body", "c_2024_nep4", "unep_v1_16_metals", "bazro3_nep4"]
)
def test_numbers_are_those_of_another_program(folder):
    calculator = nepal.Calculator(model(folder))
    seen = 0
    for atoms, expected in reference(folder):
        found = calculator.compute(atoms, ["energy", "energies", "forces", "virials", "descriptors"])
        # The reference files hold results of a program in double precision.
        for name in ("energy", "energies", "forces", "descriptors"):
            if expected.get(name) is not None:
                values = np.asarray(expected[name], dtype=float)
                got = np.asarray(found[name]).reshape(values.shape)
                assert np.allclose(got, values, rtol=1e-6, atol=1e-6), (folder, name)
                seen += 1
        assert found["energies"].sum() == pytest.approx(found["energy"], abs=1e-9)
    assert seen > 3


def test_every_property_has_its_shape(silicon, silicon_set, si8):
    calculator = nepal.Calculator(silicon, silicon_set)
    found = calculator.compute(si8, calculator.properties)
    assert isinstance(found["energy"], float)
    n, dim, width = 8, silicon.dim, silicon.projection_length
    assert found["forces"].shape == (n, 3)
    assert found["virial"].shape == (3, 3)
    assert found["virials"].shape == (n, 3, 3)
    assert found["descriptors"].shape == (n, dim)
    assert found["projections"].shape == (n, width)
    assert np.allclose(found["virials"].sum(axis=0), found["virial"])
    grades = silicon_set.grade(found["projections"])
    for name, column in zip(("gamma", "rho", "grade"), grades):
        assert np.allclose(found[name], column, rtol=1e-10)


def test_arrays_are_used_in_place(silicon, si8):
    calculator = nepal.Calculator(silicon)
    forces = np.full((8, 3), np.nan)
    energy = np.array(np.nan)
    found = calculator.compute(
        si8, ["energy", "forces"], out={"forces": forces, "energy": energy}
    )
    assert found["forces"] is forces and np.isfinite(forces).all()
    assert found["energy"] is energy and np.isfinite(energy)
    from nepal._structures import View

    assert View(si8).positions is si8.positions or np.shares_memory(
        View(si8).positions, si8.positions
    )
    for bad in (np.empty((8, 3), dtype=np.float32), np.empty((3, 8)).T, np.empty((7, 3))):
        with pytest.raises(nepal.InvalidArgument, match="in place"):
            calculator.compute(si8, ["forces"], out={"forces": bad})


def test_without_ase(silicon, si8):
    plain = nepal.Structure(si8.positions, ["Si"] * 8, cell=np.array(si8.cell))
    calculator = nepal.Calculator(silicon)
    assert calculator.compute(plain)["energy"] == calculator.compute(si8)["energy"]
    assert plain.symbols == ["Si"] * 8
    lengths = nepal.Structure([[0, 0, 0]], [14], cell=[9, 9, 9], pbc=[True, True, False])
    assert lengths.cell.tolist() == np.diag([9.0, 9, 9]).tolist()
    assert np.isfinite(calculator.compute(lengths)["energy"])
    # An atom by itself has no forces; without a cell nothing is periodic.
    alone = calculator.compute(nepal.Structure([[1, 2, 3]], ["Si"]))
    assert np.all(alone["forces"] == 0)
    with pytest.raises(nepal.InvalidArgument, match="'Xx' is not the symbol"):
        nepal.Structure([[0, 0, 0]], ["Xx"])


def test_no_atoms(silicon):
    found = nepal.Calculator(silicon).compute(nepal.Structure(np.empty((0, 3)), []))
    assert found["energy"] == 0 and found["forces"].shape == (0, 3)


def test_errors_are_nepals(silicon, silicon_set, si8, tmp_path):
    calculator = nepal.Calculator(silicon)
    with pytest.raises(nepal.InvalidArgument, match="active set"):
        calculator.compute(si8, ["grade"])
    si8.numbers[3] = 6
    with pytest.raises(nepal.InvalidArgument, match="atom 3: .*C"):
        calculator.compute(si8)
    si8.numbers[3] = 14
    si8.positions[2, 1] = np.nan
    with pytest.raises(ValueError, match="atom 2 has the position"):
        calculator.compute(si8)
    with pytest.raises(nepal.InvalidArgument, match="no property 'force'"):
        calculator.compute(si8, ["force"])
    with pytest.raises(nepal.InvalidArgument, match="backend is 'gpu'"):
        nepal.Calculator(silicon, backend="gpu")
    with pytest.raises(FileNotFoundError):
        nepal.Model(tmp_path / "nep.txt")
    with pytest.raises(nepal.FileError, match="no active set"):
        nepal.Calculator(silicon, tmp_path / "set.asi")
    broken = tmp_path / "nep.txt"
    broken.write_text("nep4 1 Si\ncutoff 5\n")
    with pytest.raises(nepal.ParseError, match="nep.txt:2: ") as caught:
        nepal.Model(broken)
    assert caught.value.status == 3
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.status == 3
    with pytest.raises(nepal.InvalidArgument):
        nepal.ActiveSet(EXAMPLES / "active_set.nas", model("c_2024_nep4"))


def test_contraction_is_a_gradient(silicon, si8):
    calculator = nepal.Calculator(silicon, backend="reference")
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(8, silicon.dim))

    def phi(positions):
        atoms = si8.copy()
        atoms.positions = positions
        return (weights * calculator.compute(atoms, ["descriptors"])["descriptors"]).sum()

    forces, virial = calculator.contract(si8, weights)
    h = 1e-4
    for atom, axis in [(0, 0), (4, 1), (7, 2)]:
        up, down = si8.positions.copy(), si8.positions.copy()
        up[atom, axis] += h
        down[atom, axis] -= h
        numeric = -(phi(up) - phi(down)) / (2 * h)
        assert forces[atom, axis] == pytest.approx(numeric, rel=1e-5, abs=1e-6)
    assert virial.shape == (3, 3) and np.allclose(virial, virial.T, atol=1e-9)
    with pytest.raises(nepal.InvalidArgument, match="gradient"):
        calculator.contract(si8, weights[:, :-1])


def test_the_gradient_of_a_grade_is_one(silicon, silicon_set, si8):
    calculator = nepal.Calculator(silicon, silicon_set, backend="reference")
    values, gradient = calculator.grade_gradient(si8, "smooth", 6)
    grades = calculator.compute(si8, ["gamma", "grade"])
    assert np.all(values >= grades["grade"] * (1 - 1e-9))
    gamma, _ = calculator.grade_gradient(si8, "gamma")
    assert np.allclose(gamma, grades["gamma"], rtol=1e-9)
    # A potential of the measure: its forces are its derivatives.
    forces, _ = calculator.contract(si8, gradient)
    h = 1e-4
    for atom, axis in [(4, 0), (3, 2)]:
        sums = []
        for sign in (1, -1):
            moved = si8.copy()
            moved.positions[atom, axis] += sign * h
            sums.append(calculator.grade_gradient(moved, "smooth", 6)[0].sum())
        numeric = (sums[1] - sums[0]) / (2 * h)
        assert forces[atom, axis] == pytest.approx(numeric, rel=1e-4)
    again, direct, _ = calculator.contract_grade(si8, None, "smooth", 6)
    assert np.allclose(again, values) and np.allclose(direct, forces, rtol=1e-9, atol=1e-9)
    only = np.zeros(8)
    only[4] = 2.5
    _, scaled, _ = calculator.contract_grade(si8, only, "smooth", 6)
    one, _ = calculator.contract(si8, gradient * only[:, None])
    assert np.allclose(scaled, one, rtol=1e-9, atol=1e-9)
    with pytest.raises(nepal.InvalidArgument, match="measure is 'rough'"):
        calculator.grade_gradient(si8, "rough")


def test_a_calculator_learns_and_its_set_does_not(silicon, silicon_set, si8):
    calculator = nepal.Calculator(silicon, silicon_set)
    before = calculator.compute(si8, ["grade"])["grade"]
    learned = calculator.learn(si8, threshold=2.0)
    assert 1 <= learned <= 8
    assert calculator.compute(si8, ["grade"])["grade"].max() <= 2.0 * (1 + 1e-9)
    assert calculator.learn(si8, threshold=2.0) == 0
    fresh = nepal.Calculator(silicon, silicon_set).compute(si8, ["grade"])["grade"]
    assert np.array_equal(fresh, before)


def test_threads_are_a_choice(silicon, si8):
    one = nepal.Calculator(silicon, threads=1).compute(si8)
    two = nepal.Calculator(silicon, threads=2).compute(si8)
    assert two["energy"] == pytest.approx(one["energy"], rel=1e-12)
    with pytest.raises(nepal.InvalidArgument, match="threads is -1"):
        nepal.Calculator(silicon, threads=-1)


def test_mixed_precision_is_near_and_says_so_where_it_is_not_to_be_had(silicon, si8):
    exact = nepal.Calculator(silicon).compute(si8)
    mixed = nepal.Calculator(silicon, precision="mixed").compute(si8)
    assert mixed["energy"] != exact["energy"]
    assert mixed["energy"] == pytest.approx(exact["energy"], abs=1e-4)
    assert np.abs(mixed["forces"] - exact["forces"]).max() < 1e-3
    with pytest.raises(nepal.Unsupported, match="f64 only"):
        nepal.Calculator(silicon, backend="reference", precision="mixed")
    with pytest.raises(nepal.InvalidArgument, match="precision is 'f16'"):
        nepal.Calculator(silicon, precision="f16")


def test_models_and_sets_are_copied_and_pickled(silicon, silicon_set, si8):
    calculator = nepal.Calculator(silicon, silicon_set, backend="reference")
    before = calculator.compute(si8, ["energy", "grade"])
    for other in (pickle.loads(pickle.dumps(calculator)), copy.deepcopy(calculator)):
        after = other.compute(si8, ["energy", "grade"])
        assert after["energy"] == before["energy"]
        assert np.array_equal(after["grade"], before["grade"])
        assert other.backend == "reference"


def test_models_are_saved(silicon, si8, tmp_path):
    silicon.save(tmp_path / "nep.txt")
    again = nepal.Calculator(tmp_path / "nep.txt").compute(si8)
    assert again["energy"] == pytest.approx(nepal.Calculator(silicon).compute(si8)["energy"])


def test_threads_share_a_model_and_run_at_once(silicon, si8):
    """Each thread has its calculator; results are those of one thread alone."""
    expected = nepal.Calculator(silicon).compute(si8)
    found = {}

    def work(k):
        calculator = nepal.Calculator(silicon)
        for _ in range(20):
            found[k] = calculator.compute(si8)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert found[k]["energy"] == expected["energy"]
        assert np.array_equal(found[k]["forces"], expected["forces"])


def test_the_same_memory_over_many_calls(silicon, silicon_set, si8):
    """Objects are freed: a thousand of each kind do not grow the process by a model's size."""
    import resource

    def churn(n):
        for _ in range(n):
            nepal.Calculator(silicon, silicon_set).compute(si8, ["forces", "grade"])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    settled = churn(100)
    assert churn(300) - settled < 4000, "kilobytes"


@pytest.mark.parametrize(
    "folder",
    [
        "water_qnep_mode1",
        "water_dipole_nep4",
        "bazro3_polarizability_nep4",
        "synthetic_variants/nep4_charge2",
        "synthetic_variants/nep4_zbl_temperature",
    ],
)
def test_every_kind_of_model_gives_the_numbers_of_another_program(folder):
    calculator = nepal.Calculator(model(folder))
    names = {"born_charges": "born_effective_charges"}
    seen = set()
    for atoms, expected in reference(folder):
        temperature = expected.get("temperature")
        wanted = set(calculator.properties) - {"gamma", "rho", "grade"}
        found = calculator.compute(atoms, wanted, temperature=temperature)
        for name in ("energy", "forces", "charges", "born_charges", "dipole", "polarizability"):
            values = expected.get(names.get(name, name))
            if values is None:
                continue
            got = np.asarray(found[name])
            if name == "polarizability":
                got = got[[0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]]
            values = np.asarray(values, dtype=float).reshape(got.shape)
            assert np.allclose(got, values, rtol=1e-9, atol=1e-9), (folder, name)
            seen.add(name)
    assert seen


def test_dispersion_is_added(silicon, si8):
    plain = nepal.Calculator(silicon).compute(si8)
    calculator = nepal.Calculator(silicon, dftd3=("pbe", 9, 6))
    both = calculator.compute(si8)
    assert -3.0 < both["energy"] - plain["energy"] < -0.3
    calculator.dftd3 = None
    assert calculator.compute(si8)["energy"] == plain["energy"]
    with pytest.raises(nepal.InvalidArgument, match="b3lyp"):
        nepal.Calculator(silicon, dftd3=("pbee", 9, 6))


def test_what_a_model_does_not_have_or_needs_is_said():
    atoms, expected = next(reference("water_qnep_mode1"))
    charged = nepal.Calculator(model("water_qnep_mode1"))
    found = charged.compute(atoms, ["charges", "energy"], charge=2.0, mesh_error=1e-8)
    assert found["charges"].sum() == pytest.approx(2.0)
    plain = charged.compute(atoms, ["energy"], mesh_error=-1)["energy"]
    mesh = charged.compute(atoms, ["energy"], mesh_error=1e-6)["energy"]
    assert mesh == pytest.approx(plain, abs=1e-4) and mesh != plain
    assert plain == pytest.approx(expected["energy"], abs=1e-9)
    with pytest.raises(nepal.Error, match="1e-2"):
        charged.compute(atoms, ["energy"], mesh_error=0.5)
    with pytest.raises(nepal.Error, match="dipole were asked for"):
        charged.compute(atoms, ["dipole"])
    atoms.pbc = [True, True, False]
    with pytest.raises(nepal.Error, match="vacuum"):
        charged.compute(atoms, ["energy"])
    dipoles = nepal.Calculator(model("water_dipole_nep4"))
    assert "energy" not in dipoles.properties
    with pytest.raises(nepal.Error, match="gives dipole moments"):
        dipoles.compute(atoms, ["energy", "dipole"])
    hot = nepal.Calculator(model("synthetic_variants/nep4_temperature"))
    atoms, _ = next(reference("synthetic_variants/nep4_temperature"))
    with pytest.raises(nepal.Error, match="in K"):
        hot.compute(atoms, ["energy"])
    with pytest.raises(nepal.Error, match="charge 0"):
        hot.compute(atoms, ["energy"], temperature=300.0, charge=1.0)
