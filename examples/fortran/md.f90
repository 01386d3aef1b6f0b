! A small molecular dynamics program: 64 silicon atoms for 100 fs, with the largest grade watched.
! The same in C and C++ prints the same numbers. With nepal installed:
!
!   f=$(pkg-config --variable=fortrandir nepal)
!   gfortran $f/nepal_c.f90 $f/nepal_support.f90 $f/nepal_objects.f90 $f/nepal_fragments.f90 $f/nepal.f90 \
!     examples/fortran/md.f90 $(pkg-config --libs nepal) -o md
!   ./md examples/data
program md
  use nepal
  use, intrinsic :: iso_fortran_env, only: int32, real64
  implicit none
  integer, parameter :: cells = 2, atoms = 8 * cells**3, steps = 100, every = 20
  real(real64), parameter :: lattice = 5.431_real64         ! Å
  real(real64), parameter :: mass = 28.085_real64           ! atomic mass units
  real(real64), parameter :: dt = 0.001_real64              ! ps
  real(real64), parameter :: to_ev = 1.0364269656e-4_real64 ! one atomic mass unit (Å/ps)**2 in eV
  real(real64), parameter :: boltzmann = 8.617333e-5_real64 ! eV/K
  real(real64), parameter :: kick = 0.5_real64 * dt / (mass * to_ev)
  type(nepal_model) :: model
  type(nepal_active_set) :: active_set
  type(nepal_calculator) :: calculator
  type(nepal_results) :: results
  real(real64) :: x(3, atoms), v(3, atoms), cell(3, 3), kinetic
  integer(int32) :: types(atoms)
  character(len=400) :: data
  integer :: i, d, step

  data = "examples/data"
  if (command_argument_count() > 0) call get_command_argument(1, data)
  call model%load(trim(data) // "/nep.txt")
  call active_set%load(trim(data) // "/active_set.nas", model)
  call calculator%create(model)
  call calculator%set_active_set(active_set)

  call start(x, v)
  types = model%type_of("Si")
  cell = 0.0_real64
  do d = 1, 3
    cell(d, d) = cells * lattice
  end do

  ! Velocity Verlet. Grades are computed only on the steps that print them.
  do step = 0, steps
    if (step > 0) then
      v = v + kick * results%forces
      x = x + dt * v
    end if
    call calculator%compute(x, types, cell, [.true., .true., .true.], results, &
      grades=mod(step, every) == 0)
    if (step > 0) v = v + kick * results%forces
    if (mod(step, every) /= 0) cycle
    kinetic = 0.0_real64
    do i = 1, atoms
      do d = 1, 3
        kinetic = kinetic + 0.5_real64 * mass * to_ev * v(d, i) * v(d, i)
      end do
    end do
    print '(a,i0,11a)', "step ", step, ": potential ", fixed(results%energy, 6), " kinetic ", &
      fixed(kinetic, 6), " total ", fixed(results%energy + kinetic, 6), " eV, ", &
      fixed(2 * kinetic / (3 * (atoms - 1) * boltzmann), 2), " K, largest grade ", &
      fixed(maxval(results%grade), 4)
  end do

contains

  ! Diamond, and velocities that add up to nothing.
  subroutine start(x, v)
    real(real64), intent(out) :: x(3, atoms), v(3, atoms)
    real(real64), parameter :: basis(3, 0:7) = 0.25_real64 * reshape([ &
      0, 0, 0, 0, 2, 2, 2, 0, 2, 2, 2, 0, 1, 1, 1, 1, 3, 3, 3, 1, 3, 3, 3, 1], [3, 8])
    real(real64) :: mean(3)
    integer :: i, d, cell, shift(3)

    mean = 0.0_real64
    do i = 0, atoms - 1
      cell = i / 8
      shift = [cell / cells**2, mod(cell / cells, cells), mod(cell, cells)]
      do d = 1, 3
        x(d, i + 1) = lattice * (shift(d) + basis(d, mod(i, 8)))
        v(d, i + 1) = 9.0_real64 * sin(1.7_real64 * (3 * i + d - 1) + 0.3_real64 * (d - 1))
        mean(d) = mean(d) + v(d, i + 1) / atoms
      end do
    end do
    do d = 1, 3
      v(d, :) = v(d, :) - mean(d)
    end do
  end subroutine start

  ! This many decimals and no blanks, with a zero before the point.
  function fixed(x, decimals) result(text)
    real(real64), intent(in) :: x
    integer, intent(in) :: decimals
    character(len=:), allocatable :: text
    character(len=40) :: wide, form
    write (form, '(a,i0,a)') "(f40.", decimals, ")"
    write (wide, form) x
    text = trim(adjustl(wide))
  end function fixed

end program md
