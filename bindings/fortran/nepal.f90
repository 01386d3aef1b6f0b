! SPDX-License-Identifier: MIT OR Apache-2.0
!
! nepal for Fortran: neuroevolution potentials with extrapolation grades.
!
! Units are Å, eV and eV/Å. Arrays have the atom last: positions and forces (3, n_atoms), a cell with
! one lattice vector a column (3, 3), per-atom virials (3, 3, n_atoms). It is the memory of the C
! interface, so that nothing is transposed or copied: element (b, a) of a virial here is its
! component a b. Types are what nepal_model%type_of gives, from 0; atoms count from 1.
!
! Each procedure that can fail takes stat and errmsg: 0, or a NEPAL_STATUS_... number and a text.
! Without stat a failure ends the program with that text. Objects free what they hold when they go
! out of scope, and are handed over by reference, never copied.
module nepal
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real64
  use nepal_c
  use nepal_objects
  use nepal_support
  use nepal_fragments
  implicit none
  private
  public :: nepal_model, nepal_structure, nepal_active_set, nepal_posterior
  public :: nepal_fragment, nepal_fragment_options, nepal_fragment_sink
  public :: NEPAL_GRADE_COMPAT, NEPAL_GRADE_RIDGE
  public :: NEPAL_PRECISION_F64, NEPAL_PRECISION_MIXED
  public :: NEPAL_MEASURE_GAMMA, NEPAL_MEASURE_RHO, NEPAL_MEASURE_TOTAL, NEPAL_MEASURE_SMOOTH
  public :: NEPAL_BACKEND_DEFAULT, NEPAL_BACKEND_REFERENCE, NEPAL_BACKEND_CPU, NEPAL_BACKEND_CUDA
  public :: NEPAL_STATUS_SUCCESS, NEPAL_STATUS_INVALID_ARGUMENT, NEPAL_STATUS_IO
  public :: NEPAL_STATUS_PARSE, NEPAL_STATUS_UNSUPPORTED, NEPAL_STATUS_BACKEND, NEPAL_STATUS_FAILED

  ! Results; what was not asked for is not allocated. Arrays that fit are used again.
  type, public :: nepal_results
    real(real64) :: energy = 0.0_real64
    real(real64), allocatable :: energies(:)        ! (n_local)
    real(real64), allocatable :: forces(:, :)       ! (3, n_atoms), ghosts included
    real(real64), allocatable :: virial(:, :)       ! (3, 3), -dE/d(strain), positive in compression
    real(real64), allocatable :: virials(:, :, :)   ! (3, 3, n_atoms)
    real(real64), allocatable :: descriptors(:, :)  ! (dim, n_local), as the network sees them
    real(real64), allocatable :: projections(:, :)  ! (projection length, n_local)
    real(real64), allocatable :: gamma(:), rho(:), grade(:)  ! (n_local)
    ! Of models that have them.
    real(real64), allocatable :: charges(:)             ! (n_local)
    real(real64), allocatable :: born_charges(:, :, :)  ! (3, 3, n_local), last the direction of the
                                                        ! polarization
    real(real64), allocatable :: dipole(:)              ! (3)
    real(real64), allocatable :: polarizability(:, :)   ! (3, 3)
    real(real64), allocatable :: sigma(:), sigma_energies(:) ! (n_local), with a posterior
  end type nepal_results

  ! A model on a backend. One thread at a time.
  type, public :: nepal_calculator
    type(c_ptr), private :: handle = c_null_ptr
    integer(c_size_t), private :: dim = 0, projection_length = 0
    logical, private :: deviates = .false.
    type(sink_place), pointer, private :: place => null()
  contains
    procedure :: create => calculator_create
    procedure :: backend => calculator_backend
    procedure :: set_active_set => calculator_set_active_set
    procedure :: set_posterior => calculator_set_posterior
    procedure, private :: compute_arrays, compute_structure
    generic :: compute => compute_arrays, compute_structure
    procedure :: compute_list => calculator_compute_list
    procedure :: compute_tensors => calculator_compute_tensors
    procedure :: contract => calculator_contract
    procedure :: grade_gradient => calculator_grade_gradient
    procedure :: fragment_around => calculator_fragment_around
    procedure :: watch => calculator_watch
    procedure :: watch_file => calculator_watch_file
    procedure :: unwatch => calculator_unwatch
    procedure :: fragment_counts => calculator_fragment_counts
    procedure, private :: calculator_copy
    generic :: assignment(=) => calculator_copy
    final :: calculator_free
  end type nepal_calculator

