use super::*;
use crate::label::{LabelCache, LabelRunner, LabellerConfig, Limits, from_config};
use nepal::element::Element;
use nepal::system::Cell;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// bcc sodium, 16 atoms, displaced by hand so that no symmetry is left.
fn sodium() -> Structure {
    let a = 4.2;
    let mut positions = Vec::new();
    for i in 0..2 {
        for j in 0..2 {
            for k in 0..2 {
                for corner in [0.0, 0.5] {
                    let n = positions.len() as f64;
                    let site = [i, j, k].map(|x| (f64::from(x) + corner) * a);
                    positions.push(std::array::from_fn(|d| {
                        site[d] + 0.1 * (1.7 * n + 2.3 * d as f64).sin()
                    }));
                }
            }
        }
    }
    let element = Element::from_symbol("Na").unwrap();
    let cell = Cell::orthorhombic([2.0 * a; 3]).unwrap();
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
    let config = LabellerConfig::from_toml(&format!("{SODIUM}\n{extra}"))?;
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
    assert!(matches!(
        verdict(&cat("na16_metal_k222_ok.out"), ""),
        Verdict::Accepted(_)
    ));
    let failed = format!("{}; exit 9", cat("na16_metal_k222_ok.out"));
    assert!(reason(verdict(&failed, "")).contains('9'));
    let open = cat("na16_maxscf4_notconverged.out");
    assert!(reason(verdict(&open, "")).contains("did not converge"));
    let net = cat("na16_semicore_low_cutoff_netforce.out");
    assert!(reason(verdict(&net, "")).contains("net force"));
    let other = cat("nacl8_gamma_ok.out");
    assert!(reason(verdict(&other, "")).contains("8 atoms"));
    assert!(reason(verdict("kill -9 $$", "")).contains("killed"));
    assert!(reason(verdict("sleep 60", "timeout = 0.2")).contains("time limit"));
}

#[test]
fn the_program_gets_input_threads_and_folder() {
    let script = format!(
        "[ $1 = -i ] && [ $OMP_NUM_THREADS = 3 ] && grep -q 'CUTOFF .Ry. 80' $2 && cat {}",
        output_of("na16_metal_gamma_ok.out")
    );
    assert!(matches!(
        verdict(&script, "threads = 3"),
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
    assert!(message("cutof = 5").contains("cutof"));
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
    let settings = |text: &str| toml::from_str::<Cp2kSettings>(text).unwrap();
    let base = settings("template = 'metal'\nkspacing = 0.4\neps_scf = 1e-6");
    let tight: Cp2kSettings =
        ladder::overlay("cp2k", &base, &base.tight().expect("settings")).unwrap();
    assert!((tight.eps_scf - 1e-7).abs() < 1e-15 && tight.max_scf == 120);
    assert!((tight.kspacing.unwrap() - 0.3).abs() < 1e-12);
    assert_eq!(tight.mixing, base.mixing);
    // A table of the user's own, or none.
    let own = settings("template = 'metal'\ntight = { cutoff = 600.0 }");
    let tight: Cp2kSettings = ladder::overlay("cp2k", &own, &own.tight().unwrap()).unwrap();
    assert_eq!((tight.cutoff, tight.eps_scf), (600.0, own.eps_scf));
    assert!(settings("template = 'metal'\ntight = {}").tight().is_none());
}
