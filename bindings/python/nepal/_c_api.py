"""The C interface as ctypes sees it. Made from include/nepal.h by bindings/mirrors.py; do not edit.

Arrays are `c_void_p`: an address, such as `array.ctypes.data` of numpy.
"""

from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)

NEPAL_VERSION_NUMBER = 200
NEPAL_ABI_VERSION = 2
NEPAL_GRADE_COMPAT = 1
NEPAL_GRADE_TWO_PART = 2
NEPAL_GRADE_RIDGE = 3
NEPAL_BACKEND_DEFAULT = 0
NEPAL_BACKEND_REFERENCE = 1
NEPAL_BACKEND_CPU = 2
NEPAL_BACKEND_CUDA = 3
NEPAL_PRECISION_F64 = 0
NEPAL_PRECISION_MIXED = 1
NEPAL_NEIGHBOR_MASK_LAMMPS = 536870911
NEPAL_RESULTS_ADD_FORCES = 1
NEPAL_RESULTS_NO_FRAGMENTS = 2
NEPAL_RESULTS_TEMPERATURE = 4
NEPAL_MEASURE_GAMMA = 1
NEPAL_MEASURE_RHO = 2
NEPAL_MEASURE_TOTAL = 3
NEPAL_MEASURE_SMOOTH = 4
NEPAL_EFFORT_FULL = 0
NEPAL_EFFORT_ABOVE = 1
NEPAL_EFFORT_LIKELY = 2
NEPAL_FRAGMENT_OPTIMISE = 1
NEPAL_FRAGMENT_KEEP_MOLECULES = 2
NEPAL_FRAGMENT_ANGULAR = 4
NEPAL_FRAGMENT_TOLERANT = 8
NEPAL_DEVICE_NEW_TYPES = 1
NEPAL_DEVICE_STILL = 2
NEPAL_DEVICE_NO_WAIT = 4
NEPAL_DEVICE_COMPARE_TYPES = 8
NEPAL_DEVICE_DIAGONAL_FIRST = 2
NEPAL_STATUS_SUCCESS = 0
NEPAL_STATUS_INVALID_ARGUMENT = 1
NEPAL_STATUS_IO = 2
NEPAL_STATUS_PARSE = 3
NEPAL_STATUS_UNSUPPORTED = 4
NEPAL_STATUS_BUFFER_TOO_SMALL = 5
NEPAL_STATUS_BACKEND = 6
NEPAL_STATUS_CALLBACK = 7
NEPAL_STATUS_INTERNAL = 8
NEPAL_STATUS_FAILED = 9


nepal_gather_callback_t = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t, c_void_p)


nepal_broadcast_callback_t = CFUNCTYPE(c_int32, c_void_p, c_int32, c_void_p, c_size_t)


nepal_sum_callback_t = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)


nepal_forward_callback_t = CFUNCTYPE(c_int32, c_void_p, c_void_p)


class nepal_structure_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("n_atoms", c_size_t),
        ("positions", c_void_p),
        ("types", c_void_p),
        ("atomic_numbers", c_void_p),
        ("cell", c_void_p),
        ("periodic", c_int32 * 3),
        ("reserved", c_uint32),
        ("tags", c_void_p),
        ("step", c_int64),
    ]


class nepal_active_set_options_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_uint32),
        ("backend", c_uint32),
        ("tolerance", c_double),
        ("resolution", c_double),
        ("seed", c_uint64),
    ]


class nepal_calculator_options_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("backend", c_uint32),
        ("threads", c_uint32),
        ("device", c_uint32),
        ("precision", c_uint32),
    ]


class nepal_results_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("energy", c_void_p),
        ("energies", c_void_p),
        ("forces", c_void_p),
        ("virial", c_void_p),
        ("virials", c_void_p),
        ("descriptors", c_void_p),
        ("projections", c_void_p),
        ("gamma", c_void_p),
        ("rho", c_void_p),
        ("grade", c_void_p),
        ("charges", c_void_p),
        ("born_charges", c_void_p),
        ("dipole", c_void_p),
        ("dipoles", c_void_p),
        ("polarizability", c_void_p),
        ("polarizabilities", c_void_p),
        ("temperature", c_double),
        ("charge", c_double),
        ("mesh_error", c_double),
        ("sigma", c_void_p),
        ("sigma_energies", c_void_p),
        ("sigma_energy", c_void_p),
    ]


