//! What the style does in the steps between two lists of LAMMPS', and what it leaves out.

use crate::host::lammps;
use crate::sample::Sample;
use crate::support::root;
use std::process::Command;

/// Neighbours that are overwritten where LAMMPS keeps them are missed only once LAMMPS has made a new list.
#[test]
fn a_list_is_read_once() {
    let sample = Sample::silicon([2, 2, 2], 0.05, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!(
        "plugin load {}\n{read}{}neigh_modify every 1 delay 0 check no\nrun 0\n",
        lammps().plugin.display(),
        sample.pair("")
    );
    std::fs::write(folder.path().join("in.lmp"), script).expect("written");
    let program = "import lammps\n\
        l = lammps.lammps(cmdargs=['-screen', 'none', '-log', 'none'])\n\
        l.file('in.lmp')\n\
        n = l.find_pair_neighlist('nepal')\n\
        def spoil():\n    \
            for k in range(l.get_neighlist_size(n)):\n        \
                i, count, row = l.get_neighlist_element_neighbors(n, k)\n        \
                for j in range(count): row[j] = (i + 1) % 64\n\
        def step(every):\n    \
            l.command('neigh_modify every %d' % every)\n    \
            l.command('run 1 pre no post no')\n    \
            print('%.12g' % l.get_thermo('pe'))\n\
        print('%.12g' % l.get_thermo('pe'))\n\
        spoil()\n\
        step(1000)\n\
        step(1)\n\
        step(1000)\n\
        l.command('run 0 post no')\n\
        l.command('neigh_modify every 1000')\n\
        spoil()\n\
        l.command('set group all type 1')\n\
        step(1000)\n\
        l.command('pair_coeff * * '+ open('coeff').read())\n\
        spoil()\n\
        try: step(1000)\n\
        except Exception as e: print(e)\n";
    let coeff = sample.pair("");
    let coeff = coeff.rsplit("* * ").next().expect("a pair_coeff");
    std::fs::write(folder.path().join("coeff"), coeff).expect("written");
    let run = lammps()
        .tool("python3")
        .args(["-c", program])
        .current_dir(folder.path())
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{errors}");
    let energies: Vec<f64> = said.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(energies.len() >= 5, "{said}{errors}");
    for energy in &energies[..5] {
        assert!(
            (energy - energies[0]).abs() < 1e-9 * energies[0].abs(),
            "{said}"
        );
    }
    // A calculator that never had the list reads what is there.
    let last = said.lines().last().unwrap_or_default();
    let same = last
        .parse()
        .is_ok_and(|e: f64| (e - energies[0]).abs() < 1e-3);
    assert!(!same, "{said}");
}

/// Ranks agree that none has failed every tenth plain step, not in each.
#[test]
fn plain_steps_agree_about_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let counter = folder.path().join("counter.so");
    let [_, headers] = lammps().headers();
    let built = Command::new("c++")
        .args(["-shared", "-fPIC", "-I"])
        .arg(headers)
        .arg("-o")
        .arg(&counter)
        .arg(root().join("tests/lammps/reductions.cpp"))
        .output()
        .expect("a C++ compiler");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let sample = Sample::silicon([2, 2, 2], 0.05, [true; 3]);
    let read = sample.write(folder.path());
    let pair = sample.pair("");
    let mut counts = Vec::new();
    let mut folder = folder;
    for steps in [20, 120] {
        let script = format!(
            "{read}{pair}neigh_modify every 1000 delay 0 check no\nthermo 1000\nfix i all nve\nrun {steps}\n"
        );
        let run = lammps()
            .run_with(folder, 1, &script, &[("LD_PRELOAD", &counter)])
            .ok();
        let count = run
            .text
            .lines()
            .find_map(|line| line.strip_prefix("reductions: "));
        let count: i64 = count.and_then(|n| n.parse().ok()).expect("a count");
        counts.push(count);
        folder = run.into_folder();
    }
    assert_eq!(counts[1] - counts[0], 10, "{counts:?}");
}