contains

  ! backend is a NEPAL_BACKEND_..., precision a NEPAL_PRECISION_..., device the number of a GPU; of 0
  ! threads there is one for each core. The model may go away afterwards.
  subroutine calculator_create(self, model, backend, threads, device, precision, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_model), intent(in) :: model
    integer(int32), intent(in), optional :: backend, precision
    integer, intent(in), optional :: threads, device
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_calculator_options_t), target :: options
    type(c_ptr), target :: handle
    integer(c_int32_t) :: status

    if (nepal_abi_version() /= NEPAL_HEADER_ABI_VERSION) then
      call fail(NEPAL_STATUS_UNSUPPORTED, "the nepal library has another ABI version than the &
        &Fortran modules; compile the modules that came with the library", stat, errmsg)
      return
    end if
    options%struct_size = c_sizeof(options)
    if (present(backend)) options%backend = backend
    if (present(threads)) options%threads = int(threads, c_int32_t)
    if (present(device)) options%device = int(device, c_int32_t)
    if (present(precision)) options%precision = precision
    status = nepal_calculator_new(model%c_handle(), c_loc(options), c_loc(handle))
    if (status == NEPAL_STATUS_SUCCESS) then
      call release(self)
      self%handle = handle
      self%deviates = .false.
      self%dim = model%dim()
      self%projection_length = model%projection_length()
    end if
    call finish(status, stat, errmsg)
  end subroutine calculator_create

  ! "reference", "cpu" or "cuda".
  function calculator_backend(self) result(name)
    class(nepal_calculator), intent(in) :: self
    character(len=:), allocatable :: name
    character(kind=c_char), target :: bytes(32)
    integer(c_size_t), target :: needed

    call finish(nepal_calculator_backend(self%handle, c_loc(bytes), size(bytes, kind=c_size_t), &
      c_loc(needed)))
    name = from_c(bytes)
  end function calculator_backend

  ! Without a set: takes it away.
  subroutine calculator_set_active_set(self, set, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_active_set), intent(in), optional :: set
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_ptr) :: handle

    handle = c_null_ptr
    if (present(set)) handle = set%c_handle()
    call finish(nepal_calculator_set_active_set(self%handle, handle), stat, errmsg)
  end subroutine calculator_set_active_set

  ! With it compute fills sigma and sigma_energies. Without a posterior: takes it away.
  subroutine calculator_set_posterior(self, posterior, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_posterior), intent(in), optional :: posterior
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(c_ptr) :: handle
    integer(c_int32_t) :: status

    handle = c_null_ptr
    if (present(posterior)) handle = posterior%c_handle()
    status = nepal_calculator_set_posterior(self%handle, handle)
    if (status == NEPAL_STATUS_SUCCESS) self%deviates = c_associated(handle)
    call finish(status, stat, errmsg)
  end subroutine calculator_set_posterior

  ! Atoms in a cell; nepal builds the neighbour list. The flags say what is computed besides the
  ! energy; forces are, unless they are refused.
  subroutine compute_arrays(self, positions, types, cell, periodic, results, energies, forces, &
      virial, virials, descriptors, projections, grades, step, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    real(real64), intent(in), target, contiguous :: positions(:, :)
    integer(int32), intent(in), target, contiguous :: types(:)
    real(real64), intent(in), target :: cell(3, 3)
    logical, intent(in) :: periodic(3)
    type(nepal_results), intent(inout), target :: results
    logical, intent(in), optional :: energies, forces, virial, virials, descriptors, projections
    logical, intent(in), optional :: grades
    integer(int64), intent(in), optional :: step
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_structure_t), target :: view
    type(nepal_results_t), target :: places
    integer(int64), allocatable, target :: tags(:)
    integer(int64) :: i, when

    if (size(positions, 1) /= 3 .or. size(positions, 2) /= size(types)) then
      call fail(NEPAL_STATUS_INVALID_ARGUMENT, &
        "positions and types do not fit; expected the shapes (3, n_atoms) and (n_atoms)", &
        stat, errmsg)
      return
    end if
    when = 0
    if (present(step)) when = step
    view = sized_structure(positions, types, cell, periodic, when)
    allocate (tags(size(types)))
    tags = [(i, i=1, size(types, kind=int64))]
    view%tags = c_loc(tags)
    places = room(self, results, size(types), size(types), energies, forces, virial, virials, &
      descriptors, projections, grades)
    call finish(nepal_calculator_compute(self%handle, c_loc(view), c_loc(places)), stat, errmsg)
  end subroutine compute_arrays

  subroutine compute_structure(self, structure, results, energies, forces, virial, virials, &
      descriptors, projections, grades, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_structure), intent(in) :: structure
    type(nepal_results), intent(inout), target :: results
    logical, intent(in), optional :: energies, forces, virial, virials, descriptors, projections
    logical, intent(in), optional :: grades
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg

    call self%compute(structure%positions, structure%types, structure%cell, structure%periodic, &
      results, energies, forces, virial, virials, descriptors, projections, grades, &
      structure%step, stat, errmsg)
  end subroutine compute_structure

  ! What models with charges and models of a dipole or a polarizability have, and energy and forces at
  ! a temperature of the electrons (K) or a total charge. The flags say what is computed; those of a
  ! dipole or a polarizability have no energy.
  subroutine calculator_compute_tensors(self, structure, results, forces, charges, born_charges, &
      dipole, polarizability, temperature, charge, mesh_error, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_structure), intent(in), target :: structure
    type(nepal_results), intent(inout), target :: results
    logical, intent(in), optional :: forces, charges, born_charges, dipole, polarizability
    real(real64), intent(in), optional :: temperature, charge, mesh_error
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_structure_t), target :: view
    type(nepal_results_t), target :: places
    integer :: n

    n = size(structure%types)
    view = sized_structure(structure%positions, structure%types, structure%cell, &
      structure%periodic, structure%step)
    places = room(self, results, n, n, forces=wanted(forces))
    if (wanted(dipole) .or. wanted(polarizability)) places%energy = c_null_ptr
    call room_1(results%charges, n, wanted(charges), places%charges)
    call room_3(results%born_charges, n, wanted(born_charges), places%born_charges)
    call room_1(results%dipole, 3, wanted(dipole), places%dipole)
    call room_2(results%polarizability, 3, 3, wanted(polarizability), places%polarizability)
    if (present(temperature)) then
      places%flags = NEPAL_RESULTS_TEMPERATURE
      places%temperature = temperature
    end if
    if (present(charge)) places%charge = charge
    if (present(mesh_error)) places%mesh_error = mesh_error
    call finish(nepal_calculator_compute(self%handle, c_loc(view), c_loc(places)), stat, errmsg)
  end subroutine calculator_compute_tensors

  ! Local atoms first, ghosts behind, and the host's own full neighbour list: counts(i) neighbours of
  ! atom i, one atom after the other in neighbors, counted from 1.
  subroutine calculator_compute_list(self, positions, types, counts, neighbors, results, energies, &
      forces, virial, virials, descriptors, projections, grades, tags, step, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    real(real64), intent(in), target, contiguous :: positions(:, :)
    integer(int32), intent(in), target, contiguous :: types(:), counts(:)
    integer(int32), intent(in) :: neighbors(:)
    type(nepal_results), intent(inout), target :: results
    logical, intent(in), optional :: energies, forces, virial, virials, descriptors, projections
    logical, intent(in), optional :: grades
    integer(int64), intent(in), optional, target, contiguous :: tags(:)
    integer(int64), intent(in), optional :: step
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_host_list_t), target :: list
    type(nepal_results_t), target :: places
    integer(int32), allocatable, target :: from_zero(:)

    if (size(positions, 2) /= size(types) .or. sum(counts) /= size(neighbors)) then
      call fail(NEPAL_STATUS_INVALID_ARGUMENT, "positions, types, counts and neighbors do not fit; &
        &expected (3, n_total), (n_total), (n_local) and the sum of counts", stat, errmsg)
      return
    end if
    allocate (from_zero(size(neighbors)))
    from_zero = neighbors - 1_int32
    list%struct_size = c_sizeof(list)
    list%n_local = size(counts, kind=c_size_t)
    list%n_total = size(types, kind=c_size_t)
    list%positions = c_loc(positions)
    list%types = c_loc(types)
    list%counts = c_loc(counts)
    list%neighbors = c_loc(from_zero)
    if (present(tags)) list%tags = c_loc(tags)
    if (present(step)) list%step = step
    places = room(self, results, size(counts), size(types), energies, forces, virial, virials, &
      descriptors, projections, grades)
    call finish(nepal_calculator_compute_list(self%handle, c_loc(list), c_loc(places)), stat, errmsg)
  end subroutine calculator_compute_list

  ! Allocates what is wanted, and tells C where it is.
  function room(self, results, n_local, n_total, energies, forces, virial, virials, descriptors, &
      projections, grades) result(places)
    class(nepal_calculator), intent(in) :: self
    type(nepal_results), intent(inout), target :: results
    integer, intent(in) :: n_local, n_total
    logical, intent(in), optional :: energies, forces, virial, virials, descriptors, projections
    logical, intent(in), optional :: grades
    type(nepal_results_t) :: places

    places%struct_size = c_sizeof(places)
    places%energy = c_loc(results%energy)
    call room_1(results%energies, n_local, wanted(energies), places%energies)
    call room_2(results%forces, 3, n_total, wanted(forces, .true.), places%forces)
    call room_2(results%virial, 3, 3, wanted(virial), places%virial)
    call room_3(results%virials, n_total, wanted(virials), places%virials)
    call room_2(results%descriptors, int(self%dim), n_local, wanted(descriptors), places%descriptors)
    call room_2(results%projections, int(self%projection_length), n_local, wanted(projections), &
      places%projections)
    call room_1(results%gamma, n_local, wanted(grades), places%gamma)
    call room_1(results%rho, n_local, wanted(grades), places%rho)
    call room_1(results%grade, n_local, wanted(grades), places%grade)
    call room_1(results%sigma, n_local, self%deviates, places%sigma)
    call room_1(results%sigma_energies, n_local, self%deviates, places%sigma_energies)
  end function room

  ! Forces (3, n_atoms) and virial of a scalar of the descriptors from its gradient (dim, n_atoms).
  subroutine calculator_contract(self, structure, gradient, forces, virial, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_structure), intent(in), target :: structure
    real(real64), intent(in), target, contiguous :: gradient(:, :)
    real(real64), intent(out), target :: forces(3, size(structure%types)), virial(3, 3)
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_structure_t), target :: view

    if (any(shape(gradient, kind=c_size_t) /= [self%dim, size(structure%types, kind=c_size_t)])) then
      call fail(NEPAL_STATUS_INVALID_ARGUMENT, &
        "the gradient does not fit; expected the shape (dim, n_atoms)", stat, errmsg)
      return
    end if
    view = sized_structure(structure%positions, structure%types, structure%cell, &
      structure%periodic, structure%step)
    call finish(nepal_calculator_contract(self%handle, c_loc(view), c_loc(gradient), &
      c_loc(forces), c_loc(virial)), stat, errmsg)
  end subroutine calculator_contract

  ! A NEPAL_MEASURE_... of each atom's grade, and its gradient by the atom's descriptors (dim, n_atoms),
  ! ready for contract once multiplied by the derivative of a potential.
  subroutine calculator_grade_gradient(self, structure, measure, exponent, values, gradient, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_structure), intent(in), target :: structure
    integer(int32), intent(in) :: measure
    real(real64), intent(in) :: exponent
    real(real64), intent(out), target :: values(size(structure%types))
    real(real64), intent(out), target :: gradient(self%dim, size(structure%types))
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_structure_t), target :: view

    view = sized_structure(structure%positions, structure%types, structure%cell, &
      structure%periodic, structure%step)
    call finish(nepal_calculator_grade_gradient(self%handle, c_loc(view), measure, exponent, &
      c_loc(values), c_loc(gradient)), stat, errmsg)
  end subroutine calculator_grade_gradient

  ! A fragment around one atom, counted from 1. NEPAL_STATUS_FAILED with the reason if there is none.
  subroutine calculator_fragment_around(self, structure, target, fragment, options, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_structure), intent(in) :: structure
    integer, intent(in) :: target
    type(nepal_fragment), intent(inout) :: fragment
    type(nepal_fragment_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    call around(self, structure, target, fragment, options, stat, errmsg)
  end subroutine calculator_fragment_around

  ! `target` is a name above and an attribute here.
  subroutine around(self, structure, index, fragment, options, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_structure), intent(in), target :: structure
    integer, intent(in) :: index
    type(nepal_fragment), intent(inout), target :: fragment
    type(nepal_fragment_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_fragment_options_t), target :: given
    type(nepal_structure_t), target :: view
    integer(int64), allocatable, target :: tags(:)
    integer(int64) :: i

    if (index < 1 .or. index > size(structure%types)) then
      call fail(NEPAL_STATUS_INVALID_ARGUMENT, &
        "the target does not exist; atoms count from 1 to their number", stat, errmsg)
      return
    end if
    given = sized_fragment_options(nepal_fragment_options())
    if (present(options)) given = sized_fragment_options(options)
    view = sized_structure(structure%positions, structure%types, structure%cell, &
      structure%periodic, structure%step)
    allocate (tags(size(structure%types)))
    tags = [(i, i=1, size(structure%types, kind=int64))]
    view%tags = c_loc(tags)
    call finish(nepal_calculator_fragment_around(self%handle, c_loc(view), &
      int(index - 1, c_size_t), c_loc(given), c_funloc(keep), c_loc(fragment)), stat, errmsg)
  end subroutine around

  ! Hands each environment above options%save to the sink while compute calls with grades run. The
  ! sink must live as long as it is set.
  subroutine calculator_watch(self, sink, options, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    class(nepal_fragment_sink), intent(inout), target :: sink
    type(nepal_fragment_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_fragment_options_t), target :: given
    type(sink_place), pointer :: place
    integer(c_int32_t) :: status

    given = sized_fragment_options(nepal_fragment_options())
    if (present(options)) given = sized_fragment_options(options)
    allocate (place)
    place%sink => sink
    status = nepal_calculator_set_fragment_callback(self%handle, c_loc(given), c_funloc(receive), &
      c_loc(place))
    if (status == NEPAL_STATUS_SUCCESS) then
      if (associated(self%place)) deallocate (self%place)
      self%place => place
    else
      deallocate (place)
    end if
    call finish(status, stat, errmsg)
  end subroutine calculator_watch

  ! Appends fragments to an extended XYZ file instead.
  subroutine calculator_watch_file(self, path, options, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    character(len=*), intent(in) :: path
    type(nepal_fragment_options), intent(in), optional :: options
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_fragment_options_t), target :: given
    character(kind=c_char), target :: name(len_trim(path) + 1)

    given = sized_fragment_options(nepal_fragment_options())
    if (present(options)) given = sized_fragment_options(options)
    name = to_c(path)
    call finish(nepal_calculator_set_fragment_file(self%handle, c_loc(given), c_loc(name)), &
      stat, errmsg)
  end subroutine calculator_watch_file

  subroutine calculator_unwatch(self)
    class(nepal_calculator), intent(inout) :: self
    call finish(nepal_calculator_set_fragment_callback(self%handle, c_null_ptr, c_null_funptr, &
      c_null_ptr))
    if (associated(self%place)) deallocate (self%place)
  end subroutine calculator_unwatch

  ! What became of the selected atoms since the sink was set.
  subroutine calculator_fragment_counts(self, delivered, covered, refused, stat, errmsg)
    class(nepal_calculator), intent(inout) :: self
    integer, intent(out) :: delivered, covered, refused
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(c_size_t), target :: n(3)

    n = 0
    call finish(nepal_calculator_fragment_counts(self%handle, c_loc(n(1)), c_loc(n(2)), &
      c_loc(n(3))), stat, errmsg)
    delivered = int(n(1))
    covered = int(n(2))
    refused = int(n(3))
  end subroutine calculator_fragment_counts

  subroutine calculator_copy(to, from)
    class(nepal_calculator), intent(inout) :: to
    class(nepal_calculator), intent(in) :: from
    if (c_associated(to%handle) .or. c_associated(from%handle)) call refuse_copy("nepal_calculator")
  end subroutine calculator_copy

  subroutine release(self)
    class(nepal_calculator), intent(inout) :: self
    call nepal_calculator_free(self%handle)
    self%handle = c_null_ptr
    if (associated(self%place)) deallocate (self%place)
  end subroutine release

  subroutine calculator_free(self)
    type(nepal_calculator), intent(inout) :: self
    call release(self)
  end subroutine calculator_free

end module nepal
