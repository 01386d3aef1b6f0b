! SPDX-License-Identifier: MIT OR Apache-2.0
!
! Texts, statuses and arrays on their way to and from C: what the modules share. Programs use the
! module nepal.
module nepal_support
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: error_unit, int64, real64
  use nepal_c
  implicit none
  private
  public :: finish, fail, from_c, to_c, refuse_copy, wanted, room_1, room_2, room_3

contains

  ! Hands a status to the caller, or ends the program with nepal's text if he does not ask for it.
  subroutine finish(status, stat, errmsg)
    integer(c_int32_t), intent(in) :: status
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg
    character(kind=c_char), target :: bytes(4000)
    integer(c_size_t), target :: needed
    integer(c_int32_t) :: ignored

    if (status == NEPAL_STATUS_SUCCESS) then
      if (present(stat)) stat = 0
      return
    end if
    ! A longer text is cut at its end, and still ends with NUL.
    ignored = nepal_last_error(c_loc(bytes), size(bytes, kind=c_size_t), c_loc(needed))
    if (ignored > NEPAL_STATUS_BUFFER_TOO_SMALL) bytes(1) = c_null_char
    call fail(status, from_one(from_c(bytes)), stat, errmsg)
  end subroutine finish

  ! A text of nepal's, which counts atoms from 0, as Fortran counts them.
  pure function from_one(text) result(told)
    character(len=*), intent(in) :: text
    character(len=:), allocatable :: told
    character(len=*), parameter :: word = "atom ", base = "counted from 0", digits = "0123456789"
    character(len=20) :: number
    integer(int64) :: atom
    integer :: from, first, last

    told = ""
    from = 1
    do
      first = index(text(from:), word)
      if (first == 0) exit
      first = from + first + len(word) - 1
      last = verify(text(first:), digits)
      last = merge(len(text), first + last - 2, last == 0)
      told = told // text(from:first - 1)
      from = last + 1
      if (last < first .or. last - first > 17) then
        told = told // text(first:last)
        cycle
      end if
      read (text(first:last), *) atom
      write (number, '(i0)') atom + 1
      told = told // trim(number)
    end do
    told = told // text(from:)
    first = index(told, base)
    if (first > 0) told(first + len(base) - 1:first + len(base) - 1) = "1"
  end function from_one

  ! The same for a failure that is found here.
  subroutine fail(status, text, stat, errmsg)
    integer(c_int32_t), intent(in) :: status
    character(len=*), intent(in) :: text
    integer, intent(out), optional :: stat
    character(len=*), intent(inout), optional :: errmsg

    if (present(errmsg)) errmsg = text
    if (present(stat)) then
      stat = int(status)
    else
      write (error_unit, '(a)') text
      error stop 1
    end if
  end subroutine fail

  subroutine refuse_copy(what)
    character(len=*), intent(in) :: what
    write (error_unit, '(a)') "a " // what // " is handed over by reference, never copied"
    error stop 1
  end subroutine refuse_copy

  ! A text of C up to its NUL.
  pure function from_c(bytes) result(text)
    character(kind=c_char), intent(in) :: bytes(:)
    character(len=:), allocatable :: text
    integer :: i, n

    n = findloc(bytes, c_null_char, dim=1) - 1
    if (n < 0) n = size(bytes)
    allocate (character(len=n) :: text)
    do i = 1, n
      text(i:i) = bytes(i)
    end do
  end function from_c

  ! A text for C, without the blanks that Fortran fills up with.
  pure function to_c(text) result(bytes)
    character(len=*), intent(in) :: text
    character(kind=c_char) :: bytes(len_trim(text) + 1)
    integer :: i

    do i = 1, len_trim(text)
      bytes(i) = text(i:i)
    end do
    bytes(size(bytes)) = c_null_char
  end function to_c

  ! Whether an optional flag is set.
  pure function wanted(flag, default) result(yes)
    logical, intent(in), optional :: flag, default
    logical :: yes
    yes = .false.
    if (present(default)) yes = default
    if (present(flag)) yes = flag
  end function wanted

  ! Room for a result that is wanted, in the array that there is if it fits, and its place for C.
  subroutine room_1(array, n, yes, place)
    real(real64), allocatable, intent(inout), target :: array(:)
    integer, intent(in) :: n
    logical, intent(in) :: yes
    type(c_ptr), intent(inout) :: place
    if (allocated(array)) then
      if (.not. yes .or. size(array) /= n) deallocate (array)
    end if
    if (yes .and. .not. allocated(array)) allocate (array(n))
    if (yes) place = c_loc(array)
  end subroutine room_1

  subroutine room_2(array, m, n, yes, place)
    real(real64), allocatable, intent(inout), target :: array(:, :)
    integer, intent(in) :: m, n
    logical, intent(in) :: yes
    type(c_ptr), intent(inout) :: place
    if (allocated(array)) then
      if (.not. yes .or. any(shape(array) /= [m, n])) deallocate (array)
    end if
    if (yes .and. .not. allocated(array)) allocate (array(m, n))
    if (yes) place = c_loc(array)
  end subroutine room_2

  subroutine room_3(array, n, yes, place)
    real(real64), allocatable, intent(inout), target :: array(:, :, :)
    integer, intent(in) :: n
    logical, intent(in) :: yes
    type(c_ptr), intent(inout) :: place
    if (allocated(array)) then
      if (.not. yes .or. size(array, 3) /= n) deallocate (array)
    end if
    if (yes .and. .not. allocated(array)) allocate (array(3, 3, n))
    if (yes) place = c_loc(array)
  end subroutine room_3

end module nepal_support
