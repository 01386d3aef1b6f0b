//! `label`: programs that misbehave, and labels that lack something.

use crate::campaign::CAMPAIGN;
use crate::{run, succeed};
use std::path::Path;

/// Two silicon cells, and a campaign whose labels a shell script makes from `$1` in `$2`.
fn folder(script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let frame = |x: f64| {
        format!(
            "2\nLattice=\"5 0 0 0 5 0 0 0 5\" Properties=species:S:1:pos:R:3 pbc=\"T T T\"\nSi 0 0 0\nSi {x} 2 2\n"
        )
    };
    std::fs::write(file("s.xyz"), frame(1.5) + &frame(1.6)).unwrap();
    std::fs::write(file("label.sh"), script).unwrap();
    let label = format!(
        "kind = \"command\"\nmethod = \"test\"\ncommand = [\"sh\", \"{}\", \"{{input}}\", \"{{output}}\"]",
        file("label.sh").display()
    );
    std::fs::write(file("c.toml"), CAMPAIGN.replace("@LABEL@", &label)).unwrap();
    dir
}

const LABEL: [&str; 7] = [
    "label",
    "--config",
    "c.toml",
    "--structures",
    "s.xyz",
    "--out",
    "out.xyz",
];

/// Nothing but labels stays behind.
fn is_clean(folder: &Path) {
    assert!(!folder.join("work/running").exists());
}

#[test]
fn labels_without_a_virial_are_told() {
    let dir = folder(
        "sed -e '2s/pos:R:3/pos:R:3:forces:R:3 energy=-9.5/' -e '3,$s/$/ 0 0 0/' \"$1\" >\"$2\"",
    );
    let output = run(dir.path(), &LABEL);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2 of 2 labels have no virial"), "{said}");
    is_clean(dir.path());
    let again = succeed(dir.path(), &LABEL);
    assert!(again.contains("2 of 2 structures labelled"), "{again}");
}

#[test]
fn programs_that_misbehave_are_counted_by_what_they_did() {
    let refused = |script: &str| {
        let dir = folder(script);
        let start = std::time::Instant::now();
        let output = run(dir.path(), &LABEL);
        assert!(start.elapsed().as_secs() < 60);
        assert_eq!(output.status.code(), Some(1));
        is_clean(dir.path());
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(!all.contains('\u{1b}') && !all.contains('\u{7}'), "{all:?}");
        all
    };
    let fifo = refused("mkfifo \"$2\"");
    assert!(
        fifo.contains("rejected: 2 x cannot read output.xyz"),
        "{fifo}"
    );
    let large = refused("truncate -s 1G \"$2\"");
    assert!(
        large.contains("rejected: 2 x output.xyz has 1024 MB"),
        "{large}"
    );
    let path = refused("pwd; printf '\\033[31mno basis\\007\\n'; exit 4");
    assert!(
        path.contains("rejected: 2 x ") && path.contains("no basis"),
        "{path}"
    );
}

#[test]
fn a_key_that_does_not_exist_suggests_one_that_does() {
    let dir = folder("true");
    let path = dir.path().join("c.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("parallel = 1", "paralell = 1")).unwrap();
    let said = crate::fail(dir.path(), &LABEL);
    assert!(said.contains("did you mean `parallel`?"), "{said}");
}

#[test]
fn other_settings_are_compared_before_they_are_paid_for() {
    let dir = folder(
        "case $FINE in 1) e=-9.7 f=0.3;; *) e=-9.5 f=0.1;; esac\nsed -e \"2s/pos:R:3/pos:R:3:forces:R:3 energy=$e/\" -e \"3s/\\$/ $f 0 0/\" -e \"4s/\\$/ -$f 0 0/\" \"$1\" >\"$2\"",
    );
    let with = |settings: &str| {
        let mut words = LABEL.to_vec();
        words.extend(["--against", settings]);
        run(dir.path(), &words)
    };
    let other = with("method = \"fine\", env = { FINE = \"1\" }");
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(other.status.success(), "{said}");
    assert!(
        said.contains("energy -100.0 ± 0.0 meV/atom, force 115.5 meV/Å rms (200.0 % of their size), 200 at most"),
        "{said}"
    );
    // Nothing is computed where a setting is none.
    for wrong in ["methd = \"fine\"", "method"] {
        let refused = with(wrong);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains("--against"),
            "{said}"
        );
    }
    is_clean(dir.path());
}

#[test]
fn fragments_of_the_user_are_trained_on_as_fragments_labelled_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let lattice = 5.43;
    let sites = [
        [0.0, 0.0, 0.0],
        [0.0, 0.5, 0.5],
        [0.5, 0.0, 0.5],
        [0.5, 0.5, 0.0],
        [0.25, 0.25, 0.27],
        [0.25, 0.75, 0.75],
        [0.75, 0.25, 0.75],
        [0.75, 0.75, 0.25],
    ];
    let fragment = |with: &str, label: &str| {
        let mut text = format!(
            "8\nLattice=\"{lattice} 0 0 0 {lattice} 0 0 0 {lattice}\" Properties=species:S:1:pos:R:3:mask:R:1:core:I:1{with} weight=0.5 energy_weight=0.25 parent_atom=7 {label} pbc=\"T T T\"\n"
        );
        for (k, r) in sites.iter().enumerate() {
            let [x, y, z] = r.map(|s| s * lattice);
            let core = usize::from(k == 4);
            let forces = if with.is_empty() { "" } else { " 0 0 0" };
            text += &format!("Si {x} {y} {z} {core} {core}{forces}\n");
        }
        text
    };
    std::fs::write(dir.path().join("bare.xyz"), fragment("", "")).unwrap();
    // Another structure than the bare one: of one structure there is one label.
    let labelled = fragment(":forces:R:3", "energy=-34").replacen("Si 0 0 0 ", "Si 0 0 0.05 ", 1);
    std::fs::write(dir.path().join("labelled.xyz"), labelled).unwrap();
    let sources = "[[initial]]\nfile = \"bare.xyz\"\n[[initial]]\nfile = \"labelled.xyz\"\nlabelled = true\n\n[[test]]";
    let text = CAMPAIGN
        .replace("@LABEL@", crate::campaign::BUILT_IN)
        .replacen("[[test]]", sources, 1)
        .replace("max_rounds = 2", "max_rounds = 1");
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let train = std::fs::read_to_string(dir.path().join("work/final/train.xyz")).unwrap();
    let lines: Vec<&str> = train.lines().collect();
    let heads: Vec<usize> = (0..lines.len())
        .filter(|&k| lines[k].contains("parent_atom=7"))
        .collect();
    assert_eq!(heads.len(), 2, "{train}");
    for head in heads {
        for word in [
            "mask:R:1",
            "core:I:1",
            "energy_weight=0.25",
            " weight=0.5",
            "forces:R:3",
        ] {
            assert!(lines[head].contains(word), "{word}: {}", lines[head]);
        }
        // A cell's stress is the boundary's as much as the core's.
        assert!(!lines[head].contains("virial"), "{}", lines[head]);
    }
}
