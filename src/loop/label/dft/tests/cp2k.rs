//! CP2K through fake programs and, where it is installed, the real one.

use super::super::*;
use crate::label::{LabelCache, LabelRunner, LabellerConfig, Limits, from_config};
use nepal::element::Element;
use nepal::system::Cell;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// The structure of the stored outputs of sodium.
fn sodium() -> Structure {
    let text = std::fs::read_to_string(output_of("na16_metal_gamma_ok.inp")).unwrap();
    let (_, text) = text.split_once("&COORD").unwrap();
    let (text, _) = text.split_once("&END COORD").unwrap();
    let rows = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Na "));
    let positions: Vec<[f64; 3]> = rows.map(|row| dialect::triple(row).unwrap()).collect();
    let element = Element::from_symbol("Na").unwrap();
    let cell = Cell::orthorhombic([8.4; 3]).unwrap();
    Structure::new(cell, vec![element; 16], positions).unwrap()
}

const SODIUM: &str = r#"
kind = "cp2k"
template = "metal"
cutoff = 80
basis_files = ["BASIS_MOLOPT_UZH"]
potential_file = "POTENTIAL_UZH"
kinds.Na = { basis = "DZVP-MOLOPT-PBE-GTH-q1", potential = "GTH-PBE-q1" }
"#;

