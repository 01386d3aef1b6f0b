//! DeePMD data: folders with `type.raw` and sets `set.*` of NumPy arrays (`coord.npy` and so on), also
//! in the mixed-type format, where `real_atom_types.npy` gives each frame its own elements.

use super::npy::Array;
use super::{Imported, read_text};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::{Cell, Frame, Structure};
use std::path::{Path, PathBuf};

/// All data in a folder and below it.
pub(super) fn read(path: &Path) -> Result<Imported> {
    let mut out = Imported::default();
    for folder in folders(path, &mut out.notes)? {
        for mut frame in system(&folder, &mut out.notes)? {
            let name = folder.strip_prefix(path).unwrap_or(&folder);
            if !name.as_os_str().is_empty() {
                let origin = name.display().to_string();
                frame.info.insert("origin".into(), origin);
            }
            out.frames.push(frame);
        }
    }
    Ok(out)
}

/// All folders with `type.raw` and a set, at and below one, in order; notes tell of data that are not read.
pub(super) fn folders(folder: &Path, notes: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    search(folder, &mut found, notes)?;
    found.sort();
    Ok(found)
}

fn search(folder: &Path, out: &mut Vec<PathBuf>, notes: &mut Vec<String>) -> Result<()> {
    if folder.join("type.raw").exists() {
        if !sets(folder)?.is_empty() {
            out.push(folder.to_owned());
            return Ok(());
        }
        notes.push(format!(
            "{}: there is type.raw, but no folder set.*: its data are not read; make sets of raw files first",
            folder.display()
        ));
    }
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))? {
        let entry = entry.map_err(|e| Error::io("list", folder, e))?;
        // Links may lead in circles, and task folders hold links to each other.
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            search(&entry.path(), out, notes)?;
        } else if entry.path().join("type.raw").exists() {
            notes.push(format!(
                "{}: a link to data, which is not followed; import the folder that it leads to",
                entry.path().display()
            ));
        }
    }
    Ok(())
}

