//! What NEP_CPU's LAMMPS interface printed for its test structures.

use crate::host::{columns, lammps};
use crate::support::close::assert_close;
use crate::support::lammps::dump_forces;
use crate::support::{data, read_text};

/// Energies and pressures were printed with eight digits.
const PRINTED: f64 = 3e-8;
/// Forces were printed with six digits, from another order of sums.
const DUMPED: f64 = 1e-5;

#[test]
fn energies_pressures_and_forces_of_carbon() {
    let lammps = lammps();
    // The model of the diamond has the header of before 2022 there.
    let model = read_text("c_2022_nep3_dftd3/nep.txt");
    let old: Vec<&str> = model
        .lines()
        .map(|line| match line.starts_with("cutoff") {
            true => "cutoff 4.2 3.7",
            false => line,
        })
        .collect();
    let newer = data("c_2024_nep4/nep.txt").display().to_string();
    for (file, style, elements, energy, pressure) in [
        ("C.monolayer.data", "full", "C", -18322.775, 244.43116),
        ("C.bilayer.data", "full", "C C", -12761.655, 809.11532),
        ("C.diamond.data", "atomic", "C", -3011.5844, -35399.255),
    ] {
        for ranks in [1, 2] {
            let folder = tempfile::tempdir().expect("a folder");
            let model = if style == "full" {
                newer.clone()
            } else {
                std::fs::write(folder.path().join("old.txt"), old.join("\n")).expect("written");
                "old.txt".to_owned()
            };
            let script = format!(
                "units metal\natom_style {style}\nbox tilt large\nread_data {}\nmass * 12.011\n\
                 pair_style nepal\npair_coeff * * {model} {elements}\n\
                 dump d all custom 1 out.dump id type x y z fx fy fz\n\
                 thermo_style custom step pe press\nthermo_modify format float %.10g norm no\nrun 0\n",
                data(&format!("lammps_carbon/{file}")).display()
            );
            let run = lammps.run_in(folder, ranks, &script).ok();
            let row = run.last();
            assert_close(file, &[row[1]], &[energy], PRINTED);
            assert_close(file, &[row[2]], &[pressure], PRINTED);
            if style == "atomic" {
                let forces = columns(&run.dump("out.dump"), 4..7);
                let expected = dump_forces("lammps_carbon/diamond_forces.dump");
                assert_close(file, &forces, expected.as_flattened(), DUMPED);
            }
        }
    }
}
