//! What reference programs leave behind. A label that is accepted for the structure that its output is of must not be
//! accepted for another one.

use super::{check_message, pack, text, unpack};
use nepal::units::BOHR;
use nepal::{Cell, Element, Structure};
use nepal_loop::label::{
    Attempt, Ending, Labeller, LabellerConfig, Limits, StopFlag, Verdict, from_config,
};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A method, the structure that its seeds are labels of, and structures that they are not labels of.
struct Asked {
    method: Arc<dyn Labeller>,
    structure: Structure,
    others: Vec<Structure>,
}

type Lazy = LazyLock<Asked>;

fn asked(method: &str, structure: Structure) -> Asked {
    let config = LabellerConfig::from_toml(method).expect("settings");
    let method = from_config(&config, Path::new("."), &StopFlag::default()).expect("a method");
    let vectors = *structure.cell.vectors();
    let mut stretched = structure.clone();
    let longer = [vectors[0], vectors[1], vectors[2].map(|x| 1.013 * x)];
    stretched.cell = Cell::new(longer, [true; 3]).expect("a cell");
    let mut moved = structure.clone();
    moved.positions[1][2] += 0.0137;
    let mut renamed = structure.clone();
    renamed.elements[0] = Element::from_symbol("Xe").expect("an element");
    Asked {
        method,
        structure,
        others: vec![stretched, moved, renamed],
    }
}

/// The verdict, by the limits that campaigns have.
fn accepted(asked: &Asked, structure: &Structure, workdir: &Path) -> bool {
    let attempt = Attempt {
        rung: 0,
        workdir,
        ending: Ending::Exited(0),
        timeout: Duration::from_secs(1),
        seconds: 1.0,
    };
    match asked
        .method
        .collect(structure, &attempt)
        .expect("a verdict")
    {
        Verdict::Accepted(label) => {
            if let Some(reason) = Limits::default().violation(&label, structure) {
                check_message(&reason);
                return false;
            }
            assert_eq!(label.forces.len(), structure.len());
            super::check_frame(&label.frame(structure));
            true
        }
        Verdict::Rejected { reason, .. } => {
            check_message(&reason);
            false
        }
    }
}

/// `marks` head what the output says of its structure: cell, positions, elements. Nothing can be compared without.
fn label(asked: &Asked, bytes: &[u8], file: &str, marks: &[&str]) -> bool {
    let folder = unpack(bytes);
    let good = accepted(asked, &asked.structure, folder.path());
    let text = std::fs::read(folder.path().join(file)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if good && marks.iter().all(|mark| text.contains(mark)) {
        for (other, what) in asked.others.iter().zip(["cell", "position", "element"]) {
            let wrong = accepted(asked, other, folder.path());
            assert!(!wrong, "the label of another {what} is accepted");
        }
    }
    good
}

fn structure(cell: [[f64; 3]; 3], atoms: Vec<(&str, [f64; 3])>) -> Structure {
    let (symbols, positions): (Vec<&str>, _) = atoms.into_iter().unzip();
    let elements = symbols
        .iter()
        .map(|s| Element::from_symbol(s).expect("an element"));
    let cell = Cell::new(cell, [true; 3]).expect("a cell");
    Structure::new(cell, elements.collect(), positions).expect("a structure")
}

fn cube(a: f64) -> [[f64; 3]; 3] {
    [[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]]
}

/// The first three numbers of each line from the one after `head`, as many as there are.
fn rows(text: &str, head: &str, skip: usize) -> Vec<[f64; 3]> {
    let (_, block) = text.split_once(head).expect(head);
    let row = |line: &str| {
        let numbers: Vec<f64> = line
            .split_whitespace()
            .filter_map(|w| w.parse().ok())
            .collect();
        numbers.get(skip..)?.first_chunk().copied()
    };
    block.lines().skip(1).map_while(row).collect()
}

fn with<'a>(symbols: &[&'a str], places: &[[f64; 3]]) -> Vec<(&'a str, [f64; 3])> {
    let pairs = places.iter().enumerate();
    pairs
        .map(|(k, r)| (symbols[k % symbols.len()], *r))
        .collect()
}

static CP2K: Lazy = Lazy::new(|| {
    let input = text("labeller-outputs/cp2k/nacl8_gamma_ok.inp");
    let atoms = rows(&input, "UNIT angstrom", 0);
    let atoms = with(&["Na", "Cl"], &atoms);
    asked(
        "kind = 'cp2k'\ntemplate = 'insulator'\nversion = '1'\ncutoff = 300",
        structure(cube(5.7), atoms),
    )
});

