"""ASE's own tests of what calculators must do, with nepal in the place of its EMT calculator."""

import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent

#: Tests that need nothing of EMT but that it is a calculator.
CHOSEN = [
    # test_fd itself asks for 1e-7 relative by differences of 1e-6 Å, where the last digits of the
    # energy count; test_ase.py has the same check with steps that suit.
    "ase.test.calculator.test_fd::test_analytical_forces",
    "ase.test.calculator.test_fd::test_analytical_stress",
    "ase.test.calculator.socketio",  # driven through ASE's i-PI protocol
    "ase.test.test_loggingcalc",
    "ase.test.test_mixingcalc",
    "ase.test.test_phonons",
    "ase.test.cell.test_supercell",
    "ase.test.fio.test_pickle_bundle_trajectory",
    "ase.test.md.test_irun_force_call_order",
    "ase.test.md.test_langevin_com",
    "ase.test.md.test_md",
    "ase.test.md.test_md_stepwise",
    "ase.test.neb.test_shared_calculator_neb",
]
#: These use hydrogen or oxygen, which the model does not know.
LEFT_OUT = (
    "not test_freeze_method and not test_set_atoms and not test_check_eq_forces "
    "and not test_check_consistent_format"
)


def test_ases_own_tests_pass_with_nepal(tmp_path):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "emt_is_nepal"]
    command += ["-q", "-k", LEFT_OUT, "--pyargs", *CHOSEN]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=500,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-5000:]
    stood_in = int(re.search(r"nepal stood in for EMT (\d+) times", output)[1])
    passed = int(re.search(r"(\d+) passed", output)[1])
    assert stood_in > 20 and passed > 20, output[-3000:]
