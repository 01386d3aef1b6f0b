//! What goes wrong ends with LAMMPS' own error and a text that helps, on all ranks.

use crate::host::lammps;
use crate::sample::Sample;

/// Runs a script that must fail with an error of LAMMPS' that has these words.
#[track_caller]
fn fails(ranks: usize, sample: &Sample, script: impl Fn(&str) -> String, words: &[&str]) {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let run = lammps.run_in(folder, ranks, &script(&read));
    assert!(!run.success, "no failure:\n{}", run.text);
    assert!(run.text.contains("ERROR"), "{}", run.text);
    for word in words {
        assert!(run.text.contains(word), "no {word:?} in:\n{}", run.text);
    }
}

#[test]
fn what_an_impatient_user_tries_first() {
    let sample = Sample::telluride([3, 3, 3], [true; 3]);
    let model = sample.model_file.display().to_string();
    let style = |style: &str, coeff: &str| {
        let (style, coeff) = (style.to_owned(), coeff.replace("MODEL", &model));
        move |read: &str| format!("{read}pair_style nepal {style}\npair_coeff {coeff}\nrun 0\n")
    };
    let cases: [(&str, &str, &[&str]); 13] = [
        (
            "nep.txt Te Pb",
            "* *",
            &["unknown keyword nep.txt", "pair_coeff * * nep.txt Si"],
        ),
        ("threads", "* * MODEL Te Pb", &["threads lacks its value"]),
        ("threads 0", "* * MODEL Te Pb", &["at least 1", "found 0"]),
        (
            "backend gpu",
            "* * MODEL Te Pb",
            &["cpu, reference or cuda; found gpu"],
        ),
        (
            "save 2",
            "* * MODEL Te Pb",
            &["say 'fragments DIR' as well"],
        ),
        ("rewinds 2", "* * MODEL Te Pb", &["say 'break X' as well"]),
        (
            "every 5 break 2",
            "* * MODEL Te Pb",
            &["need an active set"],
        ),
        (
            "",
            "* * MODEL",
            &["each of the 2 atom types", "found 0 words"],
        ),
        (
            "",
            "* * MODEL Te",
            &["each of the 2 atom types", "found 1 words"],
        ),
        ("", "1 2 MODEL Te Pb", &["must start with * *"]),
        ("", "* * absent.txt Te Pb", &["absent.txt", "No such file"]),
        ("", "* * MODEL Te Xx", &["atom type 2", "Xx"]),
        ("", "* * MODEL Te Si", &["atom type 2", "Si", "Te Pb"]),
    ];
    for (keywords, coeff, words) in cases {
        fails(1, &sample, style(keywords, coeff), words);
    }
    fails(2, &sample, style("", "* * MODEL Te Si"), &["atom type 2"]);
    fails(1, &sample, style("", "* * MODEL NULL NULL"), &["NULL"]);
    fails(
        1,
        &sample,
        style("", "* * MODEL Te NULL"),
        &["All pair coeffs are not set"],
    );
    let other = |read: &str| {
        let read = read.replace("units metal", "units real");
        format!("{read}pair_style nepal\npair_coeff * * {model} Te Pb\n")
    };
    fails(1, &sample, other, &["units metal", "units real"]);
}

#[test]
fn atoms_in_one_place_are_named_on_any_number_of_ranks() {
    let mut sample = Sample::telluride([5, 4, 4], [true; 3]);
    // Atoms 2 and 3 of the file.
    sample.structure.positions[2] = sample.structure.positions[1];
    for ranks in [1, 2, 4] {
        let pair = sample.pair("");
        let script = |read: &str| format!("{read}{pair}run 0\n");
        let words = [
            "nepal: forces: energy or force of atom ",
            "same place",
            "closest pair, atom 2 and atom 3, are 0 Angstrom apart",
        ];
        fails(ranks, &sample, script, &words);
    }
}

#[test]
fn lost_atoms_and_lost_numbers() {
    let sample = Sample::silicon([2, 2, 2], 0.05, [true; 3]);
    let pair = sample.pair("");
    let blow = |read: &str| {
        let read = read.replace("boundary p p p", "boundary f f f");
        format!("{read}{pair}velocity all create 1e7 3\nfix i all nve\nrun 200\n")
    };
    fails(2, &sample, blow, &["Lost atoms"]);
    let nan = |read: &str| {
        format!("{read}{pair}fix i all nve\nrun 2\nvelocity all set NULL NULL 1e300\nrun 50\n")
    };
    fails(2, &sample, nan, &["ERROR"]);
}

