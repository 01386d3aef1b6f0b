//! A project of DP-GEN: DeePMD data of the first data and of each iteration's `02.fp`.

use super::deepmd::{folders, system};
use super::{Imported, numbered, read_text};
use nepal::error::{Error, Result};
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
        // The labels of an iteration are what the next one trains on.
        systems.extend(
            folders(&fp, &mut out.notes)?
                .into_iter()
                .map(|f| ((number + 1).to_string(), f)),
        );
    }
    for (round, folder) in systems {
        for mut frame in system(&folder, &mut out.notes)? {
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
            out.extend(folders(&folder, notes)?);
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
