! SPDX-License-Identifier: MIT OR Apache-2.0
!
! The C interface as Fortran sees it. Made from include/nepal.h by bindings/mirrors.py; do not edit.
!
! include/nepal.h says what each item is. Every pointer is a type(c_ptr): c_loc of a target, or
! c_null_ptr. Unsigned integers are signed ones of the same width. The module nepal is what programs
! use as a rule.
module nepal_c
  use, intrinsic :: iso_c_binding
  implicit none
  public

  integer(c_int32_t), parameter :: NEPAL_HEADER_VERSION_NUMBER = 200_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_HEADER_ABI_VERSION = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_GRADE_COMPAT = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_GRADE_TWO_PART = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_GRADE_RIDGE = 3_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_BACKEND_DEFAULT = 0_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_BACKEND_REFERENCE = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_BACKEND_CPU = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_BACKEND_CUDA = 3_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_PRECISION_F64 = 0_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_PRECISION_MIXED = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_NEIGHBOR_MASK_LAMMPS = 536870911_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_RESULTS_ADD_FORCES = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_RESULTS_NO_FRAGMENTS = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_RESULTS_TEMPERATURE = 4_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_MEASURE_GAMMA = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_MEASURE_RHO = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_MEASURE_TOTAL = 3_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_MEASURE_SMOOTH = 4_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_EFFORT_FULL = 0_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_EFFORT_ABOVE = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_EFFORT_LIKELY = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_FRAGMENT_OPTIMISE = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_FRAGMENT_KEEP_MOLECULES = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_FRAGMENT_ANGULAR = 4_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_FRAGMENT_TOLERANT = 8_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_DEVICE_NEW_TYPES = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_DEVICE_STILL = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_DEVICE_NO_WAIT = 4_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_DEVICE_COMPARE_TYPES = 8_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_DEVICE_DIAGONAL_FIRST = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_SUCCESS = 0_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_INVALID_ARGUMENT = 1_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_IO = 2_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_PARSE = 3_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_UNSUPPORTED = 4_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_BUFFER_TOO_SMALL = 5_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_BACKEND = 6_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_CALLBACK = 7_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_INTERNAL = 8_c_int32_t
  integer(c_int32_t), parameter :: NEPAL_STATUS_FAILED = 9_c_int32_t

  type, bind(c) :: nepal_structure_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_size_t) :: n_atoms = 0_c_size_t
    type(c_ptr) :: positions = c_null_ptr
    type(c_ptr) :: types = c_null_ptr
    type(c_ptr) :: atomic_numbers = c_null_ptr
    type(c_ptr) :: cell = c_null_ptr
    integer(c_int32_t) :: periodic(3) = 0_c_int32_t
    integer(c_int32_t) :: reserved = 0_c_int32_t
    type(c_ptr) :: tags = c_null_ptr
    integer(c_int64_t) :: step = 0_c_int64_t
  end type nepal_structure_t

  type, bind(c) :: nepal_active_set_options_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_int32_t) :: kind = 0_c_int32_t
    integer(c_int32_t) :: backend = 0_c_int32_t
    real(c_double) :: tolerance = 0.0_c_double
    real(c_double) :: resolution = 0.0_c_double
    integer(c_int64_t) :: seed = 0_c_int64_t
  end type nepal_active_set_options_t

  type, bind(c) :: nepal_calculator_options_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_int32_t) :: backend = 0_c_int32_t
    integer(c_int32_t) :: threads = 0_c_int32_t
    integer(c_int32_t) :: device = 0_c_int32_t
    integer(c_int32_t) :: precision = 0_c_int32_t
  end type nepal_calculator_options_t

  type, bind(c) :: nepal_results_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_int32_t) :: flags = 0_c_int32_t
    integer(c_int32_t) :: reserved = 0_c_int32_t
    type(c_ptr) :: energy = c_null_ptr
    type(c_ptr) :: energies = c_null_ptr
    type(c_ptr) :: forces = c_null_ptr
    type(c_ptr) :: virial = c_null_ptr
    type(c_ptr) :: virials = c_null_ptr
    type(c_ptr) :: descriptors = c_null_ptr
    type(c_ptr) :: projections = c_null_ptr
    type(c_ptr) :: gamma = c_null_ptr
    type(c_ptr) :: rho = c_null_ptr
    type(c_ptr) :: grade = c_null_ptr
    type(c_ptr) :: charges = c_null_ptr
    type(c_ptr) :: born_charges = c_null_ptr
    type(c_ptr) :: dipole = c_null_ptr
    type(c_ptr) :: dipoles = c_null_ptr
    type(c_ptr) :: polarizability = c_null_ptr
    type(c_ptr) :: polarizabilities = c_null_ptr
    real(c_double) :: temperature = 0.0_c_double
    real(c_double) :: charge = 0.0_c_double
    real(c_double) :: mesh_error = 0.0_c_double
    type(c_ptr) :: sigma = c_null_ptr
    type(c_ptr) :: sigma_energies = c_null_ptr
    type(c_ptr) :: sigma_energy = c_null_ptr
  end type nepal_results_t

  type, bind(c) :: nepal_host_list_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_size_t) :: n_local = 0_c_size_t
    integer(c_size_t) :: n_total = 0_c_size_t
    type(c_ptr) :: positions = c_null_ptr
    type(c_ptr) :: types = c_null_ptr
    type(c_ptr) :: counts = c_null_ptr
    type(c_ptr) :: neighbors = c_null_ptr
    type(c_ptr) :: rows = c_null_ptr
    integer(c_int32_t) :: mask = 0_c_int32_t
    integer(c_int32_t) :: reserved = 0_c_int32_t
    type(c_ptr) :: tags = c_null_ptr
    integer(c_int64_t) :: step = 0_c_int64_t
    real(c_double) :: known = 0.0_c_double
    integer(c_int64_t) :: generation = 0_c_int64_t
    type(c_ptr) :: cell = c_null_ptr
  end type nepal_host_list_t

  type, bind(c) :: nepal_fragment_options_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    real(c_double) :: save = 0.0_c_double
    integer(c_int32_t) :: flags = 0_c_int32_t
    integer(c_int32_t) :: max_fragments = 0_c_int32_t
    real(c_double) :: core_radius = 0.0_c_double
    real(c_double) :: max_size = 0.0_c_double
    integer(c_size_t) :: max_atoms = 0_c_size_t
    integer(c_int64_t) :: seed = 0_c_int64_t
  end type nepal_fragment_options_t

  type, bind(c) :: nepal_fragment_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_size_t) :: n_atoms = 0_c_size_t
    type(c_ptr) :: positions = c_null_ptr
    type(c_ptr) :: types = c_null_ptr
    type(c_ptr) :: tags = c_null_ptr
    type(c_ptr) :: core = c_null_ptr
    type(c_ptr) :: mask = c_null_ptr
    real(c_double) :: cell(9) = 0.0_c_double
    integer(c_int32_t) :: periodic(3) = 0_c_int32_t
    integer(c_int32_t) :: whole = 0_c_int32_t
    integer(c_size_t) :: target = 0_c_size_t
    integer(c_int64_t) :: target_tag = 0_c_int64_t
    real(c_double) :: grade = 0.0_c_double
    real(c_double) :: gamma = 0.0_c_double
    real(c_double) :: rho = 0.0_c_double
    integer(c_int64_t) :: step = 0_c_int64_t
    type(c_ptr) :: grades = c_null_ptr
    type(c_ptr) :: summary = c_null_ptr
  end type nepal_fragment_t

  type, bind(c) :: nepal_ranks_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_int32_t) :: rank = 0_c_int32_t
    integer(c_int32_t) :: n_ranks = 0_c_int32_t
    type(c_funptr) :: gather = c_null_funptr
    type(c_funptr) :: broadcast = c_null_funptr
    type(c_ptr) :: user_data = c_null_ptr
    type(c_funptr) :: sum = c_null_funptr
    type(c_funptr) :: forward = c_null_funptr
  end type nepal_ranks_t

  type, bind(c) :: nepal_device_atoms_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_size_t) :: n_atoms = 0_c_size_t
    type(c_ptr) :: positions = c_null_ptr
    integer(c_size_t) :: position_strides(2) = 0_c_size_t
    type(c_ptr) :: types = c_null_ptr
    type(c_ptr) :: cell = c_null_ptr
    integer(c_int32_t) :: periodic(3) = 0_c_int32_t
    integer(c_int32_t) :: flags = 0_c_int32_t
    type(c_ptr) :: stream = c_null_ptr
    integer(c_size_t) :: n_ghosts = 0_c_size_t
    type(c_ptr) :: neighbor_counts = c_null_ptr
    type(c_ptr) :: neighbors = c_null_ptr
    integer(c_size_t) :: neighbor_strides(2) = 0_c_size_t
    integer(c_int64_t) :: generation = 0_c_int64_t
    integer(c_int32_t) :: neighbor_mask = 0_c_int32_t
    integer(c_int32_t) :: n_type_map = 0_c_int32_t
    type(c_ptr) :: type_map = c_null_ptr
  end type nepal_device_atoms_t

  type, bind(c) :: nepal_device_results_t
    integer(c_size_t) :: struct_size = 0_c_size_t
    integer(c_int32_t) :: flags = 0_c_int32_t
    integer(c_int32_t) :: reserved = 0_c_int32_t
    type(c_ptr) :: energies = c_null_ptr
    type(c_ptr) :: forces = c_null_ptr
    integer(c_size_t) :: force_strides(2) = 0_c_size_t
    type(c_ptr) :: virials = c_null_ptr
    integer(c_size_t) :: virial_strides(2) = 0_c_size_t
    type(c_ptr) :: gamma = c_null_ptr
    type(c_ptr) :: rho = c_null_ptr
    type(c_ptr) :: grade = c_null_ptr
    type(c_ptr) :: largest_grade = c_null_ptr
    type(c_ptr) :: total_energy = c_null_ptr
    type(c_ptr) :: total_virial = c_null_ptr
    type(c_ptr) :: charges = c_null_ptr
    type(c_ptr) :: born_charges = c_null_ptr
    type(c_ptr) :: dipole = c_null_ptr
    type(c_ptr) :: dipoles = c_null_ptr
    type(c_ptr) :: polarizability = c_null_ptr
    type(c_ptr) :: polarizabilities = c_null_ptr
    real(c_double) :: temperature = 0.0_c_double
    real(c_double) :: charge = 0.0_c_double
  end type nepal_device_results_t

  interface
    function nepal_version_number() bind(c) result(status)
      import
      integer(c_int32_t) :: status
    end function nepal_version_number

    function nepal_abi_version() bind(c) result(status)
      import
      integer(c_int32_t) :: status
    end function nepal_abi_version

    function nepal_last_error(buf, capacity, needed) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: buf
      integer(c_size_t), value :: capacity
      type(c_ptr), value :: needed
    end function nepal_last_error

    function nepal_model_load(path, model) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: path
      type(c_ptr), value :: model
    end function nepal_model_load

    function nepal_model_parse(data, length, name, model) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: data
      integer(c_size_t), value :: length
      type(c_ptr), value :: name
      type(c_ptr), value :: model
    end function nepal_model_parse

    function nepal_model_save(model, path) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: path
    end function nepal_model_save

    subroutine nepal_model_free(model) bind(c)
      import
      type(c_ptr), value :: model
    end subroutine nepal_model_free

    function nepal_model_n_types(model, n_types) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: n_types
    end function nepal_model_n_types

    function nepal_model_element(model, type, buf, capacity, needed) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      integer(c_int32_t), value :: type
      type(c_ptr), value :: buf
      integer(c_size_t), value :: capacity
      type(c_ptr), value :: needed
    end function nepal_model_element

    function nepal_model_type(model, symbol, type) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: symbol
      type(c_ptr), value :: type
    end function nepal_model_type

    function nepal_model_kind(model, buf, capacity, needed) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: buf
      integer(c_size_t), value :: capacity
      type(c_ptr), value :: needed
    end function nepal_model_kind

    function nepal_model_cutoff(model, cutoff) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: cutoff
    end function nepal_model_cutoff

    function nepal_model_dim(model, dim) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: dim
    end function nepal_model_dim

    function nepal_model_projection_length(model, length) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: length
    end function nepal_model_projection_length

    function nepal_active_set_load(path, model, active_set) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: path
      type(c_ptr), value :: model
      type(c_ptr), value :: active_set
    end function nepal_active_set_load

    function nepal_active_set_parse(data, length, name, model, active_set) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: data
      integer(c_size_t), value :: length
      type(c_ptr), value :: name
      type(c_ptr), value :: model
      type(c_ptr), value :: active_set
    end function nepal_active_set_parse

    function nepal_active_set_kind(active_set, kind) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: active_set
      type(c_ptr), value :: kind
    end function nepal_active_set_kind

    subroutine nepal_active_set_free(active_set) bind(c)
      import
      type(c_ptr), value :: active_set
    end subroutine nepal_active_set_free

    function nepal_active_set_build( &
        model, structures, n_structures, options, active_set) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: structures
      integer(c_size_t), value :: n_structures
      type(c_ptr), value :: options
      type(c_ptr), value :: active_set
    end function nepal_active_set_build

    function nepal_active_set_save(active_set, path) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: active_set
      type(c_ptr), value :: path
    end function nepal_active_set_save

    function nepal_active_set_rank(active_set, type, rank) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: active_set
      integer(c_int32_t), value :: type
      type(c_ptr), value :: rank
    end function nepal_active_set_rank

    function nepal_active_set_report(active_set, buf, capacity, needed) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: active_set
      type(c_ptr), value :: buf
      integer(c_size_t), value :: capacity
      type(c_ptr), value :: needed
    end function nepal_active_set_report

    function nepal_active_set_grade( &
        active_set, type, projections, n_rows, gamma, rho, grade) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: active_set
      integer(c_int32_t), value :: type
      type(c_ptr), value :: projections
      integer(c_size_t), value :: n_rows
      type(c_ptr), value :: gamma
      type(c_ptr), value :: rho
      type(c_ptr), value :: grade
    end function nepal_active_set_grade

    function nepal_calculator_new(model, options, calculator) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: model
      type(c_ptr), value :: options
      type(c_ptr), value :: calculator
    end function nepal_calculator_new

    subroutine nepal_calculator_free(calculator) bind(c)
      import
      type(c_ptr), value :: calculator
    end subroutine nepal_calculator_free

    function nepal_calculator_backend(calculator, buf, capacity, needed) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: buf
      integer(c_size_t), value :: capacity
      type(c_ptr), value :: needed
    end function nepal_calculator_backend

    function nepal_calculator_set_active_set(calculator, active_set) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: active_set
    end function nepal_calculator_set_active_set

    function nepal_calculator_set_dftd3( &
        calculator, functional, cutoff, coordination_cutoff) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: functional
      real(c_double), value :: cutoff
      real(c_double), value :: coordination_cutoff
    end function nepal_calculator_set_dftd3

    function nepal_posterior_load(path, model, posterior) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: path
      type(c_ptr), value :: model
      type(c_ptr), value :: posterior
    end function nepal_posterior_load

    function nepal_posterior_parse(data, length, name, model, posterior) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: data
      integer(c_size_t), value :: length
      type(c_ptr), value :: name
      type(c_ptr), value :: model
      type(c_ptr), value :: posterior
    end function nepal_posterior_parse

    subroutine nepal_posterior_free(posterior) bind(c)
      import
      type(c_ptr), value :: posterior
    end subroutine nepal_posterior_free

    function nepal_calculator_set_posterior(calculator, posterior) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: posterior
    end function nepal_calculator_set_posterior

    function nepal_calculator_compute(calculator, structure, results) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      type(c_ptr), value :: results
    end function nepal_calculator_compute

    function nepal_calculator_compute_list(calculator, list, results) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      type(c_ptr), value :: results
    end function nepal_calculator_compute_list

    function nepal_calculator_contract( &
        calculator, structure, dphi_dq, forces, virial) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      type(c_ptr), value :: dphi_dq
      type(c_ptr), value :: forces
      type(c_ptr), value :: virial
    end function nepal_calculator_contract

    function nepal_calculator_contract_list( &
        calculator, list, dphi_dq, forces, virial) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      type(c_ptr), value :: dphi_dq
      type(c_ptr), value :: forces
      type(c_ptr), value :: virial
    end function nepal_calculator_contract_list

    function nepal_calculator_contract_with_energy_list( &
        calculator, list, dphi_dq, forces, virial) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      type(c_ptr), value :: dphi_dq
      type(c_ptr), value :: forces
      type(c_ptr), value :: virial
    end function nepal_calculator_contract_with_energy_list

    function nepal_calculator_contract_grade( &
        calculator, structure, measure, exponent, weights, values, forces, virial) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      integer(c_int32_t), value :: measure
      real(c_double), value :: exponent
      type(c_ptr), value :: weights
      type(c_ptr), value :: values
      type(c_ptr), value :: forces
      type(c_ptr), value :: virial
    end function nepal_calculator_contract_grade

    function nepal_calculator_contract_grade_list( &
        calculator, list, measure, exponent, weights, values, forces, virial) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      integer(c_int32_t), value :: measure
      real(c_double), value :: exponent
      type(c_ptr), value :: weights
      type(c_ptr), value :: values
      type(c_ptr), value :: forces
      type(c_ptr), value :: virial
    end function nepal_calculator_contract_grade_list

    function nepal_calculator_grade_gradient( &
        calculator, structure, measure, exponent, values, gradient) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      integer(c_int32_t), value :: measure
      real(c_double), value :: exponent
      type(c_ptr), value :: values
      type(c_ptr), value :: gradient
    end function nepal_calculator_grade_gradient

    function nepal_calculator_grade_gradient_list( &
        calculator, list, measure, exponent, values, gradient) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      integer(c_int32_t), value :: measure
      real(c_double), value :: exponent
      type(c_ptr), value :: values
      type(c_ptr), value :: gradient
    end function nepal_calculator_grade_gradient_list

    function nepal_calculator_contract_sigma( &
        calculator, structure, sigma, forces, virial) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      type(c_ptr), value :: sigma
      type(c_ptr), value :: forces
      type(c_ptr), value :: virial
    end function nepal_calculator_contract_sigma

    function nepal_calculator_sigma_count(calculator, count) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: count
    end function nepal_calculator_sigma_count

    function nepal_calculator_sigma_columns_list(calculator, list, columns) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      type(c_ptr), value :: columns
    end function nepal_calculator_sigma_columns_list

    function nepal_calculator_sigma_gradient_list( &
        calculator, list, columns, sigma, gradient) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      type(c_ptr), value :: columns
      type(c_ptr), value :: sigma
      type(c_ptr), value :: gradient
    end function nepal_calculator_sigma_gradient_list

    function nepal_calculator_learn( &
        calculator, structure, threshold, n_learned) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      real(c_double), value :: threshold
      type(c_ptr), value :: n_learned
    end function nepal_calculator_learn

    function nepal_calculator_learn_list( &
        calculator, list, threshold, n_learned) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: list
      real(c_double), value :: threshold
      type(c_ptr), value :: n_learned
    end function nepal_calculator_learn_list

    function nepal_calculator_set_grade_effort( &
        calculator, effort, threshold) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      integer(c_int32_t), value :: effort
      real(c_double), value :: threshold
    end function nepal_calculator_set_grade_effort

    function nepal_calculator_set_fragment_callback( &
        calculator, options, callback, user_data) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: options
      type(c_funptr), value :: callback
      type(c_ptr), value :: user_data
    end function nepal_calculator_set_fragment_callback

    function nepal_calculator_fragment_counts( &
        calculator, delivered, covered, refused) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: delivered
      type(c_ptr), value :: covered
      type(c_ptr), value :: refused
    end function nepal_calculator_fragment_counts

    function nepal_calculator_fragment_refusal( &
        calculator, buf, capacity, needed) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: buf
      integer(c_size_t), value :: capacity
      type(c_ptr), value :: needed
    end function nepal_calculator_fragment_refusal

    function nepal_calculator_fragment_around( &
        calculator, structure, target, options, callback, user_data) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: structure
      integer(c_size_t), value :: target
      type(c_ptr), value :: options
      type(c_funptr), value :: callback
      type(c_ptr), value :: user_data
    end function nepal_calculator_fragment_around

    function nepal_calculator_set_fragment_file(calculator, options, path) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: options
      type(c_ptr), value :: path
    end function nepal_calculator_set_fragment_file

    function nepal_calculator_set_ranks(calculator, ranks) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: ranks
    end function nepal_calculator_set_ranks

    function nepal_device_count(count) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: count
    end function nepal_device_count

    function nepal_calculator_compute_device(calculator, atoms, results) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
      type(c_ptr), value :: atoms
      type(c_ptr), value :: results
    end function nepal_calculator_compute_device

    function nepal_calculator_finish_device(calculator) bind(c) result(status)
      import
      integer(c_int32_t) :: status
      type(c_ptr), value :: calculator
    end function nepal_calculator_finish_device

  end interface
end module nepal_c