#[test]
fn what_the_style_does_not_do_is_refused_by_name() {
    let sample = Sample::silicon([2, 2, 2], 0.05, [true; 3]);
    let pair = sample.pair("");
    let refused = |rest: &'static str, words: &[&str]| {
        fails(1, &sample, |read| format!("{read}{pair}{rest}"), words);
    };
    refused(
        "pair_write 1 1 100 r 2 5 table.txt Si_Si\n",
        &["does not support pair_write"],
    );
    refused(
        "fix i all nve\nrun_style respa 2 2 inner 1 3 4 outer 2\nrun 1\n",
        &["respa", "inner/middle/outer"],
    );
    refused(
        "compute c all pair/local eng\nrun 0\n",
        &["does not support compute pair/local"],
    );
    refused(
        "fix b all nepal/bias push 1 2\nrun_style respa 2 2 pair 1\nrun 1\n",
        &["nepal/bias does not work with run_style respa"],
    );
}

#[test]
fn bonded_neighbours_must_stay_in_the_list() {
    let lammps = lammps();
    let model = crate::support::data("c_2024_nep4/nep.txt");
    let script = |bonds: &str| {
        format!(
            "units metal\natom_style bond\nregion b block 0 20 0 20 0 20\n\
             create_box 1 b bond/types 1 extra/bond/per/atom 4 extra/special/per/atom 8\n\
             create_atoms 1 single 5 5 5\ncreate_atoms 1 single 6.4 5 5\nmass 1 12\n\
             bond_style zero\nbond_coeff 1 1.4\ncreate_bonds single/bond 1 1 2\n{bonds}\
             pair_style nepal\npair_coeff * * {} C\nthermo_style custom step pe\nrun 0\n",
            model.display()
        )
    };
    let run = lammps.run(1, &script(""));
    assert!(
        !run.success && run.text.contains("special_bonds lj/coul 1 1 1"),
        "{}",
        run.text
    );
    let run = lammps.run(1, &script("special_bonds lj/coul 1 1 1\n")).ok();
    assert!(run.last()[1] < -1.0, "two bound atoms: {:?}", run.last());
}

/// In steps of which nobody looks at sums, ranks hear of a failure some steps later, and none is left waiting;
/// also where something else ends the run, or the program, before they do.
#[test]
fn a_rank_that_fails_alone_in_a_plain_step_ends_the_run_on_all() {
    let sample = Sample::telluride([5, 4, 4], [true; 3]);
    let positions = &sample.structure.positions;
    let distance = |i: &usize| {
        let d: [f64; 3] = std::array::from_fn(|a| positions[*i][a] - positions[1][a]);
        d.iter().map(|x| x * x).sum::<f64>()
    };
    let others = (0..positions.len()).filter(|&i| i != 1);
    let nearest = others.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let other = 1 + nearest.expect("an atom");
    let pair = sample.pair("");
    // No variable: what it asks for has all steps looked at.
    let halts = |how: &str| format!("fix h all halt 7 tlimit > 0.0 error {how}\n");
    for (ranks, halt) in [
        (1, ""),
        (2, ""),
        (4, ""),
        (2, "soft"),
        (4, "soft"),
        (2, "hard"),
    ] {
        let halt = if halt.is_empty() {
            String::new()
        } else {
            halts(halt)
        };
        let script = |read: &str| {
            let read = read.replace("read_data", "atom_modify map array\nread_data");
            format!(
                "{read}{pair}group pair id 2 {other}\ngroup rest subtract all pair\nfix i rest nve\n\
                 neigh_modify every 1000 delay 0 check no\nthermo 1000\n{halt}run 5\n\
                 variable x atom x[2]\nvariable y atom y[2]\nvariable z atom z[2]\n\
                 set atom {other} x v_x y v_y z v_z\nrun 200 pre no\n"
            )
        };
        let words = [
            "nepal: forces: energy or force of atom ",
            "step 6; the closest pair, atom ",
            "are 0 Angstrom apart",
        ];
        fails(ranks, &sample, script, &words);
    }
}
