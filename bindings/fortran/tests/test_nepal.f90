! What the Fortran modules do: run with the folder of the examples' data and a folder to write to.
module sinks
  use nepal
  use, intrinsic :: iso_fortran_env, only: int64
  implicit none

  ! Counts fragments, and ends the call after some.
  type, extends(nepal_fragment_sink) :: counter
    integer :: seen = 0, last = 1000
    integer(int64) :: step = -1
    type(nepal_fragment) :: first
  contains
    procedure :: take => counter_take
  end type counter

contains

  subroutine counter_take(self, fragment, go_on)
    class(counter), intent(inout) :: self
    type(nepal_fragment), intent(in) :: fragment
    logical, intent(inout) :: go_on
    self%seen = self%seen + 1
    self%step = fragment%step
    if (self%seen == 1) self%first = fragment
    go_on = self%seen < self%last
  end subroutine counter_take

end module sinks

program test_nepal
  use nepal
  use nepal_c
  use sinks
  use, intrinsic :: iso_fortran_env, only: error_unit, int32, int64, real64
  implicit none
  integer, parameter :: dp = real64
  character(len=400) :: data, folder, text
  integer :: failures = 0, checks = 0
  integer :: cells = 2  ! of the training structures along each axis

  call get_command_argument(1, data)
  call get_command_argument(2, folder)
  ! A third argument: as little work as possible, for slow machines such as valgrind's.
  if (command_argument_count() > 2) cells = 1
  call sizes()
  call models()
  call evaluation()
  call host_lists()
  call active_sets()
  call fragments()
  if (failures > 0) error stop "some checks failed"
  print '(i0,a)', checks, " checks passed"

