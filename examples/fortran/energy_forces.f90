! Energy, forces and the largest grade of eight silicon atoms. With nepal installed:
!
!   f=$(pkg-config --variable=fortrandir nepal)
!   gfortran $f/nepal_c.f90 $f/nepal_support.f90 $f/nepal_objects.f90 $f/nepal_fragments.f90 $f/nepal.f90 \
!     examples/fortran/energy_forces.f90 $(pkg-config --libs nepal) -o energy_forces
!   ./energy_forces examples/data
program energy_forces
  use nepal
  use, intrinsic :: iso_fortran_env, only: error_unit
  implicit none
  type(nepal_model) :: model
  type(nepal_active_set) :: active_set
  type(nepal_calculator) :: calculator
  type(nepal_structure) :: atoms
  type(nepal_results) :: results
  character(len=400) :: data, text
  integer :: i, stat

  data = "examples/data"
  if (command_argument_count() > 0) call get_command_argument(1, data)
  ! Without stat a failure would end the program all the same; this shows how to go on.
  call model%load(trim(data) // "/nep.txt", stat, text)
  if (stat /= 0) then
    write (error_unit, '(a)') trim(text)
    stop 1
  end if
  call active_set%load(trim(data) // "/active_set.nas", model)
  call calculator%create(model)
  call calculator%set_active_set(active_set)

  ! Diamond, a little distorted, one atom far off its place. Å.
  atoms%positions = reshape([ &
    0.0426d0, -0.0087d0, 0.0581d0, 0.0255d0, 2.6691d0, 2.7225d0, &
    2.8093d0, -0.0224d0, 2.6925d0, 2.7301d0, 2.7817d0, -0.0612d0, &
    1.9529d0, 1.7849d0, 1.0139d0, 1.4183d0, 3.9930d0, 4.0595d0, &
    4.1556d0, 1.4575d0, 4.0331d0, 4.0636d0, 4.0584d0, 1.3466d0], [3, 8])
  atoms%types = [(model%type_of("Si"), i=1, 8)]
  do i = 1, 3
    atoms%cell(i, i) = 5.431d0
  end do
  call calculator%compute(atoms, results, grades=.true.)

  print '(a)', "energy: " // fixed(results%energy) // " eV"
  do i = 1, 8
    print '(a,i0,8a)', "force on atom ", i - 1, ": ", fixed(results%forces(1, i)), " ", &
      fixed(results%forces(2, i)), " ", fixed(results%forces(3, i)), " eV/A"
  end do
  i = maxloc(results%grade, dim=1)
  print '(3a,i0)', "largest grade: ", fixed(results%grade(i)), ", atom ", i - 1

contains

  ! Six decimals and no blanks, with a zero before the point.
  function fixed(x) result(text)
    double precision, intent(in) :: x
    character(len=:), allocatable :: text
    character(len=40) :: wide
    write (wide, '(f40.6)') x
    text = trim(adjustl(wide))
  end function fixed

end program energy_forces
