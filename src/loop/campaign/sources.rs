//! Structures of a campaign file: from files or generators.

use super::config::Source;
use crate::explore::generate::{Distortion, distort, packing};
use crate::explore::phonons::Modes;
use crate::explore::prototypes::{Parameters, crystal};
use crate::explore::{Ensemble, Md, MdOptions, clusters, defects};
use crate::formats;
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::files::fnv1a;
use nepal::model::Model;
use nepal::system::xyz::{self, LabelKeys};
use nepal::system::{Frame, Structure};
use std::path::Path;
use std::sync::Arc;

/// Makes the model of now.
pub(super) type Own<'a> = &'a dyn Fn() -> Result<Box<dyn Potential>>;

/// Time constant of the thermostat that melts, ps.
const TAU: f64 = 0.05;

/// All structures of a list of sources. `tag` and `seed` make the random ones different from those
/// of other lists and the same in each run.
pub(super) fn frames(sources: &[Source], base: &Path, seed: u64, tag: &str) -> Result<Vec<Frame>> {
    frames_with(sources, base, seed, tag, None)
}

/// The same where there is a model by now, whose phonons displace what names no other; without one that stays as it
/// is.
pub(super) fn frames_with(
    sources: &[Source],
    base: &Path,
    seed: u64,
    tag: &str,
    model: Option<Own<'_>>,
) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let name = format!("{tag}[{index}]");
        let found = if source.file.is_some() && !source.changes() {
            from_file(source, base)?
        } else {
            generated(source, (base, model), seed, &name)
                .map_err(|e| Error::invalid(format!("{name}: {e}")))?
        };
        for (number, mut frame) in found.into_iter().enumerate() {
            frame.info.insert("origin".into(), name.clone());
            frame.info.insert("number".into(), number.to_string());
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Frames of a file; their labels count only if the user says so.
fn from_file(source: &Source, base: &Path) -> Result<Vec<Frame>> {
    let Some(file) = &source.file else {
        return Ok(Vec::new());
    };
    let path = base.join(file);
    let mut frames = formats::read_frames(&path)?;
    let mut doubts = String::new();
    if source.labelled {
        let told = xyz::resolve(&mut frames, &LabelKeys::default())?;
        doubts = told.doubts.iter().map(|text| format!("; {text}")).collect();
    }
    for (number, frame) in frames.iter_mut().enumerate() {
        if source.labelled {
            if frame.energy.is_none() || frame.forces.is_none() {
                return Err(Error::invalid(format!(
                    "{}, frame {}: labelled = true, but the frame has no energy or no forces{doubts}",
                    path.display(),
                    number + 1
                )));
            }
            frame.info.insert("label_source".into(), "file".into());
        } else {
            *frame = unlabelled(frame, frame.structure.clone());
        }
    }
    Ok(frames)
}

/// A structure with what its source says of its atoms and its weight: of a fragment, which atoms are its
/// core and which forces count.
fn unlabelled(from: &Frame, structure: Structure) -> Frame {
    const COLUMNS: [&str; 2] = ["core", "parent_id"];
    const KEYS: [&str; 4] = ["parent_", "fragment_", "target", "config_type"];
    let mut frame = Frame::new(structure);
    frame.weight = from.weight;
    frame.energy_weight = from.energy_weight;
    if frame.len() == from.len() {
        frame.force_mask = from.force_mask.clone();
        let kept = from
            .columns
            .iter()
            .filter(|c| COLUMNS.contains(&c.name.as_str()));
        frame.columns = kept.cloned().collect();
    }
    let told = from
        .info
        .iter()
        .filter(|(key, _)| KEYS.iter().any(|k| key.starts_with(k)));
    frame.info = told.map(|(k, v)| (k.clone(), v.clone())).collect();
    frame
}

fn generated(
    source: &Source,
    (base, model): (&Path, Option<Own<'_>>),
    seed: u64,
    name: &str,
) -> Result<Vec<Frame>> {
    let elements: Vec<Element> = source
        .elements
        .iter()
        .map(|symbol| Element::from_symbol(symbol))
        .collect::<Result<_>>()?;
    let seed_of = |number: usize| seed ^ fnv1a(format!("{name}/{number}").as_bytes());
    let (count, edge) = (source.count, source.lattice);
    let clusters = match source.prototype.as_deref() {
        Some("atom") => Some(clusters::atoms(&elements, edge)?),
        Some("dimer") => Some(clusters::dimers(&elements, count, edge)?),
        Some("trimer") => Some(clusters::trimers(&elements, count, edge, seed_of(0))?),
        _ => None,
    };
    if let Some(found) = clusters {
        return Ok(found.into_iter().map(Frame::new).collect());
    }
    let given = match &source.file {
        Some(_) => from_file(source, base)?,
        None => Vec::new(),
    };
    if source.file.is_some() && given.is_empty() {
        return Err(Error::invalid("the file holds no structure"));
    }
    let base_of = |number: usize| -> Result<Structure> {
        let prototype = source.prototype.as_deref().unwrap_or_default();
        if source.file.is_some() {
            let from = &given[number % given.len()].structure;
            from.repeated(source.repeat)
        } else if prototype == "packing" {
            packing(&elements, source.lattice, source.repeat, seed_of(number))
        } else {
            crystal(prototype, &elements, &source.parameters(), source.repeat)
        }
    };
    let mut mixes = vec![None];
    if let Some(composition) = &source.composition {
        let sites = composition.sites(&base_of(0)?)?.len();
        let counts = composition.counts(sites)?;
        mixes = counts.into_iter().map(|c| Some((composition, c))).collect();
    }
    (0..count * mixes.len())
        .map(|number| {
            let seed = seed_of(number);
            let mut start = base_of(number)?;
            if let Some((composition, counts)) = &mixes[number % mixes.len()] {
                start = composition.mixed(&start, source.lattice, counts, seed)?;
            }
            let now = changed(source, start, (base, model), seed)?;
            let Some(from) = given.get(number % given.len().max(1)) else {
                return Ok(Frame::new(now));
            };
            if from.force_mask.is_some() && from.len() != now.len() {
                return Err(Error::invalid(
                    "frames with a mask (fragments) keep their atoms: leave out repeat, slab, vacancies and interstitials",
                ));
            }
            Ok(unlabelled(from, now))
        })
        .collect()
}

/// Numbers of atoms of the elements that a source mixes, of each of its compositions; none if it does not.
///
/// **Errors**: those of the source.
pub(super) fn compositions(source: &Source, base: &Path, name: &str) -> Result<Vec<Vec<usize>>> {
    let Some(composition) = &source.composition else {
        return Ok(Vec::new());
    };
    let wrong = |e: Error| Error::invalid(format!("{name}: {e}"));
    // The sites, before anything is mixed or melted on them.
    let plain = Source {
        composition: None,
        melt: None,
        count: 1,
        ..source.clone()
    };
    let frames = generated(&plain, (base, None), 0, name).map_err(wrong)?;
    let first = frames
        .first()
        .ok_or_else(|| wrong(Error::invalid("no structure")))?;
    let sites = composition.sites(&first.structure).map_err(wrong)?;
    composition.counts(sites.len()).map_err(wrong)
}

impl Source {
    fn parameters(&self) -> Parameters {
        Parameters {
            a: self.lattice,
            c_over_a: self.c_over_a,
            u: self.u,
        }
    }
}

/// A structure with what a source asks for: surface, defects, strain and rattle, phonons or melting, in this order.
fn changed(
    source: &Source,
    start: Structure,
    (base, model): (&Path, Option<Own<'_>>),
    seed: u64,
) -> Result<Structure> {
    let mut now = start;
    if let Some(slab) = &source.slab {
        now = defects::slab(&now, slab.face, slab.layers, slab.vacuum)?;
    }
    now = defects::antisites(&now, source.antisites, seed)?;
    if source.interstitials > 0 {
        now = defects::interstitials(&now, source.interstitials, seed)?;
    }
    let distortion = Distortion {
        volume_strain: source.volume_strain,
        strain: source.strain,
        rattle: source.rattle,
        vacancies: source.vacancies,
    };
    now = distort(&now, &distortion, seed)?;
    if let Some(harmonic) = &source.harmonic {
        let named = harmonic.potential.as_ref();
        let potential: Option<Box<dyn Potential>> = match (named, model) {
            (Some(file), _) => Some(Box::new(calculator(&base.join(file))?)),
            (None, Some(own)) => Some(own()?),
            (None, None) => None,
        };
        if let Some(mut potential) = potential {
            let modes = Modes::of(&mut *potential, &now)?;
            now = modes.displaced(&now, harmonic.temperature, harmonic.quantum, seed);
        }
    }
    match &source.melt {
        None => Ok(now),
        Some(melt) => {
            let mut calculator = calculator(&base.join(&melt.potential))?;
            let options = MdOptions {
                ensemble: Ensemble::svr(TAU),
                temperature: (melt.temperature, melt.temperature),
                pressure: (0.0, 0.0),
                timestep: melt.timestep,
                steps: melt.steps,
                seed,
            };
            let mut md = Md::new(&mut calculator, &now, &options)?;
            md.run(&mut calculator, melt.steps, |_| ())?;
            let mut molten = md.state().structure.clone();
            for r in &mut molten.positions {
                *r = molten.cell.wrap(*r);
            }
            Ok(molten)
        }
    }
}

fn calculator(file: &Path) -> Result<Calculator> {
    Calculator::new(Arc::new(Model::load(file)?), BackendKind::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::system::frame::{Column, ColumnData};

    fn read(dir: &Path, toml: &str) -> Result<Vec<Frame>> {
        let source: Source = toml::from_str(toml).unwrap();
        frames(&[source], dir, 1, "initial")
    }

    #[test]
    fn fragments_of_the_user_keep_core_mask_and_weight() {
        let dir = tempfile::tempdir().unwrap();
        let text = "2\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3:forces:R:3:mask:R:1:core:I:1:energies:R:1 energy=1 weight=0.5 parent_atom=7 label_source=file grade=9\nSi 0 0 0 1 0 0 1 1 3\nSi 2 2 2 -1 0 0 0 0 3\n";
        std::fs::write(dir.path().join("f.xyz"), text).unwrap();
        let core = Column {
            name: "core".into(),
            data: ColumnData::Integer {
                width: 1,
                values: vec![1, 0],
            },
        };
        for toml in ["file = 'f.xyz'", "file = 'f.xyz'\nrattle = 0.01\ncount = 1"] {
            let frame = read(dir.path(), toml).unwrap().swap_remove(0);
            assert_eq!(frame.force_mask, Some(vec![1.0, 0.0]), "{toml}");
            assert_eq!(frame.columns, std::slice::from_ref(&core));
            assert_eq!(
                (frame.weight, frame.energy, &frame.forces),
                (0.5, None, &None)
            );
            assert_eq!(frame.info["parent_atom"], "7");
            assert!(!frame.info.contains_key("label_source") && !frame.info.contains_key("grade"));
        }
        let labelled = read(dir.path(), "file = 'f.xyz'\nlabelled = true").unwrap();
        assert_eq!(
            (labelled[0].energy, &labelled[0].force_mask),
            (Some(1.0), &Some(vec![1.0, 0.0]))
        );
        let error = read(dir.path(), "file = 'f.xyz'\nvacancies = 1\ncount = 1").unwrap_err();
        assert!(error.to_string().contains("mask"), "{error}");
    }

    #[test]
    fn phonons_displace_by_the_model_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let data =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/si_2022_nep4_3body");
        let toml = "prototype = 'diamond'\nelements = ['Si']\nlattice = 5.43\nharmonic = { temperature = 300 }\ncount = 2";
        let source: Source = toml::from_str(toml).unwrap();
        let made = |seed, model: Option<&Path>| {
            let source = std::slice::from_ref(&source);
            let own = model.map(|file| {
                move || -> Result<Box<dyn Potential>> { Ok(Box::new(calculator(file)?)) }
            });
            let own = own.as_ref().map(|own| own as Own<'_>);
            frames_with(source, dir.path(), seed, "a", own).unwrap()
        };
        let rest = made(1, None);
        let model = data.join("nep.txt");
        let (a, b) = (made(1, Some(&model)), made(2, Some(&model)));
        let moved = |frames: &[Frame], k: usize| {
            let pairs = frames[k]
                .structure
                .positions
                .iter()
                .zip(&rest[0].structure.positions);
            let sum: f64 = pairs
                .map(|(x, y)| (0..3).map(|c| (x[c] - y[c]).powi(2)).sum::<f64>())
                .sum();
            (sum / rest[0].len() as f64).sqrt()
        };
        assert_eq!(moved(&rest, 1), 0.0);
        for frames in [&a, &b] {
            // Silicon at 300 K moves by about 0.13 Å; a cell this small lacks the softest modes.
            assert!(
                (0.02..0.2).contains(&moved(frames, 0)),
                "{}",
                moved(frames, 0)
            );
        }
        assert_ne!(a[0].structure, a[1].structure);
        assert_ne!(a[0].structure, b[0].structure);
        assert_eq!(a[0].structure, made(1, Some(&model))[0].structure);
    }

    #[test]
    fn a_source_goes_over_compositions() {
        let alloy = "prototype = 'fcc'\nelements = ['Al']\nlattice = 4.0\nrepeat = [2, 2, 2]\n\
                     composition = { elements = ['Al', 'Ni'], step = 0.25, lattices = [4.0, 3.5] }";
        let found = read(Path::new("."), alloy).unwrap();
        let nickel = |f: &Frame| {
            f.structure
                .elements
                .iter()
                .filter(|e| e.symbol() == "Ni")
                .count()
        };
        assert_eq!(
            found.iter().map(nickel).collect::<Vec<_>>(),
            [32, 24, 16, 8, 0]
        );
        let edge = |f: &Frame| f.structure.cell.vectors()[0][0];
        assert!((edge(&found[0]) - 7.0).abs() < 1e-12 && (edge(&found[2]) - 7.5).abs() < 1e-12);
        // Elements of other sites stay.
        let oxide = "prototype = 'perovskite'\nelements = ['Ba', 'Zr', 'O']\nlattice = 4.2\nrepeat = [2, 1, 1]\n\
                     composition = { elements = ['Zr', 'Ti'], at = [[0.5, 0.5]] }";
        let symbols: Vec<String> = read(Path::new("."), oxide).unwrap()[0]
            .structure
            .elements
            .iter()
            .map(|e| e.symbol().to_owned())
            .collect();
        let count = |s: &str| symbols.iter().filter(|x| *x == s).count();
        assert_eq!(["Ba", "Zr", "Ti", "O"].map(count), [2, 1, 1, 6]);
        for (from, to, word) in [
            ("0.25", "0.03125", "32 sites"),
            ("step = 0.25", "at = [[0.3, 0.7]]", "10, 20, 30 sites"),
            ("['Al', 'Ni'], step", "['Cu', 'Ni'], step", "no site"),
        ] {
            match read(Path::new("."), &alloy.replace(from, to)) {
                Ok(found) => assert_eq!((word, found.len()), ("32 sites", 33)),
                Err(e) => assert!(e.to_string().contains(word), "{e}"),
            }
        }
    }

    #[test]
    fn labels_under_other_keys_are_used_or_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=1\nSi 0 0 0 1 0 0\n";
        let labelled = "file = 'f.xyz'\nlabelled = true";
        std::fs::write(dir.path().join("f.xyz"), text).unwrap();
        assert_eq!(read(dir.path(), labelled).unwrap()[0].energy, Some(1.0));
        std::fs::write(
            dir.path().join("f.xyz"),
            text.replace("REF_energy", "mace_energy"),
        )
        .unwrap();
        let error = read(dir.path(), labelled).unwrap_err().to_string();
        assert!(error.contains("mace_energy"), "{error}");
    }
}