/// A program called cp2k that answers `--version` and otherwise runs `script`.
fn fake(folder: &Path, script: &str) -> String {
    let path = folder.join("cp2k.fake");
    let text = format!(
        "#!/bin/sh\nif [ $1 = --version ]; then echo ' CP2K version 2023.1'; exit; fi\n{script}\n"
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn labeller(extra: &str) -> Result<Arc<dyn Labeller>> {
    let base = match extra.contains("cutoff = ") {
        true => SODIUM.replace("cutoff = 80\n", ""),
        false => SODIUM.to_owned(),
    };
    let config = LabellerConfig::from_toml(&format!("{base}\n{extra}"))?;
    from_config(&config, Path::new("."), &StopFlag::default())
}

fn output_of(name: &str) -> String {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data/labeller-outputs/cp2k");
    folder.join(name).display().to_string()
}

/// The verdict on a fake program's doings.
fn verdict(script: &str, extra: &str) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let program = fake(folder.path(), script);
    let labeller = labeller(&format!("command = ['{program}']\n{extra}")).unwrap();
    let cache = LabelCache::open(folder.path().join("cache")).unwrap();
    let work = folder.path().join("work");
    let runner = LabelRunner::new(labeller, Limits::default(), cache, work).unwrap();
    runner.label(&sodium()).unwrap().verdict
}

fn reason(verdict: Verdict) -> String {
    match verdict {
        Verdict::Rejected { reason, .. } => reason,
        Verdict::Accepted(label) => panic!("accepted {label:?}"),
    }
}

#[test]
fn runs_of_a_stored_program_have_the_right_verdicts() {
    let cat = |name: &str| format!("cat {}", output_of(name));
    let k222 = |script: &str| verdict(script, "cutoff = 150.0");
    let k333 = verdict(
        &cat("na16_metal_k222_ok.out"),
        "cutoff = 150.0\nkpoints = [3, 3, 3]",
    );
    assert!(reason(k333).contains("k-points"));
    assert!(matches!(
        k222(&cat("na16_metal_k222_ok.out")),
        Verdict::Accepted(_)
    ));
    // The output of an input with another cutoff.
    let other = verdict(&cat("na16_metal_k222_ok.out"), "cutoff = 80.0");
    assert!(reason(other).contains("the cutoff is 150"));
    let failed = format!("{}; exit 9", cat("na16_metal_k222_ok.out"));
    assert!(reason(k222(&failed)).contains('9'));
    let open = cat("na16_maxscf4_notconverged.out");
    assert!(reason(verdict(&open, "")).contains("did not converge"));
    let net = cat("na16_semicore_low_cutoff_netforce.out");
    assert!(reason(verdict(&net, "cutoff = 300.0")).contains("net force"));
    let other = cat("nacl8_gamma_ok.out");
    assert!(reason(verdict(&other, "cutoff = 300.0")).contains("8 atoms"));
    assert!(reason(verdict("kill -9 $$", "")).contains("killed"));
    assert!(reason(verdict("sleep 60", "timeout = 0.2")).contains("time limit"));
}

/// What a program may do to a reader: a FIFO for its output, a gigabyte, escape codes.
#[test]
fn a_program_that_misbehaves_gets_a_reason() {
    let start = std::time::Instant::now();
    let fifo = reason(verdict("rm -f label.out; mkfifo label.out", ""));
    assert!(fifo.contains("FIFO"), "{fifo}");
    let large = reason(verdict("truncate -s 1G label.out", ""));
    assert!(large.contains("1024 MB"), "{large}");
    let codes = r"printf ' [ABORT]\n         \033[2J\033[31mno basis\007 set\n'";
    let codes = reason(verdict(codes, ""));
    assert!(codes.contains("no basis set"), "{codes:?}");
    assert!(!codes.contains(char::is_control), "{codes:?}");
    // A FIFO that nobody writes to must not hold up a quoted log either.
    let failed = reason(verdict("rm -f label.out; mkfifo label.out; exit 3", ""));
    assert!(failed.contains("status 3"), "{failed}");
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn a_label_without_a_virial_is_refused_where_one_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(output_of("na16_metal_gamma_ok.out")).unwrap();
    let text = text.replace("STRESS|", "");
    let text = text.replace("stress tensor [GPa]", "");
    std::fs::write(folder.path().join("out"), text).unwrap();
    let script = format!("cat {}", folder.path().join("out").display());
    let program = fake(folder.path(), &script);
    let runner = |needed: bool| {
        let labeller = labeller(&format!("command = ['{program}']\ncutoff = 150.0")).unwrap();
        let cache = LabelCache::open(folder.path().join("cache")).unwrap();
        let work = folder.path().join("work");
        let runner = LabelRunner::new(labeller, Limits::default(), cache, work).unwrap();
        runner.needing_virials(needed)
    };
    let sodium = sodium();
    let refused = reason(runner(true).label(&sodium).unwrap().verdict);
    assert!(refused.contains("no virial") && refused.contains("STRESS_TENSOR"));
    // The values are there for those who need none, and the lack is told.
    let free = runner(false).label(&sodium).unwrap();
    assert!(free.cached);
    let line = crate::label::virials_missing([(&sodium, &free.verdict)]).unwrap();
    assert!(
        line.contains("1 of 1") && line.contains("STRESS_TENSOR"),
        "{line}"
    );
    assert!(matches!(free.verdict, Verdict::Accepted(_)));
    reason(runner(true).label(&sodium).unwrap().verdict);
}

#[test]
fn the_program_gets_input_threads_and_folder() {
    let script = format!(
        "[ $1 = -i ] && [ $OMP_NUM_THREADS = 3 ] && grep -q 'CUTOFF .Ry. 150' $2 && cat {}",
        output_of("na16_metal_gamma_ok.out")
    );
    assert!(matches!(
        verdict(&script, "threads = 3\ncutoff = 150.0"),
        Verdict::Accepted(_)
    ));
}

#[test]
fn settings_tell_everything_that_matters() {
    let folder = tempfile::tempdir().unwrap();
    let program = fake(folder.path(), "");
    let settings = |extra: &str| {
        labeller(&format!("command = ['{program}']\n{extra}"))
            .unwrap()
            .settings()
    };
    let base = settings("");
    assert!(base.contains("CP2K version 2023.1") && base.contains("GTH-PBE-q1"));
    for change in [
        "max_scf = 61",
        "kpoints = [2, 2, 2]",
        "version = '2024.1'",
        "mixing = 0.2",
    ] {
        assert_ne!(settings(change), base, "{change}");
    }
    for same in ["threads = 2", "timeout = 5"] {
        assert_eq!(settings(same), base, "{same}");
    }
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let message = |extra: &str| labeller(extra).err().unwrap().to_string();
    assert!(message("command = ['/no/such/cp2k']").contains("/no/such/cp2k"));
    assert!(message("kpoints = [2, 2, 2]\nkspacing = 0.2").contains("kspacing"));
    assert!(message("kpoints = [2, 0, 2]").contains("kpoints"));
    assert!(message("mixing = -1").contains("mixing"));
    let cutof = message("cutof = 5");
    assert!(
        cutof.contains("cutof") && cutof.contains("`cutoff`?"),
        "{cutof}"
    );
    assert!(message("pseudopotentials.Na = 'x'").contains("pseudopotentials"));
    assert!(message("threads = 0").contains("threads"));
}

#[test]
fn built_in_templates_refuse_molecules() {
    let labeller = labeller("version = 'any'").unwrap();
    let mut molecule = sodium();
    molecule.cell = Cell::isolated();
    let folder = tempfile::tempdir().unwrap();
    let error = labeller.label(&molecule, folder.path()).unwrap_err();
    assert!(error.to_string().contains("&POISSON"), "{error}");
}

#[test]
fn a_second_look_is_tighter() {
    let tight = |text: &str| {
        let base: DftSettings = toml::from_str(&format!("template = 'metal'\n{text}")).unwrap();
        let table = base.tight(Code::Cp2k.dialect());
        let ladder = Ladder::new("cp2k", &base, &[], table, Ok).unwrap();
        ladder.tight().map(|_| ladder.at(1).clone())
    };
    let found = tight("kspacing = 0.4\neps_scf = 1e-6").unwrap();
    assert!((found.eps_scf.unwrap() - 1e-7).abs() < 1e-15 && found.max_scf == Some(120));
    assert!((found.kspacing.unwrap() - 0.3).abs() < 1e-12);
    assert_eq!(found.mixing, None);
    // A table of the user's own, or none.
    let own = tight("tight = { cutoff = 600.0 }").unwrap();
    assert_eq!((own.cutoff, own.eps_scf), (Some(600.0), None));
    assert!(tight("tight = {}").is_none());
}