pub fn cp2k_seeds() -> Vec<Vec<u8>> {
    let of = |name: &str| text(&format!("labeller-outputs/cp2k/{name}"));
    let medium = of("nacl8_gamma_ok.out");
    vec![pack(&[("label.out", medium.as_bytes())])]
}

pub fn cp2k(bytes: &[u8]) -> bool {
    label(
        &CP2K,
        bytes,
        "label.out",
        &["CELL| Vector", "ATOMIC COORDINATES IN "],
    )
}

static QE: Lazy = Lazy::new(|| {
    let output = text("labeller-outputs/qe/nacl8_gamma_ok.out");
    let unit: Vec<&str> = output
        .split("celldm(1)=")
        .nth(1)
        .expect("a unit")
        .split_whitespace()
        .collect();
    let unit: f64 = unit[0].parse().expect("a length");
    let rows = output.lines().filter(|line| line.contains("tau("));
    let atoms = rows.map(|line| {
        let symbol = line.split_whitespace().nth(1).expect("an element");
        let place = line.split("= (").nth(1).expect("a place");
        let mut numbers = place
            .split_whitespace()
            .filter_map(|w| w.parse::<f64>().ok());
        let r = std::array::from_fn(|_| numbers.next().expect("three") * unit * BOHR);
        (symbol, r)
    });
    let atoms: Vec<_> = atoms.collect();
    asked(
        "kind = 'qe'\ntemplate = 'insulator'\nversion = '1'",
        structure(cube(unit * BOHR), atoms),
    )
});

pub fn qe_seeds() -> Vec<Vec<u8>> {
    let output = text("labeller-outputs/qe/nacl8_gamma_ok.out");
    vec![pack(&[("label.log", output.as_bytes())])]
}

pub fn qe(bytes: &[u8]) -> bool {
    label(
        &QE,
        bytes,
        "label.log",
        &["crystal axes:", "positions (alat units)"],
    )
}

static ABINIT: Lazy = Lazy::new(|| {
    let output = text("labeller-outputs/abinit/si8_k222_ok.abo");
    let atoms = rows(&output, "cartesian coordinates (angstrom) at end:", 1);
    let atoms = with(&["Si"], &atoms);
    asked(
        "kind = 'abinit'\ntemplate = 'insulator'\nversion = '1'",
        structure(cube(5.47), atoms),
    )
});

pub fn abinit_seeds() -> Vec<Vec<u8>> {
    let output = text("labeller-outputs/abinit/si8_k222_ok.abo");
    vec![pack(&[("label.abo", output.as_bytes())])]
}

pub fn abinit(bytes: &[u8]) -> bool {
    label(
        &ABINIT,
        bytes,
        "label.abo",
        &[
            "R(1)=",
            "cartesian coordinates (angstrom) at end:",
            "echo values of preprocessed input variables",
            " znucl ",
        ],
    )
}

