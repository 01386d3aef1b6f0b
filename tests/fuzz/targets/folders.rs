//! Projects of other programs, campaigns and what they keep, trajectories.

use super::{check_frame, check_message, pack, unpack};
use nepal::system::xyz::LabelKeys;
use nepal::{Cell, Element, Error, Structure};
use nepal_loop::campaign::import::{Project, import};
use nepal_loop::campaign::{Config, journal};
use nepal_loop::label::{Entry, Label, LabelCache, Limits};
use nepal_loop::schedule::Queue;

#[allow(dead_code)]
#[path = "../../../src/loop/campaign/engines/dump.rs"]
mod dump_file;
#[allow(unused_imports)]
#[path = "../../../src/loop/formats/poscar.rs"]
mod poscar_reader;

fn refused(error: &Error) -> bool {
    check_message(&error.to_string());
    false
}

pub fn dump_seeds() -> Vec<Vec<u8>> {
    let plain = b"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp ff\n0 5\n-1 4\n0 6\n\
                  ITEM: ATOMS id element xu yu zu f_nepal_grade\n1 Na 0.1 0.2 0.3 0.5\n2 Cl 2.0 2.1 2.2 1.5\n";
    let tilted = b"ITEM: TIMESTEP\n100\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS xy xz yz pp pp pp\n0 5.5 0.5\n0 5.25 0.2\n0 5 0.25\n\
                   ITEM: ATOMS id element xu yu zu f_nepal_grade\n1 Si 1 2 3 nan\n";
    vec![
        plain.to_vec(),
        [&plain[..], tilted].concat(),
        tilted.to_vec(),
    ]
}

/// A dump of LAMMPS.
pub fn dump(bytes: &[u8]) -> bool {
    let folder = unpack(&pack(&[("dump", bytes)]));
    match dump_file::read(&folder.path().join("dump")) {
        Ok(frames) => {
            frames.iter().for_each(|found| check_frame(&found.frame));
            !frames.is_empty()
        }
        Err(error) => refused(&error),
    }
}

