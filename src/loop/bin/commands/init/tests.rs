use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

fn args(words: &[&str]) -> InitArgs {
    let all = ["nepal-loop", "init"].iter().chain(words);
    match Cli::parse_from(all).command {
        Command::Init(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_flags_do_not_say_is_asked() {
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let note = asked.clone();
    let mut ask: Ask = Box::new(move |_, flag, default| {
        note.borrow_mut().push(flag.to_owned());
        Ok(match flag {
            "--elements" => "Na Cl",
            "--lattice" => "5.64",
            "--label" => "ase",
            _ => default,
        }
        .to_owned())
    });
    let text = campaign(&args(&["c.toml"]), None, &mut ask).unwrap();
    assert_eq!(
        *asked.borrow(),
        [
            "--elements",
            "--prototype",
            "--lattice",
            "--label",
            "--scheduler"
        ]
    );
    assert!(text.contains("prototype = \"rocksalt\"") && text.contains("tblite"));
    asked.borrow_mut().clear();
    let flags = [
        "c.toml",
        "--elements",
        "Si",
        "--prototype",
        "diamond",
        "--lattice",
        "5.43",
        "--label",
        "nep",
        "--scheduler",
        "slurm",
    ];
    campaign(&args(&flags), None, &mut ask).unwrap();
    assert!(asked.borrow().is_empty());
}

#[test]
fn every_generator_gives_a_valid_campaign() {
    let dir = tempfile::tempdir().unwrap();
    let mut ask: Ask = Box::new(|_, flag, _| Err(Error::invalid(flag.to_owned())));
    for (number, name) in generators::NAMES.iter().enumerate() {
        let mut words = vec![
            "c.toml",
            "--elements",
            "Na",
            "Cl",
            "--prototype",
            "rocksalt",
        ];
        words.extend([
            "--lattice",
            "5.64",
            "--label",
            "stillinger-weber",
            "--with",
            name,
        ]);
        if *name == "melts" {
            words.extend(["--melt-potential", "teacher.txt"]);
        }
        let text = campaign(&args(&words), None, &mut ask).unwrap();
        let path = dir.path().join(format!("{number}.toml"));
        std::fs::write(&path, text).unwrap();
        Campaign::load(&path, Default::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let words = [
        "c.toml",
        "--elements",
        "Na",
        "--prototype",
        "bcc",
        "--lattice",
        "4.2",
        "--label",
        "nep",
        "--scheduler",
        "slurm",
    ];
    let with = |name: &'static str| {
        let mut all = words.to_vec();
        all.extend(["--with", name]);
        args(&all)
    };
    let mut message = |name| {
        campaign(&with(name), None, &mut ask)
            .unwrap_err()
            .to_string()
    };
    assert!(message("glass").contains("interstitials"));
    assert!(message("antisites").contains("two elements"));
    assert!(message("melts").contains("--melt-potential"));
}

#[test]
fn a_prototype_that_run_would_refuse_is_refused() {
    let mut ask: Ask = Box::new(|_, flag, _| Err(Error::invalid(flag.to_owned())));
    let mut message = |prototype: &str, elements: &str| {
        let words = ["c.toml", "--elements", elements, "--prototype", prototype];
        let all = [
            &words[..],
            &["--lattice", "4.2", "--label", "nep", "--scheduler", "local"],
        ];
        let all = args(&all.concat());
        campaign(&all, None, &mut ask).map_err(|e| e.to_string())
    };
    assert!(
        message("hexagonal", "Na")
            .unwrap_err()
            .contains("allowed are")
    );
    assert!(message("bcc", "Na,Cl").unwrap_err().contains("element"));
    // What it writes, `run` takes, whatever the crystal, and with as few elements and as many.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let symbols = ["Ba", "Ti", "O"];
    for name in names() {
        let mut taken = 0;
        for count in 1..=symbols.len() {
            let Ok(text) = message(name, &symbols[..count].join(",")) else {
                continue;
            };
            taken += 1;
            let shape = text.contains("\nanisotropic = \"full\"");
            std::fs::write(&file, text).unwrap();
            let campaign = Campaign::load(&file, Default::default()).unwrap();
            let plan = campaign
                .plan()
                .unwrap_or_else(|e| panic!("{name} {count}: {e}"));
            assert_eq!((plan.initial, plan.held_out), (28, 8), "{name} {count}");
            // Edges of at least 8 Å, and not many more.
            let start = &campaign.config().explore[0].start;
            let elements: Vec<Element> = symbols[..count]
                .iter()
                .map(|e| Element::from_symbol(e).unwrap())
                .collect();
            let cell = crystal(name, &elements, 4.2, start.repeat).unwrap().cell;
            let thin = cell.thickness().into_iter().fold(f64::INFINITY, f64::min);
            assert!((8.0..16.0).contains(&thin), "{name}: {thin}");
            let edges = cell
                .vectors()
                .map(|v| v.iter().filter(|x| x.abs() > 1e-9).count());
            let cube = edges == [1; 3] && start.repeat.iter().all(|n| *n == start.repeat[0]);
            assert_eq!(shape, !cube || name == "perovskite", "{name}");
        }
        assert!(taken > 0, "{name}");
    }
    let text = message("perovskite", "Ba,Ti,O").unwrap();
    assert!(text.contains("prototype = \"perovskite\""), "{text}");
    assert!(
        message("rocksalt", "Na,Cl")
            .unwrap()
            .contains("[\"Na\", \"Cl\"]")
    );
}