contains

  subroutine check(ok, what)
    logical, intent(in) :: ok
    character(len=*), intent(in) :: what
    checks = checks + 1
    if (ok) return
    failures = failures + 1
    write (error_unit, '(2a)') "failed: ", what
  end subroutine check

  ! The structs are as large as C has them; tests/abi/layout.c pins the same numbers.
  subroutine sizes()
    type(nepal_structure_t) :: structure
    type(nepal_active_set_options_t) :: set
    type(nepal_calculator_options_t) :: calculator
    type(nepal_results_t) :: results
    type(nepal_host_list_t) :: list
    type(nepal_fragment_options_t) :: options
    type(nepal_fragment_t) :: fragment
    print '(a,7(1x,i0))', "sizes", c_sizeof(structure), c_sizeof(set), c_sizeof(calculator), &
      c_sizeof(results), c_sizeof(list), c_sizeof(options), c_sizeof(fragment)
  end subroutine sizes

  ! Diamond, each atom a little off its place, atom 5 far.
  subroutine diamond(n, structure, model)
    integer, intent(in) :: n
    type(nepal_structure), intent(out) :: structure
    type(nepal_model), intent(in) :: model
    real(dp), parameter :: basis(3, 0:7) = 0.25_dp * reshape([ &
      0, 0, 0, 0, 2, 2, 2, 0, 2, 2, 2, 0, 1, 1, 1, 1, 3, 3, 3, 1, 3, 3, 3, 1], [3, 8])
    integer :: i, d, c, shift(3)
    allocate (structure%positions(3, 8 * n**3), structure%types(8 * n**3))
    structure%types = model%type_of("Si")
    do i = 0, 8 * n**3 - 1
      c = i / 8
      shift = [c / n**2, mod(c / n, n), mod(c, n)]
      do d = 1, 3
        structure%positions(d, i + 1) = 5.431_dp * (shift(d) + basis(d, mod(i, 8))) &
          + 0.04_dp * sin(1.7_dp * i + 2.1_dp * d)
      end do
    end do
    structure%positions(:, 5) = structure%positions(:, 5) + [0.9_dp, 0.4_dp, 0.0_dp]
    do d = 1, 3
      structure%cell(d, d) = 5.431_dp * n
    end do
  end subroutine diamond

  subroutine models()
    type(nepal_model) :: model
    integer :: stat
    integer(int32) :: silicon
    text = "untouched"
    call model%load(trim(data) // "/nep.txt", stat, text)
    call check(stat == 0 .and. text == "untouched", "success leaves errmsg alone")
    call check(model%cutoff() > 4.9_dp .and. model%cutoff() < 5.1_dp, "the cutoff")
    call check(model%n_types() == 1 .and. model%element(0_int32) == "Si", "the elements")
    call check(model%projection_length() == 50 * (model%dim() + 2), "the length of B")
    silicon = model%type_of("C", stat, text)
    call check(stat == NEPAL_STATUS_INVALID_ARGUMENT .and. index(text, "Si") > 0, "another element")
    call check(silicon == -1, "no type for another element")
    call model%save(trim(folder) // "/copy.txt")
    call model%load(trim(folder) // "/copy.txt", stat, text)
    call check(stat == 0, "a model is read back: " // trim(text))
    call model%load(trim(folder) // "/missing.txt", stat, text)
    call check(stat == NEPAL_STATUS_IO .and. index(text, "missing.txt") > 0, "a missing file")
    call check(model%n_types() == 1, "a failed load leaves the model as it was")
  end subroutine models

  subroutine evaluation()
    type(nepal_model) :: model
    type(nepal_calculator) :: calculator, mixed
    type(nepal_structure) :: s, moved
    type(nepal_results) :: r, up, down
    real(dp), parameter :: h = 1e-4_dp
    real(dp), allocatable :: gradient(:, :), forces(:, :)
    real(dp) :: numeric, virial(3, 3)
    integer :: stat, d
    call model%load(trim(data) // "/nep.txt")
    call calculator%create(model, NEPAL_BACKEND_REFERENCE)
    call check(calculator%backend() == "reference", "the backend")
    call mixed%create(model, precision=NEPAL_PRECISION_MIXED)
    call diamond(1, s, model)
    call calculator%compute(s, r, energies=.true., virial=.true., virials=.true., &
      descriptors=.true., projections=.true.)
    call check(abs(sum(r%energies) - r%energy) < 1e-9_dp, "energies add up")
    call mixed%compute(s, up)
    call check(abs(up%energy - r%energy) < 1e-4_dp, "mixed precision")
    call check(maxval(abs(sum(r%virials, dim=3) - r%virial)) < 1e-9_dp, "virials add up")
    call check(maxval(abs(sum(r%forces, dim=2))) < 1e-9_dp, "forces add up to nothing")
    call check(all(shape(r%descriptors) == [55, 8]), "descriptors (dim, n)")
    call check(all(shape(r%projections) == [2850, 8]), "projections (length, n)")
    call check(.not. allocated(r%grade), "no grades unless asked for")
    moved = s
    do d = 1, 3
      moved%positions(d, 5) = s%positions(d, 5) + h
      call calculator%compute(moved, up)
      moved%positions(d, 5) = s%positions(d, 5) - h
      call calculator%compute(moved, down)
      moved%positions(d, 5) = s%positions(d, 5)
      numeric = -(up%energy - down%energy) / (2 * h)
      call check(abs(numeric - r%forces(d, 5)) < 1e-4_dp, "a force is the derivative")
    end do
    ! A shear that moves x by y: element (y, x) of the virial here is its component x y.
    moved%positions(1, :) = s%positions(1, :) + h * s%positions(2, :)
    moved%cell(1, :) = s%cell(1, :) + h * s%cell(2, :)
    call calculator%compute(moved, up)
    moved%positions(1, :) = s%positions(1, :) - h * s%positions(2, :)
    moved%cell(1, :) = s%cell(1, :) - h * s%cell(2, :)
    call calculator%compute(moved, down)
    numeric = -(up%energy - down%energy) / (2 * h)
    call check(abs(numeric - r%virial(2, 1)) < 1e-3_dp, "the virial is the derivative by strain")
    ! The gradient of the sum of all energies: contract gives the forces if dE/dq is handed in. Here
    ! a scalar whose gradient is known: the sum of all descriptors.
    allocate (gradient(55, 8), forces(3, 8))
    gradient = 1.0_dp
    call calculator%contract(s, gradient, forces, virial)
    moved = s
    moved%positions(1, 5) = s%positions(1, 5) + h
    call calculator%compute(moved, up, descriptors=.true., forces=.false.)
    call check(.not. allocated(up%forces), "forces can be refused")
    moved%positions(1, 5) = s%positions(1, 5) - h
    call calculator%compute(moved, down, descriptors=.true.)
    numeric = -(sum(up%descriptors) - sum(down%descriptors)) / (2 * h)
    call check(abs(numeric - forces(1, 5)) < 1e-4_dp * max(1.0_dp, abs(numeric)), "a contraction")
    ! Errors come with a text and change nothing.
    call calculator%compute(s, r, grades=.true., stat=stat, errmsg=text)
    call check(stat == NEPAL_STATUS_INVALID_ARGUMENT .and. index(text, "active set") > 0, &
      "grades without a set")
    s%types(3) = 7
    call calculator%compute(s, r, stat=stat, errmsg=text)
    call check(stat /= 0 .and. index(text, "atom 3 has type 7") > 0, "a wrong type: " // trim(text))
    call calculator%compute(s%positions, s%types(1:7), s%cell, s%periodic, r, stat=stat, errmsg=text)
    call check(stat /= 0 .and. index(text, "do not fit") > 0, "shapes that do not fit")
    deallocate (s%positions, s%types)
    allocate (s%positions(3, 0), s%types(0))
    call calculator%compute(s, r)
    call check(abs(r%energy) < tiny(1.0_dp) .and. size(r%forces, 2) == 0, "no atoms")
  end subroutine evaluation

  ! Three atoms in a row without a cell: the same by a list of the host's.
  subroutine host_lists()
    type(nepal_model) :: model
    type(nepal_calculator) :: calculator
    type(nepal_results) :: a, b
    real(dp) :: x(3, 3)
    integer(int32) :: types(3), counts(3), neighbors(4)
    integer :: stat
    call model%load(trim(data) // "/nep.txt")
    call calculator%create(model)
    x = reshape([0.0_dp, 0.0_dp, 0.0_dp, 2.4_dp, 0.1_dp, 0.0_dp, 6.4_dp, 0.0_dp, 0.3_dp], [3, 3])
    types = model%type_of("Si")
    call calculator%compute(x, types, 0.0_dp * x, [.false., .false., .false.], a)
    counts = [1, 2, 1]
    neighbors = [2, 1, 3, 2]
    call calculator%compute_list(x, types, counts, neighbors, b)
    call check(abs(a%energy - b%energy) < 1e-10_dp, "the energy with a list of the host's")
    call check(maxval(abs(a%forces - b%forces)) < 1e-10_dp, "the forces with a list of the host's")
    ! Two locals and a ghost: forces come back on all three, energies on two.
    call calculator%compute_list(x, types, counts(1:2), neighbors(1:3), b, energies=.true.)
    call check(size(b%energies) == 2 .and. size(b%forces, 2) == 3, "locals and ghosts")
    neighbors(1) = 9
    call calculator%compute_list(x, types, counts, neighbors, b, stat=stat, errmsg=text)
    call check(stat == NEPAL_STATUS_INVALID_ARGUMENT, "a neighbour that does not exist")
  end subroutine host_lists

  subroutine active_sets()
    type(nepal_model) :: model
    type(nepal_active_set) :: set, again
    type(nepal_calculator) :: calculator
    type(nepal_structure) :: frames(3)
    type(nepal_results) :: r
    integer :: i, stat
    call model%load(trim(data) // "/nep.txt")
    do i = 1, 3
      call diamond(cells, frames(i), model)
      frames(i)%positions = frames(i)%positions * (1.0_dp + 0.01_dp * i)
      frames(i)%cell = frames(i)%cell * (1.0_dp + 0.01_dp * i)
    end do
    call set%build(model, frames, resolution=60.0_dp)
    call check(set%kind() == NEPAL_GRADE_RIDGE, "the kind")
    write (text, '(a,i0,a)') "Si: ", 24 * cells**3, " environments, "
    call check(index(set%report(), trim(text)) == 1, "the report: " // set%report())
    call check(set%rank(0_int32) > 1, "the rank")
    call set%save(trim(folder) // "/set.nas")
    call again%load(trim(folder) // "/set.nas", model)
    call check(again%rank(0_int32) == set%rank(0_int32) .and. again%report() == "", "read back")
    call calculator%create(model)
    call calculator%set_active_set(again)
    call calculator%compute(frames(2), r, grades=.true.)
    call check(maxval(r%gamma) <= 1.0101_dp, "what a set was built from is inside it")
    call calculator%set_active_set()
    call calculator%compute(frames(2), r, grades=.true., stat=stat)
    call check(stat /= 0, "a set can be taken away")
    call set%build(model, frames, kind=NEPAL_GRADE_COMPAT, stat=stat, errmsg=text)
    call check(stat /= 0 .and. index(text, "2850 environments") > 0, "too few for the public form")
  end subroutine active_sets

  subroutine fragments()
    type(nepal_model) :: model
    type(nepal_active_set) :: set
    type(nepal_calculator) :: calculator
    type(nepal_structure) :: s
    type(nepal_results) :: r
    type(nepal_fragment) :: fragment
    type(nepal_fragment_options) :: options
    type(counter) :: sink, impatient
    real(dp), allocatable :: values(:), gradient(:, :)
    integer :: stat, delivered, covered, refused
    logical :: there
    call model%load(trim(data) // "/nep.txt")
    call set%load(trim(data) // "/active_set.nas", model)
    call calculator%create(model)
    call calculator%set_active_set(set)
    call diamond(3, s, model)
    s%step = 17
    options%max_atoms = 120
    options%save = 10.0_dp
    call calculator%fragment_around(s, 5, fragment, options)
    call check(size(fragment%types) <= 120 .and. .not. fragment%whole, "the size of a fragment")
    call check(fragment%target_tag == 5, "the target's number in the parent")
    call check(fragment%tags(fragment%target) == 5, "the target's number in the fragment")
    call check(fragment%core(fragment%target), "the target is frozen")
    call check(abs(fragment%mask(fragment%target) - 1.0_dp) < 1e-15_dp, "the target counts fully")
    call check(fragment%grade > 2.0_dp .and. len(fragment%summary) > 20, "grade and summary")
    call check(.not. allocated(fragment%grades), "no grades unless optimised")
    allocate (values(size(s%types)), gradient(model%dim(), size(s%types)))
    call calculator%grade_gradient(s, NEPAL_MEASURE_TOTAL, 0.0_dp, values, gradient)
    call check(abs(values(5) - fragment%grade) < 1e-9_dp * fragment%grade, "a measured grade")
    options%max_atoms = 20
    call calculator%fragment_around(s, 5, fragment, options, stat, text)
    call check(stat == NEPAL_STATUS_FAILED .and. index(text, "no fragment can be made") > 0, "refusal")
    call calculator%fragment_around(s, 0, fragment, stat=stat, errmsg=text)
    call check(stat == NEPAL_STATUS_INVALID_ARGUMENT, "no atom 0")

    options%max_atoms = 120
    call calculator%watch(sink, options)
    call calculator%compute(s, r, grades=.true.)
    call check(sink%seen >= 1 .and. sink%step == 17, "fragments during a computation")
    call check(r%grade(5) > 10.0_dp, "grades are those before the fragment was learned")
    call calculator%fragment_counts(delivered, covered, refused)
    call check(delivered == sink%seen .and. covered >= 0 .and. refused == 0, "counts")
    call calculator%compute(s, r, grades=.true.)
    call check(delivered == sink%seen .and. maxval(r%grade) <= 10.0_dp, "each comes once")
    call check(all(sink%first%tags(sink%first%target) == [sink%first%target_tag]), "a kept fragment")

    call calculator%set_active_set(set)
    impatient%last = 1
    call calculator%watch(impatient, options)
    call calculator%compute(s, r, grades=.true., stat=stat, errmsg=text)
    call check(stat == -1 .and. impatient%seen == 1, "a sink ends the call")
    call calculator%unwatch()
    call calculator%compute(s, r, grades=.true.)
    call check(impatient%seen == 1, "a sink is taken away")
    call calculator%watch_file(trim(folder) // "/fragments.xyz", options)
    call calculator%set_active_set(set)
    call calculator%compute(s, r, grades=.true.)
    inquire (file=trim(folder) // "/fragments.xyz", exist=there)
    call check(there, "fragments in a file")
    call calculator%unwatch()
    call calculator%fragment_counts(delivered, covered, refused, stat)
    call check(stat == NEPAL_STATUS_INVALID_ARGUMENT, "no counts without a sink")
  end subroutine fragments

end program test_nepal
