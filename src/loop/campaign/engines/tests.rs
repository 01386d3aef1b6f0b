//! Engines with stand-ins that check what they are given and write what the real programs write.

use super::*;
use crate::explore::Way;
use crate::label::StopFlag;
use nepal::element::Element;
use nepal::system::Cell;
use std::os::unix::fs::PermissionsExt;

fn scenario(engine: &str) -> Scenario {
    toml::from_str(&format!(
        "name = 'heat'\nstart = {{ prototype = 'sc', elements = ['Na'], lattice = 4.0 }}\n\
         ensemble = 'npt'\ntemperature = [300, 600]\npressure = [0, 2]\ntimestep = 0.002\nsteps = 500\n\
         [engine]\n{engine}"
    ))
    .unwrap()
}

fn salt() -> Structure {
    let cell = Cell::orthorhombic([5.0; 3]).unwrap();
    let elements = ["Na", "Cl"].map(|e| Element::from_symbol(e).unwrap());
    Structure::new(
        cell,
        elements.to_vec(),
        vec![[0.1, 0.0, 0.0], [2.5, -2.4, 2.5]],
    )
    .unwrap()
}

/// Runs a script in the place of the program.
fn try_run(base: &Path, engine: &str, script: &str) -> Result<Found> {
    let program = base.join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(base.join("nep.txt"), "model").unwrap();
    std::fs::write(base.join("set.asi"), "set").unwrap();
    let scenario = scenario(&engine.replace("PROGRAM", &program.display().to_string()));
    let grade = GradeConfig {
        save: 2.0,
        break_: 10.0,
        every: 10,
        spacing: 50,
        learn: true,
        max_breaks: 3,
    };
    let engine = scenario.engine.as_ref().unwrap();
    engine.check()?;
    let folder = base.join("run");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let run = EngineRun {
        scenario: &scenario,
        engine,
        grade: &grade,
        start: &salt(),
        temperature: [300.0, 600.0],
        pressure: [0.0, 2.0],
        steps: 500,
        seed: 7,
        folder,
        base,
        model: base.join("nep.txt"),
        active_set: base.join("set.asi"),
        posterior: scenario
            .way
            .goes_by(crate::explore::Signal::Sigma)
            .then(|| base.join("nep.txt")),
        elements: vec!["Na".into(), "Cl".into()],
        cutoff: 5.0,
        dftd3: Some("pbe 12 6".into()),
        keep_molecules: false,
    };
    let ending = run.prepare()?.run(&StopFlag::default())?;
    run.collect(ending)
}

/// What GPUMD checks, and the dump that it writes, in its own format.
const GPUMD: &str = r#"
expect() { grep -q "^$1\$" run.in || { echo "run.in lacks: $1"; exit 3; }; }
expect 'potential nep.txt'
expect 'dftd3 pbe 12 6'
expect 'compute_extrapolation asi_file active_set.asi gamma_low 2 gamma_high 10 check_interval 10 dump_interval 50'
expect 'ensemble npt_mttk temp 300 600 iso 0 2'
expect 'time_step 2'
expect 'run 500'
[ "$(head -1 model.xyz)" = 2 ] && grep -q '^Cl' model.xyz || { echo 'bad model.xyz'; exit 4; }
[ "$(cat nep.txt active_set.asi)" = modelset ] || exit 5
frame() {
  echo 2
  echo "max_gamma=$1 pbc=\"T T T\" Lattice=\"5.00000000 0.00000000 0.00000000 0.00000000 5.00000000 0.00000000 0.00000000 0.00000000 5.00000000\" Properties=species:S:1:pos:R:3:gamma:R:1"
  echo "Na 0.10000000 0.00000000 0.00000000 0.500000"
  echo "Cl 7.50000000 2.60000000 2.50000000 $1"
}
"#;

#[test]
fn gpumd_is_told_what_to_do_and_its_dump_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = "kind = 'gpumd'\ncommand = 'PROGRAM'";
    let clean = try_run(dir.path(), engine, GPUMD).unwrap();
    assert!(clean.finished && clean.candidates.is_empty() && clean.breaks == 0);
    let kept = format!(
        "{GPUMD}\nframe 3.50000000 > extrapolation_dump.xyz\nframe 4.00000000 >> extrapolation_dump.xyz"
    );
    let found = try_run(dir.path(), engine, &kept).unwrap();
    assert!(found.finished && found.candidates.len() == 2);
    let frame = &found.candidates[0];
    assert_eq!(frame.info["grade"], "3.5");
    assert_eq!(frame.real_column("grade").unwrap().0, [0.5, 3.5]);
    assert!((found.trace[0][5] - 4.0).abs() < 1e-12);
    // Above gamma_high GPUMD dumps and ends itself with status 1: a break, not a failure.
    let broke = format!("{GPUMD}\nframe 12.00000000 > extrapolation_dump.xyz\nexit 1");
    let found = try_run(dir.path(), engine, &broke).unwrap();
    assert!(!found.finished && found.breaks == 1 && found.candidates.len() == 1);
    let message = try_run(dir.path(), engine, "echo 'no GPU found'; exit 1")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("no GPU found") && message.contains("heat"),
        "{message}"
    );
}