class nepal_host_list_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("n_local", c_size_t),
        ("n_total", c_size_t),
        ("positions", c_void_p),
        ("types", c_void_p),
        ("counts", c_void_p),
        ("neighbors", c_void_p),
        ("rows", c_void_p),
        ("mask", c_uint32),
        ("reserved", c_uint32),
        ("tags", c_void_p),
        ("step", c_int64),
        ("known", c_double),
        ("generation", c_uint64),
        ("cell", c_void_p),
    ]


class nepal_fragment_options_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("save", c_double),
        ("flags", c_uint32),
        ("max_fragments", c_uint32),
        ("core_radius", c_double),
        ("max_size", c_double),
        ("max_atoms", c_size_t),
        ("seed", c_uint64),
    ]


class nepal_fragment_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("n_atoms", c_size_t),
        ("positions", c_void_p),
        ("types", c_void_p),
        ("tags", c_void_p),
        ("core", c_void_p),
        ("mask", c_void_p),
        ("cell", c_double * 9),
        ("periodic", c_int32 * 3),
        ("whole", c_int32),
        ("target", c_size_t),
        ("target_tag", c_int64),
        ("grade", c_double),
        ("gamma", c_double),
        ("rho", c_double),
        ("step", c_int64),
        ("grades", c_void_p),
        ("summary", c_char_p),
    ]


nepal_fragment_callback_t = CFUNCTYPE(c_int32, c_void_p, POINTER(nepal_fragment_t))


class nepal_ranks_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rank", c_int32),
        ("n_ranks", c_int32),
        ("gather", nepal_gather_callback_t),
        ("broadcast", nepal_broadcast_callback_t),
        ("user_data", c_void_p),
        ("sum", nepal_sum_callback_t),
        ("forward", nepal_forward_callback_t),
    ]


class nepal_device_atoms_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("n_atoms", c_size_t),
        ("positions", c_void_p),
        ("position_strides", c_size_t * 2),
        ("types", c_void_p),
        ("cell", c_void_p),
        ("periodic", c_int32 * 3),
        ("flags", c_uint32),
        ("stream", c_void_p),
        ("n_ghosts", c_size_t),
        ("neighbor_counts", c_void_p),
        ("neighbors", c_void_p),
        ("neighbor_strides", c_size_t * 2),
        ("generation", c_uint64),
        ("neighbor_mask", c_uint32),
        ("n_type_map", c_uint32),
        ("type_map", c_void_p),
    ]


class nepal_device_results_t(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("energies", c_void_p),
        ("forces", c_void_p),
        ("force_strides", c_size_t * 2),
        ("virials", c_void_p),
        ("virial_strides", c_size_t * 2),
        ("gamma", c_void_p),
        ("rho", c_void_p),
        ("grade", c_void_p),
        ("largest_grade", c_void_p),
        ("total_energy", c_void_p),
        ("total_virial", c_void_p),
        ("charges", c_void_p),
        ("born_charges", c_void_p),
        ("dipole", c_void_p),
        ("dipoles", c_void_p),
        ("polarizability", c_void_p),
        ("polarizabilities", c_void_p),
        ("temperature", c_double),
        ("charge", c_double),
    ]