/// An OUTCAR without what is of no concern, nine tenths of it.
static OUTCAR: LazyLock<String> = LazyLock::new(|| {
    const KEPT: [(&str, usize); 12] = [
        ("vasp.", 1),
        ("VRHFIN", 1),
        ("TITEL", 1),
        ("ions per type", 1),
        ("ENCUT", 1),
        ("NSW", 1),
        ("EDIFF", 1),
        ("in kB", 1),
        ("direct lattice vectors", 5),
        ("TOTAL-FORCE", 6),
        ("free  energy", 1),
        ("energy  without", 1),
    ];
    let whole = text("labeller-outputs/vasp/Cu_single-point.OUTCAR");
    let mut kept = String::new();
    let mut left = 0;
    for line in whole.lines() {
        let found = KEPT.iter().find(|(mark, _)| line.contains(mark));
        left = found.map_or(left, |(_, more)| left.max(*more));
        if left > 0 {
            left -= 1;
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
});

static VASP: Lazy = Lazy::new(|| {
    let cell = rows(&OUTCAR, "direct lattice vectors", 0);
    let cell = [cell[0], cell[1], cell[2]];
    let (_, table) = OUTCAR.split_once("TOTAL-FORCE").expect("forces");
    let atoms = with(&["Cu"], &rows(table, "---", 0));
    asked(
        "kind = 'vasp'\ntemplate = 'metal'\nversion = '1'",
        structure(cell, atoms),
    )
});

pub fn vasp_seeds() -> Vec<Vec<u8>> {
    vec![pack(&[("OUTCAR", OUTCAR.as_bytes())])]
}

pub fn vasp(bytes: &[u8]) -> bool {
    label(
        &VASP,
        bytes,
        "OUTCAR",
        &["direct lattice vectors", "VRHFIN"],
    )
}

fn salt() -> Structure {
    structure(
        [[4.2, 0.0, 0.0], [0.3, 4.3, 0.0], [0.1, 0.2, 4.4]],
        vec![("Na", [0.1, 0.2, 0.3]), ("Cl", [2.0, 2.1, 2.2])],
    )
}

static COMMAND: Lazy =
    Lazy::new(|| asked("kind = 'command'\ncommand = 'true'\nmethod = 'x'", salt()));

pub fn command_seeds() -> Vec<Vec<u8>> {
    let lattice = "Lattice=\"4.2 0 0 0.3 4.3 0 0.1 0.2 4.4\"";
    let plain = format!(
        "2\n{lattice} Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 virial=\"1 2 3 2 5 6 3 6 9\" pbc=\"T T T\"\n\
         Na 0.1 0.2 0.3 0.1 0.2 0.3\nCl 2.0 2.1 2.2 -0.1 -0.2 -0.3\n"
    );
    let stress = plain.replace(
        "virial=\"1 2 3 2 5 6 3 6 9\"",
        "stress=\"0.1 0.2 0.3 0 0 0.1\" steps=9",
    );
    [plain, stress]
        .map(|text| pack(&[("output.xyz", text.as_bytes())]))
        .into()
}

pub fn command(bytes: &[u8]) -> bool {
    label(&COMMAND, bytes, "output.xyz", &[])
}

static LAMMPS: Lazy = Lazy::new(|| {
    let settings =
        "kind = 'lammps'\nelements = ['Na', 'Cl']\ncommands = ['pair_style zero 3']\nversion = '1'";
    asked(settings, salt())
});

pub fn lammps_seeds() -> Vec<Vec<u8>> {
    let out = b"-1.5 100 200 300 10 20 30 4.2 4.3 4.4 0.3 0.1 0.2 done\n";
    let dump = b"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS xy xz yz pp pp pp\n0 4.6 0.3\n0 4.5 0.1\n0 4.4 0.2\n\
                 ITEM: ATOMS id type xu yu zu fx fy fz\n1 1 0.1 0.2 0.3 0.1 0.2 0.3\n2 2 2.0 2.1 2.2 -0.1 -0.2 -0.3\n";
    vec![pack(&[("label.out", out), ("label.dump", dump)])]
}

pub fn lammps(bytes: &[u8]) -> bool {
    label(&LAMMPS, bytes, "label.out", &[])
}

pub fn pseudo_seeds() -> Vec<Vec<u8>> {
    [
        " PAW_PBE Si 05Jan2001\n 4.00000000000000\n parameters from PSCTR are:\n   VRHFIN =Si: s2p2\n   TITEL  = PAW_PBE Si 05Jan2001\n",
        "<UPF version=\"2.0.1\">\n<PP_HEADER\n  pseudo_type=\"NC\"\n  element = \"Si\"\n  z_valence=\"4.0\"\n/>\n</UPF>\n",
        "<PP_HEADER>\n   0   Version Number\n  Si                   Element\n   NC\n</PP_HEADER>\n",
        "Si  ONCVPSP  r_core= 1.6\n   14.0000  4.0000  170105  zatom,zion,pspd\n 8 11 1 4 600 0 pspcod\n",
        "<paw_dataset>\n<atom symbol=\"Si\" Z=\"14\" core=\"10\" valence=\"4\"/>\n</paw_dataset>\n",
    ]
    .map(|text| pack(&[("Si.psp", text.as_bytes())]))
    .into()
}

/// A file of silicon: accepted for it, and then never for another element.
pub fn pseudopotential(bytes: &[u8]) -> bool {
    let folder = unpack(bytes);
    let _ = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.path().join("Si.psp"));
    let given = |symbol: &str| {
        let settings = format!(
            "kind = 'abinit'\ntemplate = 'insulator'\nversion = '1'\npseudopotentials.{symbol} = 'Si.psp'"
        );
        let config = LabellerConfig::from_toml(&settings).expect("settings");
        from_config(&config, folder.path(), &StopFlag::default()).map(drop)
    };
    let here = given("Si");
    if let Err(error) = &here {
        check_message(&error.to_string());
    }
    // A file in no known form is for any element.
    here.is_ok()
}
