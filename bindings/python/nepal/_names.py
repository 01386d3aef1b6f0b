"""What can be asked for, by name."""

from __future__ import annotations

from . import _c_api as c

#: What can be asked for, with the shape of the array: "n" is the number of atoms.
SHAPES: dict[str, tuple[str | int, ...]] = {
    "energy": (),
    "energies": ("n",),
    "forces": ("n", 3),
    "virial": (3, 3),
    "virials": ("n", 3, 3),
    "descriptors": ("n", "dim"),
    "projections": ("n", "projection_length"),
    "gamma": ("n",),
    "rho": ("n",),
    "grade": ("n",),
    "charges": ("n",),
    "born_charges": ("n", 3, 3),
    "dipole": (3,),
    "dipoles": ("n", 3),
    "polarizability": (3, 3),
    "polarizabilities": ("n", 3, 3),
    "sigma": ("n",),
    "sigma_energies": ("n",),
    "sigma_energy": (),
}

MEASURES = {
    "gamma": c.NEPAL_MEASURE_GAMMA,
    "rho": c.NEPAL_MEASURE_RHO,
    "grade": c.NEPAL_MEASURE_TOTAL,
    "smooth": c.NEPAL_MEASURE_SMOOTH,
}
PRECISIONS = {"f64": c.NEPAL_PRECISION_F64, "mixed": c.NEPAL_PRECISION_MIXED}
