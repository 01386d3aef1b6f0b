! SPDX-License-Identifier: MIT OR Apache-2.0
!
! Fragments and how they reach a program. Programs use the module nepal.
module nepal_fragments
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real64
  use nepal_c
  use nepal_objects, only: nepal_structure
  use nepal_support, only: from_c
  implicit none
  private
  public :: receive, keep, sized_fragment_options

  ! Which atoms are handed over as fragments, and how large they are; zero means the default.
  type, public :: nepal_fragment_options
    real(real64) :: save = 0.0_real64         ! grade above which an atom is selected (1.5)
    integer :: max_fragments = 0              ! largest number in one call (16)
    logical :: optimise = .false.             ! relax the boundary, minimise its grade
    logical :: keep_molecules = .false.       ! keep or drop molecules as a whole
    real(real64) :: core_radius = 0.0_real64  ! Å (a little more than the cutoff)
    real(real64) :: max_size = 0.0_real64     ! Å between images (what max_atoms allows)
    integer :: max_atoms = 0                  ! (300)
    integer(int64) :: seed = 0
  end type nepal_fragment_options

  ! A small periodic structure around one atom, the target.
  type, extends(nepal_structure), public :: nepal_fragment
    integer(int64), allocatable :: tags(:)   ! number of each atom in the parent, -1 for an inserted one
    logical, allocatable :: core(:)          ! stands where it stands in the parent
    real(real64), allocatable :: mask(:)     ! weights of the forces in training
    real(real64), allocatable :: grades(:)   ! allocated only if it was optimised
    integer :: target = 0                    ! number of the target in this fragment
    integer(int64) :: target_tag = 0
    real(real64) :: grade = 0.0_real64, gamma = 0.0_real64, rho = 0.0_real64  ! of the target
    logical :: whole = .false.               ! this is the parent itself
    character(len=:), allocatable :: summary
  end type nepal_fragment

  ! Extend this to receive fragments while a simulation runs.
  type, abstract, public :: nepal_fragment_sink
  contains
    procedure(take_fragment), deferred :: take
  end type nepal_fragment_sink

  abstract interface
    ! Set go_on to .false. to end the compute call, which then has the status -1.
    subroutine take_fragment(self, fragment, go_on)
      import :: nepal_fragment_sink, nepal_fragment
      class(nepal_fragment_sink), intent(inout) :: self
      type(nepal_fragment), intent(in) :: fragment
      logical, intent(inout) :: go_on
    end subroutine take_fragment
  end interface

  ! Where the callback of C finds its sink: C can carry the address of this, not of a class.
  type, public :: sink_place
    class(nepal_fragment_sink), pointer :: sink => null()
  end type sink_place

contains

  ! The callback that C knows when a sink is set.
  function receive(user_data, view) bind(c) result(status)
    type(c_ptr), value :: user_data, view
    integer(c_int32_t) :: status
    type(sink_place), pointer :: place
    type(nepal_fragment) :: fragment
    logical :: go_on

    call c_f_pointer(user_data, place)
    call copy_fragment(view, fragment)
    go_on = .true.
    call place%sink%take(fragment, go_on)
    status = merge(0_c_int32_t, -1_c_int32_t, go_on)
  end function receive

  ! The callback that fills a fragment.
  function keep(user_data, view) bind(c) result(status)
    type(c_ptr), value :: user_data, view
    integer(c_int32_t) :: status
    type(nepal_fragment), pointer :: fragment

    call c_f_pointer(user_data, fragment)
    call copy_fragment(view, fragment)
    status = 0
  end function keep

  subroutine copy_fragment(view, fragment)
    type(c_ptr), intent(in) :: view
    type(nepal_fragment), intent(inout) :: fragment
    type(nepal_fragment_t), pointer :: f
    real(real64), pointer :: reals(:), rows(:, :)
    integer(int32), pointer :: numbers(:)
    integer(int64), pointer :: tags(:)
    character(kind=c_char), pointer :: text(:)
    integer :: n

    call c_f_pointer(view, f)
    n = int(f%n_atoms)
    call c_f_pointer(f%positions, rows, [3, n])
    fragment%positions = rows
    call c_f_pointer(f%types, numbers, [n])
    fragment%types = numbers
    call c_f_pointer(f%tags, tags, [n])
    fragment%tags = tags
    call c_f_pointer(f%core, numbers, [n])
    fragment%core = numbers /= 0
    call c_f_pointer(f%mask, reals, [n])
    fragment%mask = reals
    if (allocated(fragment%grades)) deallocate (fragment%grades)
    if (c_associated(f%grades)) then
      call c_f_pointer(f%grades, reals, [n])
      fragment%grades = reals
    end if
    fragment%cell = reshape(f%cell, [3, 3])
    fragment%periodic = f%periodic /= 0
    fragment%step = f%step
    fragment%target = int(f%target) + 1
    fragment%target_tag = f%target_tag
    fragment%grade = f%grade
    fragment%gamma = f%gamma
    fragment%rho = f%rho
    fragment%whole = f%whole /= 0
    fragment%summary = ""
    if (c_associated(f%summary)) then
      call c_f_pointer(f%summary, text, [text_length(f%summary) + 1])
      fragment%summary = from_c(text)
    end if
  end subroutine copy_fragment

  function text_length(text) result(n)
    type(c_ptr), intent(in) :: text
    integer(c_size_t) :: n
    interface
      function strlen(text) bind(c) result(n)
        import :: c_ptr, c_size_t
        type(c_ptr), value :: text
        integer(c_size_t) :: n
      end function strlen
    end interface
    n = strlen(text)
  end function text_length

  ! The options as C has them.
  pure function sized_fragment_options(options) result(given)
    type(nepal_fragment_options), intent(in) :: options
    type(nepal_fragment_options_t) :: given

    given%struct_size = c_sizeof(given)
    given%save = options%save
    given%max_fragments = int(options%max_fragments, c_int32_t)
    given%core_radius = options%core_radius
    given%max_size = options%max_size
    given%max_atoms = int(options%max_atoms, c_size_t)
    given%seed = options%seed
    if (options%optimise) given%flags = given%flags + NEPAL_FRAGMENT_OPTIMISE
    if (options%keep_molecules) given%flags = given%flags + NEPAL_FRAGMENT_KEEP_MOLECULES
  end function sized_fragment_options

end module nepal_fragments
