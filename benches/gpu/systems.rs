//! The four models, carried in the program, and crystals for them.

use nepal::grade::{ActiveSet, BuildOptions, Features};
use nepal::{BackendKind, Cell, Element, Model, Structure};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model with its crystal.
pub struct System {
    pub name: &'static str,
    pub model: Arc<Model>,
    /// Edge of the cubic cell, Å, and the sites in it with a model's type, or any.
    edge: f64,
    sites: Vec<([f64; 3], Option<u32>)>,
}

/// A small generator of numbers in [0, 1) (constants of Knuth's MMIX generator).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

const FCC: [[f64; 3]; 4] = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];

fn model(name: &str, text: &[u8]) -> Arc<Model> {
    Arc::new(Model::parse(text, name).expect("a model of the tests"))
}

pub fn all() -> Vec<System> {
    let with = |shift: f64, first: Option<u32>, second: Option<u32>| {
        let moved = FCC.map(|r| (r.map(|x| x + shift), second));
        FCC.map(|r| (r, first)).into_iter().chain(moved).collect()
    };
    let carbon = include_bytes!("../../tests/data/c_2024_nep4/nep.txt");
    let silicon = include_bytes!("../../tests/data/si_2022_nep4_3body/nep.txt");
    let pbte = include_bytes!("../../tests/data/pbte_nep_train/nep.txt");
    let packed: &[u8] = include_bytes!("../../tests/data/unep_v1_16_metals/nep.txt.gz");
    let mut unep = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut unep)
        .expect("a whole file");
    let pbte = model("PbTe", pbte);
    let lead = pbte.type_of(Element::from_symbol("Pb").expect("an element"));
    let lead = lead.expect("PbTe has lead");
    vec![
        System {
            name: "carbon",
            model: model("carbon", carbon),
            edge: 3.567,
            sites: with(0.25, Some(0), Some(0)),
        },
        System {
            name: "silicon",
            model: model("silicon", silicon),
            edge: 5.431,
            sites: with(0.25, Some(0), Some(0)),
        },
        System {
            name: "PbTe",
            model: pbte,
            edge: 6.46,
            sites: with(0.5, Some(lead), Some(1 - lead)),
        },
        System {
            name: "UNEP-v1",
            model: model("UNEP-v1", &unep),
            edge: 4.0,
            sites: FCC.map(|r| (r, None)).to_vec(),
        },
    ]
}

/// The models in a folder and those below it, with the names of their folders.
pub fn below(folder: &Path) -> Vec<(String, Arc<Model>)> {
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    files.sort();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    for file in files {
        if file.is_dir() {
            found.extend(below(&file));
            continue;
        }
        // Models that nepal refuses are there for its errors.
        let model = if file.ends_with("nep.txt") {
            Model::load(&file).ok()
        } else if file.ends_with("nep.txt.gz") {
            let packed = std::fs::File::open(&file).expect("a file of the folder");
            let text = std::io::BufReader::new(flate2::read::GzDecoder::new(packed));
            Model::parse(text, "nep.txt.gz").ok()
        } else {
            None
        };
        found.extend(model.map(|model| (name.clone().into_owned(), Arc::new(model))));
    }
    found
}

impl System {
    /// A model with a crystal of any elements, about as dense as rock salt.
    pub fn of_any(name: &'static str, model: Arc<Model>) -> Self {
        Self {
            name,
            model,
            edge: 4.6,
            sites: FCC.map(|r| (r, None)).to_vec(),
        }
    }

    /// The active set that is kept in a folder, made if it is not there.
    pub fn kept_set(&self, folder: Option<&Path>, quick: bool) -> Arc<ActiveSet> {
        let Some(folder) = folder else {
            return self.active_set(quick);
        };
        let file = folder.join(format!("{}.nas", self.name));
        if let Ok(set) = ActiveSet::load(&file, &self.model) {
            return Arc::new(set);
        }
        let set = self.active_set(quick);
        std::fs::create_dir_all(folder).expect("a folder for active sets");
        set.save(&file).expect("an active set is kept");
        set
    }

    /// A crystal of at least so many atoms, rattled.
    pub fn crystal(&self, size: usize) -> Structure {
        let mut n = 1;
        while n * n * n * self.sites.len() < size {
            n += 1;
        }
        let mut random = Random(3);
        let elements = self.model.elements();
        let (mut chosen, mut positions) = (Vec::new(), Vec::new());
        for cell in 0..n * n * n {
            let corner = [cell / (n * n), cell / n % n, cell % n];
            for (site, kind) in &self.sites {
                let any = (random.next() * elements.len() as f64) as usize;
                chosen.push(elements[kind.map_or(any, |t| t as usize)]);
                positions.push(std::array::from_fn(|d| {
                    let x = (corner[d] as f64 + site[d]) * self.edge;
                    x + 0.1 * (random.next() - 0.5)
                }));
            }
        }
        let edge = n as f64 * self.edge;
        let cell = Cell::orthorhombic([edge; 3]).expect("a cube");
        Structure::new(cell, chosen, positions).expect("as many elements as positions")
    }

    /// An active set from rattled crystals, more widely than the ones that are timed.
    pub fn active_set(&self, quick: bool) -> Arc<ActiveSet> {
        let count = if quick { 2 } else { 24 };
        let mut random = Random(7);
        let structures: Vec<Structure> = (0..count)
            .map(|_| {
                let mut structure = self.crystal(100);
                for r in &mut structure.positions {
                    for x in r {
                        *x += 0.3 * (random.next() - 0.5);
                    }
                }
                structure
            })
            .collect();
        let mut cpu = BackendKind::Cpu.create().expect("the cpu backend");
        let features = Features::collect(&self.model, cpu.as_mut(), &structures);
        let features = features.expect("features of crystals");
        let built = ActiveSet::build(&self.model, &features, &BuildOptions::default());
        Arc::new(built.expect("an active set").0)
    }

    pub fn types(&self, structure: &Structure) -> Vec<u32> {
        self.model
            .types_of(&structure.elements)
            .expect("its own elements")
    }
}