#[test]
fn a_users_input_is_kept_but_for_the_placeholders() {
    let dir = tempfile::tempdir().unwrap();
    let own = "# mine\nreplicate 2 2 2\n@POTENTIAL@\nvelocity @TEMPERATURE@\n@GRADES@\nensemble nve\nrun 10\n@GRADES@\nrun @MINE@\n";
    std::fs::write(dir.path().join("own.in"), own).unwrap();
    let engine = "kind = 'gpumd'\ncommand = 'PROGRAM'\ninput = 'own.in'\nvalues = { MINE = '77' }";
    try_run(dir.path(), engine, "true").unwrap();
    let written = std::fs::read_to_string(dir.path().join("run/run.in")).unwrap();
    let grades = "compute_extrapolation asi_file active_set.asi gamma_low 2 gamma_high 10 check_interval 10 dump_interval 50";
    let expected = own
        .replace("@POTENTIAL@", "potential nep.txt\ndftd3 pbe 12 6")
        .replace("@TEMPERATURE@", "300")
        .replace("@GRADES@", grades)
        .replace("@MINE@", "77");
    assert_eq!(written, expected);
    for (text, word) in [
        ("@POTENTIAL@\nrun 1\n", "@GRADES@"),
        ("@GRADES@\nrun 1\n", "@POTENTIAL@"),
    ] {
        std::fs::write(dir.path().join("own.in"), text).unwrap();
        let message = try_run(dir.path(), engine, "true").unwrap_err().to_string();
        assert!(
            message.contains("own.in") && message.contains(word),
            "{message}"
        );
    }
    std::fs::write(dir.path().join("own.in"), "@POTENTIAL@ @GRADES@ @WHAT@").unwrap();
    let message = try_run(dir.path(), engine, "true").unwrap_err().to_string();
    assert!(
        message.contains("@WHAT@") && message.contains("@STEPS@"),
        "{message}"
    );
    let message = try_run(
        dir.path(),
        "kind = 'gpumd'\ncommand = 'no-such-gpumd'",
        "true",
    )
    .unwrap_err()
    .to_string();
    assert!(message.contains("no-such-gpumd"), "{message}");
}

#[test]
fn lammps_dumps_are_read_in_any_box() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
grep -q '^pair_coeff \* \* nep.txt active_set.asi Na Cl$' in.explore || { echo 'no pair_coeff'; exit 3; }
grep -q '^fix nepal_halt all halt 10 v_nepal_now > 10 error soft message yes$' in.explore || exit 4
grep -q '^2 atom types$' start.data || exit 5
printf '# head\n# names\n0 300 1.0 1.5\n10 310 20000 2.5\n20 320 2.0 3.5\n60 330 2.0 4.5\n70 33' > grades.out
frame() {
  printf 'ITEM: TIMESTEP\n%s\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS xy xz yz pp pp ff\n' "$1"
  printf -- '-1.0 6.0 2.0\n1.0 5.0 0.0\n0.0 3.0 -0.5\n'
  printf 'ITEM: ATOMS id element xu yu zu f_nepal_grade\n1 Na 0.0 1.0 0.5 0.1\n2 Cl 1.0 2.0 1.0 %s\n' "$2"
}
{ frame 0 1.5; frame 10 2.5; frame 20 3.5; frame 60 4.5; frame 70 9.0 | head -7; } > kept.dump
"#;
    let found = try_run(dir.path(), "kind = 'lammps'\ncommand = 'PROGRAM'", script).unwrap();
    assert_eq!(found.trace.len(), 4);
    assert_eq!(found.trace[1], [10.0, 310.0, 2.0, 2.5, 0.0, 2.5]);
    // The first is below the threshold, the third too close to the second; the fifth was cut off.
    let steps: Vec<&str> = found
        .candidates
        .iter()
        .map(|f| f.info["step"].as_str())
        .collect();
    assert_eq!(steps, ["10", "60"]);
    assert!(found.finished);
    let s = &found.candidates[0].structure;
    // Bounds enclose the tilted box: xlo = -1 - min(0, xy, xz, xy + xz), xhi = 6 - max(...).
    assert_eq!(
        *s.cell.vectors(),
        [[5.0, 0.0, 0.0], [2.0, 3.5, 0.0], [0.0, -0.5, 3.0]]
    );
    assert_eq!(s.cell.periodic(), [true, true, false]);
    let apart: Vec<f64> = (0..3)
        .map(|c| s.positions[1][c] - s.positions[0][c])
        .collect();
    let f = s
        .cell
        .fractional([apart[0] - 1.0, apart[1] - 1.0, apart[2] - 0.5]);
    assert!(f.iter().all(|x| (x - x.round()).abs() < 1e-9), "{f:?}");
    let cut = script.replace("BOX BOUNDS xy xz yz pp pp ff", "BOX BOUNDS xy");
    let message = try_run(dir.path(), "kind = 'lammps'\ncommand = 'PROGRAM'", &cut);
    assert!(message.is_ok() || message.unwrap_err().to_string().contains("kept.dump"));
    let message = try_run(
        dir.path(),
        "kind = 'lammps'\ncommand = 'PROGRAM'",
        "echo \"ERROR: Unrecognized pair style 'nepal'\"; exit 1",
    )
    .unwrap_err()
    .to_string();
    assert!(message.contains("Unrecognized pair style"), "{message}");
    let missing = "kind = 'lammps'\ncommand = 'PROGRAM'\nplugin = 'nepalplugin.so'";
    let message = try_run(dir.path(), missing, "true")
        .unwrap_err()
        .to_string();
    assert!(message.contains("build.sh"), "{message}");
}

