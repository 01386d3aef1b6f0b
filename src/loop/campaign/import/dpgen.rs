//! A project of DP-GEN: DeePMD data (`type.raw`, `set.000/coord.npy` and so on) of the first data and of
//! each iteration's `02.fp`.

use super::npy::Array;
use super::{Imported, numbered, read_text};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::{Cell, Frame, Structure};
use std::path::{Path, PathBuf};

pub(super) fn read(path: &Path) -> Result<Imported> {
    let mut out = Imported::default();
    let mut systems: Vec<(String, PathBuf)> = Vec::new();
    for folder in first_data(path, &mut out.notes)? {
        systems.push(("0".into(), folder));
    }
    for (number, folder) in numbered(path, "iter.")? {
        let fp = folder.join("02.fp");
        if !fp.is_dir() {
            continue;
        }
        let mut found = Vec::new();
        data_folders(&fp, &mut found)?;
        found.sort();
        // The labels of an iteration are what the next one trains on.
        systems.extend(found.into_iter().map(|f| ((number + 1).to_string(), f)));
    }
    for (round, folder) in systems {
        for mut frame in system(&folder)? {
            frame.info.insert("imported_round".into(), round.clone());
            let name = folder.strip_prefix(path).unwrap_or(&folder);
            frame
                .info
                .insert("origin".into(), name.display().to_string());
            out.frames.push(frame);
        }
    }
    out.notes.push(
        "models of DP-GEN are networks of DeePMD-kit, which nepal cannot read; only the labels are taken over".into(),
    );
    Ok(out)
}

/// The systems that `param.json` starts from, as far as they are there.
fn first_data(path: &Path, notes: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    let param = path.join("param.json");
    if !param.exists() {
        notes.push(
            "there is no param.json, so the first data are not known; import them as xyz".into(),
        );
        return Ok(out);
    }
    let text = read_text(&param)?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| Error::parse(param.display().to_string(), e.line(), e.to_string()))?;
    let prefix = path.join(value["init_data_prefix"].as_str().unwrap_or(""));
    for name in value["init_data_sys"].as_array().into_iter().flatten() {
        let folder = prefix.join(name.as_str().unwrap_or_default());
        let before = out.len();
        if folder.is_dir() {
            data_folders(&folder, &mut out)?;
        }
        if out.len() == before {
            notes.push(format!(
                "{}: no DeePMD data found there; its labels are left out",
                folder.display()
            ));
        }
    }
    out.sort();
    Ok(out)
}

/// All folders with `type.raw` and a set, below one.
fn data_folders(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    if folder.join("type.raw").exists() && folder.join("set.000").is_dir() {
        out.push(folder.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))? {
        let entry = entry.map_err(|e| Error::io("list", folder, e))?;
        // Task folders hold links to each other; data are never behind one here.
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            data_folders(&entry.path(), out)?;
        }
    }
    Ok(())
}

/// All frames of a system.
fn system(folder: &Path) -> Result<Vec<Frame>> {
    let place = |name: &str| folder.join(name);
    let map: Vec<String> = if place("type_map.raw").exists() {
        words(&place("type_map.raw"))?
    } else {
        return Err(Error::Failed(format!(
            "{}: there is no type_map.raw, so the elements of its types are not known; write their symbols into that file",
            folder.display()
        )));
    };
    let elements: Vec<Element> = words(&place("type.raw"))?
        .iter()
        .map(|word| {
            let symbol = word.parse::<usize>().ok().and_then(|t| map.get(t));
            let symbol = symbol.ok_or_else(|| {
                Error::Failed(format!(
                    "{}: type {word} is not among the {} of type_map.raw",
                    place("type.raw").display(),
                    map.len()
                ))
            })?;
            Element::from_symbol(symbol)
        })
        .collect::<Result<_>>()?;
    let periodic = !place("nopbc").exists();
    let mut frames = Vec::new();
    for number in 0.. {
        let set = place(&format!("set.{number:03}"));
        if !set.is_dir() {
            break;
        }
        frames.extend(read_set(&set, &elements, periodic)?);
    }
    Ok(frames)
}

fn words(path: &Path) -> Result<Vec<String>> {
    Ok(read_text(path)?
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}

fn read_set(set: &Path, elements: &[Element], periodic: bool) -> Result<Vec<Frame>> {
    let n = elements.len();
    let load = |name: &str, width: usize| -> Result<Option<Array>> {
        let path = set.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let array = Array::load(&path)?;
        if array
            .shape
            .first()
            .is_none_or(|&f| array.values.len() != f * width)
        {
            return Err(Error::Failed(format!(
                "{}: expected {width} numbers a frame for {n} atoms, found the shape {:?}",
                path.display(),
                array.shape
            )));
        }
        Ok(Some(array))
    };
    let missing = |name: &str| Error::Failed(format!("{}: there is no {name}", set.display()));
    let coord = load("coord.npy", 3 * n)?.ok_or_else(|| missing("coord.npy"))?;
    let count = coord.shape[0];
    let (energy, force) = (load("energy.npy", 1)?, load("force.npy", 3 * n)?);
    let (cells, virial) = (load("box.npy", 9)?, load("virial.npy", 9)?);
    for (name, array) in [
        ("energy", &energy),
        ("force", &force),
        ("box", &cells),
        ("virial", &virial),
    ] {
        if array.as_ref().is_some_and(|a| a.shape[0] != count) {
            return Err(Error::Failed(format!(
                "{}: {name}.npy and coord.npy have different numbers of frames",
                set.display()
            )));
        }
    }
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
            let triples = |array: &Array| -> Vec<[f64; 3]> {
                let row = &array.values[3 * n * f..][..3 * n];
                row.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()
            };
            let structure = Structure::new(cell, elements.to_vec(), triples(&coord))?;
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
