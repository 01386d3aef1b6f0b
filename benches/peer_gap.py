"""A Gaussian approximation potential for one of the mlearn sets: the trainer's classical peer.

    python3 benches/peer_gap.py SHARED/mlearn ELEMENT OUT.json [CUTOFF]

Needs quippy-ase (PyPI), whose gap_fit trains it. SOAP with n_max = l_max = 8, zeta 4, 2000 sparse points by CUR and
the noise of Zuo et al.'s own package (0.5 meV/atom, 0.1 eV/A); energies and forces, no virials, as there. The errors
on the test set (eV/atom, eV/A), the seconds of the fit and the settings become the element's entry of OUT.json,
which benches/training.py puts beside ours.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from ase.io import read
from quippy.potential import Potential

SPARSE = 2000


def soap(cutoff):
    return (
        f"soap l_max=8 n_max=8 atom_sigma=0.5 zeta=4 cutoff={cutoff} cutoff_transition_width=0.5 delta=1 f0=0 "
        f"n_sparse={SPARSE} covariance_type=dot_product sparse_method=cur_points add_species=T"
    )


def fit(frames, folder, cutoff):
    """Runs gap_fit; gives the potential's file and the seconds."""
    model = folder / "gap.xml"
    command = ["gap_fit", f"at_file={frames}", f"gap={{{soap(cutoff)}}}", "e0_method=average"]
    command += ["default_sigma={0.0005 0.1 0.05 0.01}", "energy_parameter_name=energy"]
    command += ["force_parameter_name=forces", "virial_parameter_name=none", "sparse_jitter=1e-8"]
    command += ["do_copy_at_file=F", "sparse_separate_file=T", f"gp_file={model}"]
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode or not model.exists():
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return model, time.monotonic() - start


def main():
    data, element = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    out = pathlib.Path(sys.argv[3])
    cutoff = float(sys.argv[4]) if len(sys.argv) > 4 else 5.0
    energies, forces = [], []
    with tempfile.TemporaryDirectory() as folder:
        model, seconds = fit(data / f"{element}-train.xyz", pathlib.Path(folder), cutoff)
        potential = Potential("IP GAP", param_filename=str(model))
        for frame in read(data / f"{element}-test.xyz", ":"):
            bare = frame.copy()
            bare.calc = potential
            energies.append((bare.get_potential_energy() - frame.get_potential_energy()) / len(frame))
            forces.append(bare.get_forces() - frame.get_forces())
    energies, forces = np.array(energies), np.concatenate(forces)
    record = {
        "cutoff": cutoff,
        "n_sparse": SPARSE,
        "fit_seconds": round(seconds),
        "energy_rmse": float(np.sqrt(np.mean(energies**2))),
        "energy_mae": float(np.mean(np.abs(energies))),
        "force_rmse": float(np.sqrt(np.mean(forces**2))),
        "force_mae": float(np.mean(np.abs(forces))),
    }
    records = json.loads(out.read_text()) if out.exists() else {}
    records[element] = record
    out.write_text(json.dumps(records, indent=1) + "\n")
    print(element, json.dumps(record))


if __name__ == "__main__":
    main()