/// The bias is part of the potential, and a frame is kept for its deviations, too.
#[test]
fn lammps_is_pushed_where_the_way_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
expect() { grep -q "^$1\$" in.explore || { echo "in.explore lacks: $1"; exit 3; }; }
expect 'pair_style nepal dftd3 pbe 12 6 posterior posterior.json'
expect 'fix nepal_bias all nepal/bias sigma 0.3 relative 50'
expect 'fix nepal_found all halt 10 v_nepal_unsure > 0.25 error soft message yes'
[ "$(cat posterior.json)" = model ] || exit 5
printf '0 300 1.0 0.5\n10 310 2.0 0.6\n20 320 2.0 0.7\n' > grades.out
frame() {
  printf 'ITEM: TIMESTEP\n%s\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n' "$1"
  printf 'ITEM: ATOMS id element xu yu zu f_nepal_grade v_nepal_f\n1 Na 0.0 1.0 0.5 0.5 %s\n' "$2"
}
{ frame 0 0.1; frame 20 0.3; } > kept.dump
"#;
    let way = "kind = 'lammps'\ncommand = 'PROGRAM'\n[way]\nkind = 'hal'\ntau = 0.3\nhistory = 50\ntolerance = 0.25";
    let found = try_run(dir.path(), way, script).unwrap();
    let steps: Vec<&str> = (found.candidates.iter())
        .map(|f| f.info["step"].as_str())
        .collect();
    assert_eq!(steps, ["20"]);
    let hal = |text: &str| match text.parse::<Way>().unwrap() {
        Way::Hal(hal) => hal.check_for_lammps(),
        _ => unreachable!(),
    };
    assert!(hal("hal,tau=0.3,stop=end").is_ok());
    for other in [
        "hal,tau=[0.1, 0.3]",
        "hal,signal=grade",
        "hal,trigger=softmax",
        "hal,cap=0.5",
    ] {
        assert!(
            hal(other).unwrap_err().to_string().contains("in LAMMPS"),
            "{other}"
        );
    }
}

#[test]
fn ladders_inherit_what_they_do_not_say() {
    let mut s = scenario("kind = 'gpumd'\ncommand = 'gpumd'");
    s.ladder = toml::from_str::<BTreeMap<String, Vec<crate::campaign::Stage>>>(
        "l = [{ temperature = [600, 900] }, { pressure = [5, 5], steps = 900, strain = [0.02, 0, 0, 0, 0.01, 0] }]",
    )
    .unwrap()
    .remove("l")
    .unwrap();
    let rung = |n: usize| {
        let r = s.stage(n);
        (r.temperature, r.pressure, r.steps, r.strain[0])
    };
    assert_eq!(rung(0), ([300.0, 600.0], [0.0, 2.0], 500, 0.0));
    assert_eq!(rung(1), ([600.0, 900.0], [0.0, 2.0], 500, 0.0));
    assert_eq!(rung(2), ([600.0, 900.0], [5.0, 5.0], 900, 0.02));
    assert_eq!(rung(9), rung(2));
    let strained = s.stage(2).strained(&salt()).unwrap();
    assert_eq!(
        strained
            .cell
            .vectors()
            .map(|v| v.map(|x| (1e9 * x).round() / 1e9)),
        [[5.1, 0.0, 0.05], [0.0, 5.0, 0.0], [0.05, 0.0, 5.0]]
    );
    assert_eq!(s.stage(1).strained(&salt()).unwrap(), salt());
}
