! SPDX-License-Identifier: MIT OR Apache-2.0
!
! Models, structures, active sets and posteriors. Programs use the module nepal.
module nepal_objects
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int32, int64, real64
  use nepal_c
  use nepal_support
  implicit none
  private
  public :: sized_structure, sized_options

  ! A potential, read from a nep.txt. Any number of threads may use one.
  type, public :: nepal_model
    type(c_ptr), private :: handle = c_null_ptr
  contains
    procedure :: load => model_load
    procedure :: save => model_save
    procedure :: cutoff => model_cutoff
    procedure :: n_types => model_n_types
    procedure :: dim => model_dim
    procedure :: projection_length => model_projection_length
    procedure :: element => model_element
    procedure :: type_of => model_type_of
    procedure :: c_handle => model_handle
    procedure, private :: model_copy
    generic :: assignment(=) => model_copy
    final :: model_free
  end type nepal_model

  ! Atoms in a cell.
  type, public :: nepal_structure
    real(real64), allocatable :: positions(:, :)  ! (3, n_atoms)
    integer(int32), allocatable :: types(:)       ! (n_atoms), as nepal_model%type_of gives them
    real(real64) :: cell(3, 3) = 0.0_real64       ! one lattice vector a column
    logical :: periodic(3) = .true.
    integer(int64) :: step = 0                    ! comes back with fragments
  end type nepal_structure

  ! What a model was trained on. Any number of threads may use one.
  type, public :: nepal_active_set
    type(c_ptr), private :: handle = c_null_ptr
  contains
    procedure :: load => set_load
    procedure :: build => set_build
    procedure :: save => set_save
    procedure :: kind => set_kind
    procedure :: rank => set_rank
    procedure :: report => set_report
    procedure :: c_handle => set_handle
    procedure, private :: set_copy
    generic :: assignment(=) => set_copy
    final :: set_free
  end type nepal_active_set

  ! How wrong a model may be, from `nepal-loop train --posterior`. Any number of threads may use one.
  type, public :: nepal_posterior
    type(c_ptr), private :: handle = c_null_ptr
  contains
    procedure :: load => posterior_load
    procedure :: c_handle => posterior_handle
    procedure, private :: posterior_copy
    generic :: assignment(=) => posterior_copy
    final :: posterior_free
  end type nepal_posterior