def declare(library: CDLL) -> None:
    """Tells ctypes the types of all functions."""
    library.nepal_version_number.restype = c_uint32
    library.nepal_version_number.argtypes = []
    library.nepal_abi_version.restype = c_uint32
    library.nepal_abi_version.argtypes = []
    library.nepal_last_error.restype = c_int32
    library.nepal_last_error.argtypes = [c_char_p, c_size_t, c_void_p]
    library.nepal_model_load.restype = c_int32
    library.nepal_model_load.argtypes = [c_char_p, c_void_p]
    library.nepal_model_parse.restype = c_int32
    library.nepal_model_parse.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]
    library.nepal_model_save.restype = c_int32
    library.nepal_model_save.argtypes = [c_void_p, c_char_p]
    library.nepal_model_free.restype = None
    library.nepal_model_free.argtypes = [c_void_p]
    library.nepal_model_n_types.restype = c_int32
    library.nepal_model_n_types.argtypes = [c_void_p, c_void_p]
    library.nepal_model_element.restype = c_int32
    library.nepal_model_element.argtypes = [c_void_p, c_int32, c_char_p, c_size_t, c_void_p]
    library.nepal_model_type.restype = c_int32
    library.nepal_model_type.argtypes = [c_void_p, c_char_p, c_void_p]
    library.nepal_model_kind.restype = c_int32
    library.nepal_model_kind.argtypes = [c_void_p, c_char_p, c_size_t, c_void_p]
    library.nepal_model_cutoff.restype = c_int32
    library.nepal_model_cutoff.argtypes = [c_void_p, c_void_p]
    library.nepal_model_dim.restype = c_int32
    library.nepal_model_dim.argtypes = [c_void_p, c_void_p]
    library.nepal_model_projection_length.restype = c_int32
    library.nepal_model_projection_length.argtypes = [c_void_p, c_void_p]
    library.nepal_active_set_load.restype = c_int32
    library.nepal_active_set_load.argtypes = [c_char_p, c_void_p, c_void_p]
    library.nepal_active_set_parse.restype = c_int32
    library.nepal_active_set_parse.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p, c_void_p]
    library.nepal_active_set_kind.restype = c_int32
    library.nepal_active_set_kind.argtypes = [c_void_p, c_void_p]
    library.nepal_active_set_free.restype = None
    library.nepal_active_set_free.argtypes = [c_void_p]
    library.nepal_active_set_build.restype = c_int32
    library.nepal_active_set_build.argtypes = [
        c_void_p,
        c_void_p,
        c_size_t,
        POINTER(nepal_active_set_options_t),
        c_void_p,
    ]
    library.nepal_active_set_save.restype = c_int32
    library.nepal_active_set_save.argtypes = [c_void_p, c_char_p]
    library.nepal_active_set_rank.restype = c_int32
    library.nepal_active_set_rank.argtypes = [c_void_p, c_int32, c_void_p]
    library.nepal_active_set_report.restype = c_int32
    library.nepal_active_set_report.argtypes = [c_void_p, c_char_p, c_size_t, c_void_p]
    library.nepal_active_set_grade.restype = c_int32
    library.nepal_active_set_grade.argtypes = [
        c_void_p,
        c_int32,
        c_void_p,
        c_size_t,
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_new.restype = c_int32
    library.nepal_calculator_new.argtypes = [c_void_p, POINTER(nepal_calculator_options_t), c_void_p]
    library.nepal_calculator_free.restype = None
    library.nepal_calculator_free.argtypes = [c_void_p]
    library.nepal_calculator_backend.restype = c_int32
    library.nepal_calculator_backend.argtypes = [c_void_p, c_char_p, c_size_t, c_void_p]
    library.nepal_calculator_set_active_set.restype = c_int32
    library.nepal_calculator_set_active_set.argtypes = [c_void_p, c_void_p]
    library.nepal_calculator_set_dftd3.restype = c_int32
    library.nepal_calculator_set_dftd3.argtypes = [c_void_p, c_char_p, c_double, c_double]
    library.nepal_posterior_load.restype = c_int32
    library.nepal_posterior_load.argtypes = [c_char_p, c_void_p, c_void_p]
    library.nepal_posterior_parse.restype = c_int32
    library.nepal_posterior_parse.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p, c_void_p]
    library.nepal_posterior_free.restype = None
    library.nepal_posterior_free.argtypes = [c_void_p]
    library.nepal_calculator_set_posterior.restype = c_int32
    library.nepal_calculator_set_posterior.argtypes = [c_void_p, c_void_p]
    library.nepal_calculator_compute.restype = c_int32
    library.nepal_calculator_compute.argtypes = [
        c_void_p,
        POINTER(nepal_structure_t),
        POINTER(nepal_results_t),
    ]
    library.nepal_calculator_compute_list.restype = c_int32
    library.nepal_calculator_compute_list.argtypes = [
        c_void_p,
        POINTER(nepal_host_list_t),
        POINTER(nepal_results_t),
    ]
    library.nepal_calculator_contract.restype = c_int32
    library.nepal_calculator_contract.argtypes = [
        c_void_p,
        POINTER(nepal_structure_t),
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_contract_list.restype = c_int32
    library.nepal_calculator_contract_list.argtypes = [
        c_void_p,
        POINTER(nepal_host_list_t),
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_contract_with_energy_list.restype = c_int32
    library.nepal_calculator_contract_with_energy_list.argtypes = [
        c_void_p,
        POINTER(nepal_host_list_t),
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_contract_grade.restype = c_int32
    library.nepal_calculator_contract_grade.argtypes = [
        c_void_p,
        POINTER(nepal_structure_t),
        c_uint32,
        c_double,
        c_void_p,
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_contract_grade_list.restype = c_int32
    library.nepal_calculator_contract_grade_list.argtypes = [
        c_void_p,
        POINTER(nepal_host_list_t),
        c_uint32,
        c_double,
        c_void_p,
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_grade_gradient.restype = c_int32
    library.nepal_calculator_grade_gradient.argtypes = [
        c_void_p,
        POINTER(nepal_structure_t),
        c_uint32,
        c_double,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_grade_gradient_list.restype = c_int32
    library.nepal_calculator_grade_gradient_list.argtypes = [
        c_void_p,
        POINTER(nepal_host_list_t),
        c_uint32,
        c_double,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_contract_sigma.restype = c_int32
    library.nepal_calculator_contract_sigma.argtypes = [
        c_void_p,
        POINTER(nepal_structure_t),
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_sigma_count.restype = c_int32
    library.nepal_calculator_sigma_count.argtypes = [c_void_p, c_void_p]
    library.nepal_calculator_sigma_columns_list.restype = c_int32
    library.nepal_calculator_sigma_columns_list.argtypes = [c_void_p, POINTER(nepal_host_list_t), c_void_p]
    library.nepal_calculator_sigma_gradient_list.restype = c_int32
    library.nepal_calculator_sigma_gradient_list.argtypes = [
        c_void_p,
        POINTER(nepal_host_list_t),
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    library.nepal_calculator_learn.restype = c_int32
    library.nepal_calculator_learn.argtypes = [c_void_p, POINTER(nepal_structure_t), c_double, c_void_p]
    library.nepal_calculator_learn_list.restype = c_int32
    library.nepal_calculator_learn_list.argtypes = [c_void_p, POINTER(nepal_host_list_t), c_double, c_void_p]
    library.nepal_calculator_set_grade_effort.restype = c_int32
    library.nepal_calculator_set_grade_effort.argtypes = [c_void_p, c_uint32, c_double]
    library.nepal_calculator_set_fragment_callback.restype = c_int32
    library.nepal_calculator_set_fragment_callback.argtypes = [
        c_void_p,
        POINTER(nepal_fragment_options_t),
        nepal_fragment_callback_t,
        c_void_p,
    ]
    library.nepal_calculator_fragment_counts.restype = c_int32
    library.nepal_calculator_fragment_counts.argtypes = [c_void_p, c_void_p, c_void_p, c_void_p]
    library.nepal_calculator_fragment_refusal.restype = c_int32
    library.nepal_calculator_fragment_refusal.argtypes = [c_void_p, c_char_p, c_size_t, c_void_p]
    library.nepal_calculator_fragment_around.restype = c_int32
    library.nepal_calculator_fragment_around.argtypes = [
        c_void_p,
        POINTER(nepal_structure_t),
        c_size_t,
        POINTER(nepal_fragment_options_t),
        nepal_fragment_callback_t,
        c_void_p,
    ]
    library.nepal_calculator_set_fragment_file.restype = c_int32
    library.nepal_calculator_set_fragment_file.argtypes = [c_void_p, POINTER(nepal_fragment_options_t), c_char_p]
    library.nepal_calculator_set_ranks.restype = c_int32
    library.nepal_calculator_set_ranks.argtypes = [c_void_p, POINTER(nepal_ranks_t)]
    library.nepal_device_count.restype = c_int32
    library.nepal_device_count.argtypes = [c_void_p]
    library.nepal_calculator_compute_device.restype = c_int32
    library.nepal_calculator_compute_device.argtypes = [
        c_void_p,
        POINTER(nepal_device_atoms_t),
        POINTER(nepal_device_results_t),
    ]
    library.nepal_calculator_finish_device.restype = c_int32
    library.nepal_calculator_finish_device.argtypes = [c_void_p]
