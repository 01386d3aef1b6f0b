"""nepal: neuroevolution potentials (NEP) with extrapolation grades.

    import nepal
    calculator = nepal.Calculator("nep.txt", "set.asi")
    calculator.compute(atoms, ["energy", "forces", "grade"])

    made = nepal.train("nep.in", "train.xyz", epochs=100)
    nepal.Campaign("campaign.toml").run(progress=print)

With ASE: `from nepal.ase import Nepal; atoms.calc = Nepal("nep.txt", "set.asi")`.

Units are Å, eV and eV/Å. A grade up to 1 is inside what the model was trained on.
"""

from ._calculator import Calculator, fragment
from ._campaign import Campaign
from ._fragments import Fragment
from ._library import (
    BackendError,
    Error,
    Failed,
    FileError,
    InvalidArgument,
    ParseError,
    Unsupported,
    lib,
)
from ._model import ActiveSet, Model, Posterior, active_set
from ._names import SHAPES
from ._program import Progress, ProgramNotFound, command
from ._structures import Structure
from ._table import Table
from ._training import Selection, Training, audit, fragments, select, train

_number = lib.nepal_version_number()
__version__ = f"{_number // 10000}.{_number // 100 % 100}.{_number % 100}"

__all__ = [
    "SHAPES",
    "ActiveSet",
    "BackendError",
    "Calculator",
    "Campaign",
    "Error",
    "Failed",
    "FileError",
    "Fragment",
    "InvalidArgument",
    "Model",
    "ParseError",
    "Posterior",
    "ProgramNotFound",
    "Progress",
    "Selection",
    "Structure",
    "Table",
    "Training",
    "Unsupported",
    "active_set",
    "audit",
    "command",
    "fragment",
    "fragments",
    "select",
    "train",
]
