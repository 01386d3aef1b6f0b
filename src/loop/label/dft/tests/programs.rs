//! Labellers with fake programs: what they write, and what they refuse before anything runs.

use super::*;
use crate::label::{LabellerConfig, from_config};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// A program of the given name that runs `script`.
fn fake(folder: &Path, name: &str, script: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn labeller(kind: &str, base: &Path, extra: &str) -> Result<Arc<dyn Labeller>> {
    let text = format!("kind = \"{kind}\"\ntemplate = \"insulator\"\n{extra}");
    from_config(
        &LabellerConfig::from_toml(&text)?,
        base,
        &StopFlag::default(),
    )
}

#[test]
fn an_incar_that_asks_for_more_than_a_single_point_is_refused_before_it_runs() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("Na.POTCAR"), "").unwrap();
    let check = |incar: &str| {
        std::fs::write(base.path().join("INCAR"), incar).unwrap();
        let text = "kind = \"vasp\"\ntemplate = \"INCAR\"\nversion = \"6\"\ncommand = \"true\"\n\
                    pseudopotentials = { Na = \"Na.POTCAR\" }\nkspacing = 0.3";
        let stop = StopFlag::default();
        let vasp = from_config(
            &LabellerConfig::from_toml(text).unwrap(),
            base.path(),
            &stop,
        );
        vasp.unwrap().check(&cube(5.7, &[("Na", 1)]))
    };
    for incar in [
        "ENCUT = 400\nml_lmlff = .True.",
        "ENCUT = 400 ; ML_LMLFF=T # later\nML_MODE = run",
    ] {
        let error = check(incar).unwrap_err().to_string();
        assert!(error.contains("ML_LMLFF"), "{error}");
    }
    let error = check("NSW = 50 ! steps\nIBRION = 2").unwrap_err();
    assert!(error.to_string().contains("NSW = 50"), "{error}");
    check("NSW = 50\nIBRION = -1\n# ML_LMLFF = T\nML_LMLFF = .FALSE.").unwrap();
    check("NSW = 0\nISIF = 2").unwrap();
}

#[test]
fn each_code_gets_its_input_and_is_asked_for_its_version() {
    let base = tempfile::tempdir().unwrap();
    for file in ["Na.UPF", "Cl.UPF"] {
        std::fs::write(base.path().join(file), format!("{file}\n")).unwrap();
    }
    let salt = cube(5.7, &[("Na", 1), ("Cl", 1), ("Na", 1)]);
    let files = "pseudopotentials = { Na = \"Na.UPF\", Cl = \"Cl.UPF\" }\nkspacing = 0.3";

    let pw = fake(
        base.path(),
        "pw.x",
        &format!(
            "[ \"$1\" = --version ] && echo ' Program PWSCF v.6.7MaX starts on 21Nov2026' && exit\n\
             [ -s Na.UPF ] && [ -s Cl.UPF ] && grep -q 'K_POINTS automatic' label.in && cat {}",
            folder().join("qe/nacl8_gamma_ok.out").display()
        ),
    );
    let extra = format!("command = \"{pw}\"\nvalues = {{ ECUTWFC = \"40\" }}\n{files}");
    let qe = labeller("qe", base.path(), &extra).unwrap();
    assert!(qe.settings().contains("version PWSCF v.6.7MaX\n"));
    let work = tempfile::tempdir().unwrap();
    // Eight atoms in the output, three in the structure: read, and refused.
    let reason = rejected(qe.label(&salt, work.path()).unwrap());
    assert!(reason.contains("atoms"), "{reason}");
    let input = std::fs::read_to_string(work.path().join("label.in")).unwrap();
    assert!(
        input.contains("nat=3, ntyp=2, ecutwfc=40, ecutrho=320"),
        "{input}"
    );
    assert!(input.contains("K_POINTS automatic\n4 4 4 0 0 0"), "{input}");

    let extra =
        format!("command = \"true\"\nversion = \"9.6.2\"\nvalues = {{ ECUT = \"20\" }}\n{files}");
    let abinit = labeller("abinit", base.path(), &extra).unwrap();
    let work = tempfile::tempdir().unwrap();
    let reason = rejected(abinit.label(&salt, work.path()).unwrap());
    assert!(reason.contains("killed"), "{reason}");
    let input = std::fs::read_to_string(work.path().join("label.abi")).unwrap();
    assert!(
        input.contains("znucl 11 17\nnatom 3\ntypat 1 2 1"),
        "{input}"
    );
    assert!(input.contains("pseudos \"Na.UPF, Cl.UPF\""), "{input}");

    let extra =
        format!("command = \"true\"\nversion = \"6.4.2\"\nvalues = {{ ENCUT = \"300\" }}\n{files}");
    let vasp = labeller("vasp", base.path(), &extra).unwrap();
    let work = tempfile::tempdir().unwrap();
    rejected(vasp.label(&salt, work.path()).unwrap());
    let poscar = std::fs::read_to_string(work.path().join("POSCAR")).unwrap();
    assert!(poscar.contains("Na Cl\n2 1\nCartesian\n0.0000"), "{poscar}");
    assert!(
        poscar.lines().nth(9).unwrap().starts_with("0.2000"),
        "{poscar}"
    );
    let potcar = std::fs::read_to_string(work.path().join("POTCAR")).unwrap();
    assert_eq!(potcar, "Na.UPF\nCl.UPF\n");
}