/// The folders `set.*`, by number, then by name.
fn sets(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))? {
        let path = entry.map_err(|e| Error::io("list", folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let (Some(rest), true) = (name.strip_prefix("set."), path.is_dir()) {
            let number = rest.parse().unwrap_or(u64::MAX);
            found.push((number, rest.to_owned(), path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|f| f.2).collect())
}

/// All frames of a system.
pub(super) fn system(folder: &Path, notes: &mut Vec<String>) -> Result<Vec<Frame>> {
    let place = |name: &str| folder.join(name);
    if !place("type_map.raw").exists() {
        return Err(Error::Failed(format!(
            "{}: there is no type_map.raw, so the elements of its types are not known; write their symbols into that file",
            folder.display()
        )));
    }
    let words = |name: &str| -> Result<Vec<String>> {
        let text = read_text(&place(name))?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let map = (words("type_map.raw")?.iter())
        .map(|symbol| Element::from_symbol(symbol))
        .collect::<Result<Vec<_>>>()?;
    let types = (words("type.raw")?.iter())
        .map(|word| element(&map, word.parse().ok(), word, &place("type.raw")))
        .collect::<Result<Vec<_>>>()?;
    if types.is_empty() {
        return Err(Error::Failed(format!(
            "{}: expected the type of each atom, found none",
            place("type.raw").display()
        )));
    }
    let periodic = !place("nopbc").exists();
    let mut frames = Vec::new();
    for set in sets(folder)? {
        frames.extend(read_set(&set, &map, &types, periodic, notes)?);
    }
    Ok(frames)
}

fn element(map: &[Element], index: Option<usize>, word: &str, place: &Path) -> Result<Element> {
    index.and_then(|t| map.get(t)).copied().ok_or_else(|| {
        Error::Failed(format!(
            "{}: type {word} is not among the {} of type_map.raw",
            place.display(),
            map.len()
        ))
    })
}

/// Arrays of labels that are read.
const READ: [&str; 6] = [
    "coord",
    "box",
    "energy",
    "force",
    "virial",
    "real_atom_types",
];
/// Arrays that are labels of something nepal does not learn, or no labels.
const OTHERS: [&str; 6] = [
    "atom_ener",
    "atom_pref",
    "fparam",
    "aparam",
    "dipole",
    "polarizability",
];

/// Says which arrays of a set are not read.
fn unread(set: &Path, notes: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(set).map_err(|e| Error::io("list", set, e))? {
        let name = entry.map_err(|e| Error::io("list", set, e))?.file_name();
        let name = name.to_string_lossy();
        let Some(stem) = name.strip_suffix(".npy") else {
            continue;
        };
        if !READ.contains(&stem) {
            let known = OTHERS.contains(&stem);
            let what = if known {
                "nepal does not learn it"
            } else {
                "it is not known"
            };
            notes.push(format!("{}: {name} is not read: {what}", set.display()));
        }
    }
    Ok(())
}

fn read_set(
    set: &Path,
    map: &[Element],
    types: &[Element],
    periodic: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Frame>> {
    let n = types.len();
    let load = |name: &str, width: usize| -> Result<Option<Array>> {
        let path = set.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let array = Array::load(&path)?;
        let fits = |&f: &usize| f.checked_mul(width) == Some(array.values.len());
        if !array.shape.first().is_some_and(fits) {
            return Err(Error::Failed(format!(
                "{}: expected {width} numbers a frame for {n} atoms, found the shape {:?}",
                path.display(),
                array.shape
            )));
        }
        Ok(Some(array))
    };
    let missing = |what: &str| Error::Failed(format!("{}: there is no {what}", set.display()));
    let coord = load("coord.npy", 3 * n)?.ok_or_else(|| missing("coord.npy"))?;
    let count = coord.shape[0];
    let (energy, force) = (load("energy.npy", 1)?, load("force.npy", 3 * n)?);
    let (cells, virial) = (load("box.npy", 9)?, load("virial.npy", 9)?);
    let mixed = load("real_atom_types.npy", n)?;
    if periodic && cells.is_none() {
        return Err(missing(
            "box.npy; molecules without a box need an empty file nopbc beside type.raw",
        ));
    }
    for (name, array) in [
        ("energy", &energy),
        ("force", &force),
        ("box", &cells),
        ("virial", &virial),
        ("real_atom_types", &mixed),
    ] {
        if array.as_ref().is_some_and(|a| a.shape[0] != count) {
            return Err(Error::Failed(format!(
                "{}: {name}.npy and coord.npy have different numbers of frames",
                set.display()
            )));
        }
    }
    unread(set, notes)?;
    (0..count)
        .map(|f| {
            let cell = match &cells {
                Some(cells) if periodic => {
                    let v = &cells.values[9 * f..][..9];
                    let row = |k: usize| [v[3 * k], v[3 * k + 1], v[3 * k + 2]];
                    Cell::new([row(0), row(1), row(2)], [true; 3])?
                }
                _ => Cell::isolated(),
            };
            // Of the mixed types -1 is no atom: it fills frames of fewer atoms.
            let atoms: Vec<(usize, Element)> = match &mixed {
                None => types.iter().copied().enumerate().collect(),
                Some(mixed) => {
                    let file = set.join("real_atom_types.npy");
                    let row = mixed.values[n * f..][..n].iter().enumerate();
                    row.filter(|(_, t)| **t != -1.0)
                        .map(|(i, t)| {
                            let index = (*t >= 0.0 && t.fract() == 0.0).then_some(*t as usize);
                            Ok((i, element(map, index, &t.to_string(), &file)?))
                        })
                        .collect::<Result<_>>()?
                }
            };
            let triples = |array: &Array| -> Vec<[f64; 3]> {
                let row = &array.values[3 * n * f..][..3 * n];
                let of = |i: usize| [row[3 * i], row[3 * i + 1], row[3 * i + 2]];
                atoms.iter().map(|(i, _)| of(*i)).collect()
            };
            let elements = atoms.iter().map(|(_, e)| *e).collect();
            let structure = Structure::new(cell, elements, triples(&coord))?;
            let mut frame = Frame::new(structure);
            frame.energy = energy.as_ref().map(|e| e.values[f]);
            frame.forces = force.as_ref().map(triples);
            frame.virial = virial.as_ref().map(|v| {
                let mut out = [0.0; 9];
                out.copy_from_slice(&v.values[9 * f..][..9]);
                out
            });
            Ok(frame)
        })
        .collect()
}