contains

  ! A structure as C sees it, with its size set; it points into the arguments.
  function sized_structure(positions, types, cell, periodic, step) result(view)
    real(real64), intent(in), target, contiguous :: positions(:, :)
    integer(int32), intent(in), target, contiguous :: types(:)
    real(real64), intent(in), target :: cell(3, 3)
    logical, intent(in) :: periodic(3)
    integer(int64), intent(in) :: step
    type(nepal_structure_t) :: view

    view%struct_size = c_sizeof(view)
    view%n_atoms = size(types, kind=c_size_t)
    view%positions = c_loc(positions)
    view%types = c_loc(types)
    if (any(periodic)) view%cell = c_loc(cell)
    view%periodic = merge(1_c_int32_t, 0_c_int32_t, periodic)
    view%step = step
  end function sized_structure

  ! Options of an active set, with their size set.
  pure function sized_options() result(options)
    type(nepal_active_set_options_t) :: options
    options%struct_size = c_sizeof(options)
  end function sized_options

  subroutine model_load(self, path, stat, errmsg)
    class(nepal_model), intent(inout) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(kind=c_char), target :: name(len_trim(path) + 1)
    type(c_ptr), target :: handle
    integer(c_int32_t) :: status

    name = to_c(path)
    status = nepal_model_load(c_loc(name), c_loc(handle))
    if (status == NEPAL_STATUS_SUCCESS) then
      call nepal_model_free(self%handle)
      self%handle = handle
    end if
    call finish(status, stat, errmsg)
  end subroutine model_load

  subroutine model_save(self, path, stat, errmsg)
    class(nepal_model), intent(in) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(kind=c_char), target :: name(len_trim(path) + 1)

    name = to_c(path)
    call finish(nepal_model_save(self%handle, c_loc(name)), stat, errmsg)
  end subroutine model_save

  ! Å. Neighbour lists of a host must reach this far.
  function model_cutoff(self) result(cutoff)
    class(nepal_model), intent(in) :: self
    real(real64), target :: cutoff
    call finish(nepal_model_cutoff(self%handle, c_loc(cutoff)))
  end function model_cutoff

  function model_n_types(self) result(n)
    class(nepal_model), intent(in) :: self
    integer(c_size_t), target :: n
    call finish(nepal_model_n_types(self%handle, c_loc(n)))
  end function model_n_types

  function model_dim(self) result(n)
    class(nepal_model), intent(in) :: self
    integer(c_size_t), target :: n
    call finish(nepal_model_dim(self%handle, c_loc(n)))
  end function model_dim

  function model_projection_length(self) result(n)
    class(nepal_model), intent(in) :: self
    integer(c_size_t), target :: n
    call finish(nepal_model_projection_length(self%handle, c_loc(n)))
  end function model_projection_length

  ! Symbol of the element of a type, from 0.
  function model_element(self, type) result(symbol)
    class(nepal_model), intent(in) :: self
    integer(int32), intent(in) :: type
    character(len=:), allocatable :: symbol
    character(kind=c_char), target :: bytes(8)
    integer(c_size_t), target :: needed
    integer(c_int32_t) :: status

    status = nepal_model_element(self%handle, type, c_loc(bytes), size(bytes, kind=c_size_t), &
      c_loc(needed))
    call finish(status)
    symbol = from_c(bytes)
  end function model_element

  ! The number that stands for an element in types.
  function model_type_of(self, symbol, stat, errmsg) result(type)
    class(nepal_model), intent(in) :: self
    character(len=*), intent(in) :: symbol
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    integer(int32), target :: type
    character(kind=c_char), target :: name(len_trim(symbol) + 1)

    name = to_c(symbol)
    type = -1
    call finish(nepal_model_type(self%handle, c_loc(name), c_loc(type)), stat, errmsg)
  end function model_type_of

  function model_handle(self) result(handle)
    class(nepal_model), intent(in) :: self
    type(c_ptr) :: handle
    handle = self%handle
  end function model_handle

  subroutine model_copy(to, from)
    class(nepal_model), intent(inout) :: to
    class(nepal_model), intent(in) :: from
    if (c_associated(to%handle) .or. c_associated(from%handle)) call refuse_copy("nepal_model")
  end subroutine model_copy

  subroutine model_free(self)
    type(nepal_model), intent(inout) :: self
    call nepal_model_free(self%handle)
    self%handle = c_null_ptr
  end subroutine model_free

  ! Reads a set, nepal's own format or .asi text.
  subroutine set_load(self, path, model, stat, errmsg)
    class(nepal_active_set), intent(inout) :: self
    character(len=*), intent(in) :: path
    class(nepal_model), intent(in) :: model
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(kind=c_char), target :: name(len_trim(path) + 1)
    type(c_ptr), target :: handle

    name = to_c(path)
    call take(self, nepal_active_set_load(c_loc(name), model%handle, c_loc(handle)), handle, &
      stat, errmsg)
  end subroutine set_load

  ! Over structures, as a rule the training data. kind is a NEPAL_GRADE_...; tolerance and resolution as in
  ! nepal_active_set_options_t.
  subroutine set_build(self, model, structures, kind, tolerance, resolution, stat, errmsg)
    class(nepal_active_set), intent(inout) :: self
    class(nepal_model), intent(in) :: model
    type(nepal_structure), intent(in), target :: structures(:)
    integer(int32), intent(in), optional :: kind
    real(real64), intent(in), optional :: tolerance, resolution
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    type(nepal_active_set_options_t), target :: options
    type(nepal_structure_t), target :: views(size(structures))
    type(c_ptr), target :: pointers(size(structures)), handle
    integer :: i

    options = sized_options()
    if (present(kind)) options%kind = kind
    if (present(tolerance)) options%tolerance = tolerance
    if (present(resolution)) options%resolution = resolution
    do i = 1, size(structures)
      associate (s => structures(i))
        views(i) = sized_structure(s%positions, s%types, s%cell, s%periodic, s%step)
      end associate
      pointers(i) = c_loc(views(i))
    end do
    call take(self, nepal_active_set_build(model%handle, c_loc(pointers), &
      size(structures, kind=c_size_t), c_loc(options), c_loc(handle)), handle, stat, errmsg)
  end subroutine set_build

  ! Puts a new handle in the place of the old one.
  subroutine take(self, status, handle, stat, errmsg)
    class(nepal_active_set), intent(inout) :: self
    integer(c_int32_t), intent(in) :: status
    type(c_ptr), intent(in) :: handle
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg

    if (status == NEPAL_STATUS_SUCCESS) then
      call nepal_active_set_free(self%handle)
      self%handle = handle
    end if
    call finish(status, stat, errmsg)
  end subroutine take

  subroutine set_save(self, path, stat, errmsg)
    class(nepal_active_set), intent(in) :: self
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(kind=c_char), target :: name(len_trim(path) + 1)

    name = to_c(path)
    call finish(nepal_active_set_save(self%handle, c_loc(name)), stat, errmsg)
  end subroutine set_save

  ! NEPAL_GRADE_COMPAT or NEPAL_GRADE_RIDGE.
  function set_kind(self) result(kind)
    class(nepal_active_set), intent(in) :: self
    integer(int32), target :: kind
    call finish(nepal_active_set_kind(self%handle, c_loc(kind)))
  end function set_kind

  ! Number of active environments of a type.
  function set_rank(self, type) result(rank)
    class(nepal_active_set), intent(in) :: self
    integer(int32), intent(in) :: type
    integer(c_size_t), target :: rank
    call finish(nepal_active_set_rank(self%handle, type, c_loc(rank)))
  end function set_rank

  ! How it was built, a line for each element; empty for a set from a file.
  function set_report(self) result(text)
    class(nepal_active_set), intent(in) :: self
    character(len=:), allocatable :: text
    character(kind=c_char), allocatable, target :: bytes(:)
    integer(c_size_t), target :: needed
    integer(c_int32_t) :: status

    status = nepal_active_set_report(self%handle, c_null_ptr, 0_c_size_t, c_loc(needed))
    if (status /= NEPAL_STATUS_BUFFER_TOO_SMALL) call finish(status)
    allocate (bytes(needed))
    call finish(nepal_active_set_report(self%handle, c_loc(bytes), needed, c_loc(needed)))
    text = from_c(bytes)
  end function set_report

  function set_handle(self) result(handle)
    class(nepal_active_set), intent(in) :: self
    type(c_ptr) :: handle
    handle = self%handle
  end function set_handle

  subroutine posterior_load(self, path, model, stat, errmsg)
    class(nepal_posterior), intent(inout) :: self
    character(len=*), intent(in) :: path
    class(nepal_model), intent(in) :: model
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(kind=c_char), target :: name(len_trim(path) + 1)
    type(c_ptr), target :: handle
    integer(c_int32_t) :: status

    name = to_c(path)
    status = nepal_posterior_load(c_loc(name), model%handle, c_loc(handle))
    if (status == NEPAL_STATUS_SUCCESS) then
      call nepal_posterior_free(self%handle)
      self%handle = handle
    end if
    call finish(status, stat, errmsg)
  end subroutine posterior_load

  pure function posterior_handle(self) result(handle)
    class(nepal_posterior), intent(in) :: self
    type(c_ptr) :: handle
    handle = self%handle
  end function posterior_handle

  subroutine posterior_copy(to, from)
    class(nepal_posterior), intent(inout) :: to
    class(nepal_posterior), intent(in) :: from
    if (c_associated(to%handle) .or. c_associated(from%handle)) call refuse_copy("nepal_posterior")
  end subroutine posterior_copy

  subroutine posterior_free(self)
    type(nepal_posterior), intent(inout) :: self
    call nepal_posterior_free(self%handle)
    self%handle = c_null_ptr
  end subroutine posterior_free

  subroutine set_copy(to, from)
    class(nepal_active_set), intent(inout) :: to
    class(nepal_active_set), intent(in) :: from
    if (c_associated(to%handle) .or. c_associated(from%handle)) call refuse_copy("nepal_active_set")
  end subroutine set_copy

  subroutine set_free(self)
    type(nepal_active_set), intent(inout) :: self
    call nepal_active_set_free(self%handle)
    self%handle = c_null_ptr
  end subroutine set_free

end module nepal_objects