/// Files of each format, given for the wrong element, are refused before anything runs.
#[test]
fn pseudopotentials_of_other_elements_are_refused_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    let given = |kind: &str, text: &str| {
        std::fs::write(base.path().join("file"), text).unwrap();
        let extra = "command = \"true\"\nversion = \"1\"\npseudopotentials = { Mg = \"file\" }";
        labeller(kind, base.path(), extra).map(drop)
    };
    for (kind, text) in [
        ("vasp", " PAW_PBE @ 08Apr2002\n   VRHFIN =@: s2p4\n"),
        ("qe", "<UPF>\n<PP_HEADER\n element=\"@\"/>"),
        ("abinit", "title\n # 2.0 170105 zatom,zion,pspd\n"),
    ] {
        let of = |symbol: &str, z: &str| text.replace('@', symbol).replace('#', z);
        given(kind, &of("Mg", "12.0")).unwrap();
        let message = given(kind, &of("O", "8.0")).unwrap_err().to_string();
        assert!(
            message.contains("of Mg is") && message.contains("for O"),
            "{message}"
        );
    }
    let both = "VRHFIN =Mg: 3s\nVRHFIN =O: 2p\n";
    let message = given("vasp", both).unwrap_err().to_string();
    assert!(message.contains("Mg and O"), "{message}");
    // Two files of one name would be one where the program runs.
    for folder in ["a", "b"] {
        std::fs::create_dir(base.path().join(folder)).unwrap();
        std::fs::write(base.path().join(folder).join("x.UPF"), folder).unwrap();
    }
    let extra = "command = \"true\"\nversion = \"1\"\npseudopotentials = { Mg = \"a/x.UPF\", O = \"b/x.UPF\" }";
    let same = labeller("qe", base.path(), extra).err().unwrap();
    assert!(same.to_string().contains("x.UPF"), "{same}");
}

#[test]
fn what_is_missing_is_named_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("Si.UPF"), "x").unwrap();
    let files = "pseudopotentials = { Si = \"Si.UPF\" }";
    let error = |kind: &str, extra: &str| {
        labeller(kind, base.path(), extra)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(error("vasp", &format!("command = \"true\"\n{files}")).contains("`version`"));
    assert!(error("qe", &format!("command = \"no-such-pw.x\"\n{files}")).contains("no-such-pw.x"));
    std::fs::write(base.path().join("no-atoms.in"), "@CELL@").unwrap();
    let own = format!("kind = \"qe\"\ntemplate = \"no-atoms.in\"\ncommand = \"true\"\n{files}");
    let config = LabellerConfig::from_toml(&own).unwrap();
    let refusal = from_config(&config, base.path(), &StopFlag::default()).err();
    assert!(refusal.unwrap().to_string().contains("@COORD@"));
    let gone = "command = \"true\"\nversion = \"1\"\npseudopotentials = { Si = \"gone.UPF\" }";
    assert!(error("qe", gone).contains("gone.UPF"));
    let qe = labeller(
        "qe",
        base.path(),
        &format!("command = \"true\"\nversion = \"7\"\n{files}"),
    );
    let qe = qe.unwrap();
    let work = tempfile::tempdir().unwrap();
    let refused = |s: &Structure| qe.label(s, work.path()).unwrap_err().to_string();
    assert!(refused(&cube(5.0, &[("Na", 1)])).contains("no pseudopotential for Na"));
    assert!(refused(&cube(5.0, &[("Si", 1)])).contains("@ECUTWFC@"));
    let slab = Structure {
        cell: Cell::new(*cube(5.0, &[("Si", 1)]).cell.vectors(), [true, true, false]).unwrap(),
        ..cube(5.0, &[("Si", 1)])
    };
    assert!(refused(&slab).contains("vacuum"));
}

/// What identifies labels that are paid for already: other words would pay for them again.
#[test]
fn settings_that_identify_labels_stay_as_they_were() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("t"), "@CELL@ @COORD@").unwrap();
    std::fs::write(base.path().join("Na.UPF"), "x").unwrap();
    let settings = |text: &str| {
        let text = format!("template = 't'\nversion = 'v'\nkspacing = 0.3\n{text}");
        let config = LabellerConfig::from_toml(&text).unwrap();
        let labeller = from_config(&config, base.path(), &StopFlag::default());
        labeller.unwrap().settings()
    };
    let digest = crate::label::setup::digest(&base.path().join("Na.UPF")).unwrap();
    assert_eq!(
        settings("kind = 'qe'\npseudopotentials.Na = 'Na.UPF'\nvalues.A = '1'"),
        format!(
            "@CELL@ @COORD@\nversion v\nkpoints None spacing Some(0.3)\n\
             pseudopotentials {{\"Na\": \"Na.UPF\"}}\nvalues {{\"A\": \"1\"}}\nfiles [\"Na.UPF {digest}\"]"
        )
    );
    let kinds = "kinds.Na = { basis = 'B', potential = 'P' }";
    assert_eq!(
        settings(&format!("kind = 'cp2k'\ncutoff = 80\n{kinds}")),
        "@CELL@ @COORD@\nversion v\nkpoints None spacing Some(0.3)\n\
         kinds {\"Na\": Kind { basis: \"B\", potential: \"P\" }}\n\
         values {\"ADDED_MOS\": \"10\", \"CUTOFF\": \"80\", \
         \"DATA_FILES\": \"    BASIS_SET_FILE_NAME BASIS_MOLOPT\\n    POTENTIAL_FILE_NAME GTH_POTENTIALS\", \
         \"ELECTRONIC_TEMPERATURE\": \"300\", \"EPS_SCF\": \"1e-6\", \"FUNCTIONAL\": \"PBE\", \
         \"MAX_SCF\": \"60\", \"MIXING\": \"0.3\", \"NAME\": \"label\", \"REL_CUTOFF\": \"40\"}\nfiles []"
    );
}