pub fn poscar_seeds() -> Vec<Vec<u8>> {
    [
        "salt\n2.0\n2 0 0\n0 2 0\n0 0 2\n Na_pv Cl\n 1 1\nSelective dynamics\nDirect\n 0 0 0 T T T\n 0.5 0.5 0.25 F F F\n",
        "salt\n-64.0\n2 0 0\n0 2 0\n0 0 2\n Na Cl\n 1 1\nCartesian\n 0 0 0\n 0.5 0.5 0.25\n",
        "x\n1 1.1 0.9\n4 0 0\n1 4 0\n0 1 4\nSi\n2\nC\n0 0 0\n1 1 1\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// A POSCAR.
pub fn poscar_file(bytes: &[u8]) -> bool {
    match poscar_reader::parse(&String::from_utf8_lossy(bytes), "input") {
        Ok(structure) => {
            check_frame(&nepal::Frame::new(structure));
            true
        }
        Err(error) => refused(&error),
    }
}

/// An array of NumPy.
fn npy(shape: &str, kind: &str, values: &[f64]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let header = format!("{header:<117}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    for x in values {
        match kind {
            "<f4" => out.extend((*x as f32).to_le_bytes()),
            "<i4" => out.extend((*x as i32).to_le_bytes()),
            _ => out.extend(x.to_le_bytes()),
        }
    }
    out
}

/// Two frames of two atoms.
fn system(folder: &str, kind: &str, mixed: bool) -> Vec<(String, Vec<u8>)> {
    let coord = [0.0, 0.0, 0.0, 1.5, 1.5, 1.6, 0.0, 0.0, 0.1, 1.5, 1.6, 1.6];
    let force = [
        0.25, 0.0, 0.0, -0.25, 0.0, 0.0, 0.2, 0.0, 0.0, -0.2, 0.0, 0.0,
    ];
    let cell = [8.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 8.0].repeat(2);
    let virial = [1.0, 2.0, 3.0, 2.0, 5.0, 6.0, 3.0, 6.0, 9.0].repeat(2);
    let mut files = vec![
        ("type.raw", b"1\n0\n".to_vec()),
        ("type_map.raw", b"Cl\nNa\n".to_vec()),
        ("set.000/coord.npy", npy("2, 6", kind, &coord)),
        ("set.000/force.npy", npy("2, 6", kind, &force)),
        ("set.000/box.npy", npy("2, 9", kind, &cell)),
        ("set.000/virial.npy", npy("2, 9", kind, &virial)),
        ("set.000/energy.npy", npy("2,", kind, &[-3.0, -3.1])),
    ];
    if mixed {
        let types = npy("2, 2", "<i4", &[0.0, 1.0, 1.0, -1.0]);
        files.push(("set.000/real_atom_types.npy", types));
    }
    let files = files.into_iter();
    files
        .map(|(name, bytes)| (format!("{folder}{name}"), bytes))
        .collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    pack(&files)
}

pub fn deepmd_seeds() -> Vec<Vec<u8>> {
    vec![
        packed(&system("", "<f8", false)),
        packed(&system("data/", "<f4", false)),
        packed(&system("", "<f8", true)),
    ]
}

pub fn dp_gen_seeds() -> Vec<Vec<u8>> {
    let mut files = system("init/first/", "<f8", false);
    files.extend(system("iter.000000/02.fp/data.000/", "<f4", true));
    let param = br#"{"init_data_prefix": "init", "init_data_sys": ["first"]}"#;
    files.push(("param.json".to_owned(), param.to_vec()));
    vec![packed(&files)]
}

pub fn nep_maker_seeds() -> Vec<Vec<u8>> {
    let frame = |x: f64| {
        format!(
            "2\nEnergy=-2.5 pbc=\"T T T\" Lattice=\"4 0 0 0 4 0 0 0 4\" Virial=\"1 0 0 0 1 0 0 0 1\" \
             Properties=species:S:1:pos:R:3:forces:R:3\nNa 0 0 0 0.1 0 0\nNa {x} 2 2 -0.1 0 0\n"
        )
    };
    let all = [frame(2.0), frame(2.1)].concat();
    let model = super::data("synthetic_variants/nep4_minimal/nep.txt");
    vec![pack(&[
        ("train.xyz", all.as_bytes()),
        ("iter_1/scf.xyz", frame(2.1).as_bytes()),
        ("iter_1/nep.txt", &model),
        ("input/nep.in", b"type 1 Na\n"),
    ])]
}

fn project(kind: Project, bytes: &[u8]) -> bool {
    let folder = unpack(bytes);
    let told = Project::recognise(folder.path());
    let limits = Limits {
        max_net_force: 1.0,
        ..Limits::default()
    };
    match import(kind, folder.path(), None, &LabelKeys::default(), &limits) {
        Ok(found) => {
            assert!(told.is_ok(), "what can be imported is recognised: {told:?}");
            assert!(!found.frames.is_empty());
            for frame in &found.frames {
                check_frame(frame);
                assert!(frame.energy.is_some() && frame.forces.is_some());
            }
            true
        }
        Err(error) => refused(&error),
    }
}

pub fn deepmd(bytes: &[u8]) -> bool {
    project(Project::DeepMd, bytes)
}

pub fn dp_gen(bytes: &[u8]) -> bool {
    project(Project::DpGen, bytes)
}

pub fn nep_maker(bytes: &[u8]) -> bool {
    project(Project::NepMaker, bytes)
}

pub fn campaign_seeds() -> Vec<Vec<u8>> {
    let of = |name| {
        let path = super::root()
            .join("examples")
            .join(name)
            .join("campaign.toml");
        std::fs::read(path).expect(name)
    };
    ["nacl-tblite", "silicon", "sodium-cp2k"].map(of).into()
}

/// A campaign file; settings of numbers are ones.
pub fn campaign(bytes: &[u8]) -> bool {
    let folder = unpack(&pack(&[("campaign.toml", bytes)]));
    match Config::load(&folder.path().join("campaign.toml")) {
        Ok(config) => {
            assert!(!config.explore.is_empty() && !config.initial.is_empty());
            assert!(config.grade.save.is_finite() && config.grade.break_ > config.grade.save);
            for scenario in &config.explore {
                assert!((0.0..=0.1).contains(&scenario.timestep));
                assert!(
                    scenario
                        .temperature
                        .iter()
                        .all(|t| t.is_finite() && *t > 0.0)
                );
            }
            true
        }
        Err(error) => refused(&error),
    }
}

const HEAD: &str = r#"{"event":"KIND","version":1,"nepal":"0.1.0"}"#;

/// A log with checksums, and the same without, whose records are reached by damage.
fn logs(kind: &str, records: &[&str]) -> Vec<Vec<u8>> {
    let head = HEAD.replace("KIND", kind);
    let plain = [&[&head[..]], records].concat().join("\n") + "\n";
    let seal = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        nepal::sealed::seal(&value).expect("an object")
    };
    let sealed: Vec<String> = [&[&head.replace(":1,", ":2,")[..]], records]
        .concat()
        .iter()
        .map(|line| seal(line))
        .collect();
    vec![plain.into_bytes(), (sealed.join("\n") + "\n").into_bytes()]
}

pub fn journal_seeds() -> Vec<Vec<u8>> {
    logs(
        "journal",
        &[
            r#"{"event":"begin","step":"round-000/train","inputs":"ab"}"#,
            r#"{"event":"done","step":"round-000/train","inputs":"ab","outputs":{"round-000/nep.txt":"cd"},"seconds":1.5,"hashed":1}"#,
            r#"{"event":"accepted","steps":["round-000/train"]}"#,
        ],
    )
}

pub fn journal(bytes: &[u8]) -> bool {
    let folder = unpack(&pack(&[("journal.jsonl", bytes)]));
    match journal::finished_steps(folder.path()) {
        Ok(steps) => {
            assert!(steps.iter().all(|(_, seconds)| seconds.is_finite()));
            true
        }
        Err(error) => refused(&error),
    }
}

pub fn jobs_seeds() -> Vec<Vec<u8>> {
    let job = r#"{"key":"ab","attempt":0,"variant":0,"folder":"/scratch/ab","cores":1,"memory":null,"seconds":60.0}"#;
    let batch = format!(r#"{{"event":"batch","batch":"nepal-1","jobs":[{job}]}}"#);
    logs(
        "jobs",
        &[
            &batch,
            r#"{"event":"submitted","batch":"nepal-1","id":"17"}"#,
            r#"{"event":"ended","batch":"nepal-1","index":0,"how":"done","seconds":2.5}"#,
            &batch.replace("nepal-1", "nepal-2"),
        ],
    )
}

pub fn jobs(bytes: &[u8]) -> bool {
    let folder = unpack(&pack(&[("jobs.jsonl", bytes)]));
    match Queue::open_in(folder.path()) {
        Ok(open) => {
            assert!(open.iter().all(|ticket| ticket.job.seconds.is_finite()));
            true
        }
        Err(error) => refused(&error),
    }
}

const KEY: &str = "abcdef0123456789";

/// The file of a label, and its record alone, which gets a checksum.
pub fn cache_seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = LabelCache::open(folder.path()).expect("a cache");
    let label = Label {
        energy: -1.5,
        forces: vec![[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]],
        virial: Some([0.5; 9]),
        info: [("program".to_owned(), "x".to_owned())].into(),
    };
    cache.put(KEY, &label).expect("a label");
    let whole = std::fs::read(cache.label_path(KEY)).expect("a file");
    let at = whole.iter().position(|b| *b == b'\n').expect("a head");
    vec![whole[at + 1..].to_vec(), whole]
}

/// A stored label: what it says of a structure passes the limits only if it fits.
pub fn cache(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a folder");
    let cache = LabelCache::open(folder.path()).expect("a cache");
    let path = cache.label_path(KEY);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let content = match bytes.starts_with(b"{") {
        false => bytes.to_vec(),
        true => {
            let json = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            let sum = journal::hash_bytes(json);
            [format!("nepal-label-1 {sum}\n").as_bytes(), json, b"\n"].concat()
        }
    };
    std::fs::write(&path, content).expect("a file");
    let sodium = Element::from_symbol("Na").expect("an element");
    let cell = Cell::orthorhombic([4.0; 3]).expect("a cell");
    let structure = Structure::new(cell, vec![sodium; 2], vec![[0.0; 3], [2.0; 3]]);
    let structure = structure.expect("a structure");
    match cache.get(KEY) {
        Ok(Some(Entry::Accepted(label))) => {
            if Limits::default().violation(&label, &structure).is_none() {
                check_frame(&label.frame(&structure));
            }
            true
        }
        Ok(_) => false,
        Err(error) => refused(&error),
    }
}
