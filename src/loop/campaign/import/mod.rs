//! Labels and models from other projects: nep_maker, DP-GEN, or plain files.
//!
//! What is taken over goes through the checks that own labels go through; what fails them, or is
//! there twice, is kept aside with its reason.

mod deepmd;
mod dpgen;
mod nep_maker;
mod npy;
#[cfg(test)]
mod tests;

use crate::formats;
use crate::label::{Label, Limits, found_label};
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::Frame;
use nepal::system::xyz::{self, LabelKeys};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which program made a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// nep_maker: `iter_0`, `iter_1`, … beside `train.xyz`.
    NepMaker,
    /// DP-GEN: `iter.000000`, … with DeePMD data in `02.fp`.
    DpGen,
    /// DeePMD data in a folder, or in folders below it, without a project.
    DeepMd,
    /// A file of any format that is read, or a folder with `train.xyz`.
    Plain,
    /// What programs and other tools leave in a file or in a folder: OUTCAR, vasprun.xml, outputs, databases.
    Outputs,
}

impl Project {
    /// Names on the command line.
    pub const NAMES: [&str; 5] = ["nep-maker", "dp-gen", "deepmd", "xyz", "outputs"];

    /// Tells by its files which program made a project.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming what was looked for.
    pub fn recognise(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Ok(match found_label(path) {
                Some(_) => Self::Outputs,
                None => Self::Plain,
            });
        }
        if !numbered(path, "iter.")?.is_empty() {
            return Ok(Self::DpGen);
        }
        if !numbered(path, "iter_")?.is_empty() || path.join("init_structures.xyz").exists() {
            return Ok(Self::NepMaker);
        }
        if path.join("train.xyz").exists() {
            return Ok(Self::Plain);
        }
        if !deepmd::folders(path, &mut Vec::new())?.is_empty() {
            return Ok(Self::DeepMd);
        }
        let mut found = Vec::new();
        find_outputs(path, &mut found)?;
        if !found.is_empty() {
            return Ok(Self::Outputs);
        }
        Err(Error::invalid(format!(
            "{}: expected a project to import: folders iter_0, iter_1 ... (nep_maker) or iter.000000 ... (DP-GEN), train.xyz, DeePMD data (type.raw beside set.000), or outputs (OUTCAR, vasprun.xml, *.out and the like, folders of ABACUS with INPUT and OUT.*); found none of them",
            path.display()
        )))
    }
}

impl std::str::FromStr for Project {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let plain = name.to_ascii_lowercase().replace(['-', '_', ' '], "");
        Ok(match plain.as_str() {
            "nepmaker" => Self::NepMaker,
            "dpgen" => Self::DpGen,
            "deepmd" | "deepmdkit" => Self::DeepMd,
            "xyz" | "extxyz" => Self::Plain,
            "outputs" => Self::Outputs,
            _ => {
                return Err(Error::invalid(format!(
                    "unknown kind of project {name:?}; expected {}",
                    Self::NAMES.join(", ")
                )));
            }
        })
    }
}

impl std::fmt::Display for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NepMaker => "nep_maker",
            Self::DpGen => "DP-GEN",
            Self::DeepMd => "DeePMD",
            Self::Plain => "xyz",
            Self::Outputs => "outputs",
        })
    }
}

/// What a project holds.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Labelled frames that keep the limits, with `imported_from` and, where it is known, `imported_round`.
    pub frames: Vec<Frame>,
    /// Frames left out, with the key `refused` saying why.
    pub refused: Vec<Frame>,
    /// Counts of the refused by reason.
    pub reasons: BTreeMap<String, usize>,
    /// The newest model, if there is one that can be read.
    pub model: Option<PathBuf>,
    /// Settings of its training.
    pub nep_in: Option<String>,
    /// What else the user should know.
    pub notes: Vec<String>,
}

/// Reads a project. `model` overrides what is found in it, `keys` say where the labels of extended XYZ are.
///
/// **Errors**: [`Error::Io`], [`Error::Parse`], and [`Error::Failed`] if it holds no label at all.
pub fn import(
    project: Project,
    path: &Path,
    model: Option<&Path>,
    keys: &LabelKeys,
    limits: &Limits,
) -> Result<Imported> {
    let raw = match project {
        Project::Outputs => outputs(path, None)?,
        Project::NepMaker => nep_maker::read(path)?,
        Project::DpGen => dpgen::read(path)?,
        Project::DeepMd => deepmd::read(path)?,
        Project::Plain => plain(path)?,
    };
    judge(project, path, raw, model, keys, limits)
}

/// Reads a file or folder by a format of ASE, of dpdata (`dpdata:NAME`) or of the worker (`cp2k`, `abacus`, `n2p2`,
/// `mtp:Si,O`).
///
/// **Errors**: those of [`import`]; [`Error::Failed`] with what Python said.
pub fn import_format(
    format: &str,
    path: &Path,
    model: Option<&Path>,
    keys: &LabelKeys,
    limits: &Limits,
) -> Result<Imported> {
    let raw = outputs(path, Some(format))?;
    judge(Project::Outputs, path, raw, model, keys, limits)
}

fn outputs(path: &Path, format: Option<&str>) -> Result<Imported> {
    let mut out = Imported::default();
    let mut files = vec![path.to_owned()];
    if path.is_dir() && format.is_none() {
        files.clear();
        find_outputs(path, &mut files)?;
    }
    let mut others = Vec::new();
    for file in files {
        match found_label(&file).filter(|_| format.is_none()) {
            Some(Ok(frame)) => out.frames.push(frame),
            Some(Err(reason)) => out.notes.push(format!("{}: {reason}", file.display())),
            None => others.push(file),
        }
    }
    if !others.is_empty() {
        let (frames, notes) = formats::by_python(&others, format)?;
        let frames = frames.with_doubtful_labels().collect::<Result<Vec<_>>>()?;
        out.frames.extend(frames);
        out.notes.extend(notes);
    }
    Ok(out)
}

/// What of a project can be taken over.
fn judge(
    project: Project,
    path: &Path,
    mut raw: Imported,
    model: Option<&Path>,
    keys: &LabelKeys,
    limits: &Limits,
) -> Result<Imported> {
    let told = xyz::resolve(&mut raw.frames, keys)?;
    raw.notes.extend(told.used.into_iter().chain(told.doubts));
    if let Some(model) = model {
        raw.model = Some(model.to_owned());
    }
    if let Some(found) = &raw.model
        && let Err(e) = Model::load(found)
    {
        if model.is_some() {
            return Err(e);
        }
        raw.notes.push(format!("its model is left out: {e}"));
        raw.model = None;
    }
    let mut out = Imported {
        frames: Vec::new(),
        ..raw
    };
    let mut seen = BTreeSet::new();
    for mut frame in raw.frames {
        let fault = fault(&frame, limits).or_else(|| {
            let key = crate::label::label_key(&frame.structure, "", "");
            (!seen.insert(key)).then(|| "the same structure twice".to_owned())
        });
        let note = |frame: &mut Frame, key: &str, value: &str| {
            frame.info.insert(key.into(), value.into());
        };
        note(&mut frame, "imported_from", &project.to_string());
        match fault {
            None => {
                note(&mut frame, "label_source", "file");
                out.frames.push(frame);
            }
            Some(why) => {
                let kind = why.split(':').next().unwrap_or(&why).to_owned();
                *out.reasons.entry(kind).or_default() += 1;
                note(&mut frame, "refused", &why);
                out.refused.push(frame);
            }
        }
    }
    if out.frames.is_empty() {
        return Err(Error::Failed(format!(
            "{}: no usable label among {} frames{}{}",
            path.display(),
            out.refused.len(),
            out.reasons
                .iter()
                .map(|(why, n)| format!("; {n} x {why}"))
                .collect::<String>(),
            out.notes
                .iter()
                .map(|note| format!("; {note}"))
                .collect::<String>()
        )));
    }
    Ok(out)
}

/// Why a frame is no label to train on.
fn fault(frame: &Frame, limits: &Limits) -> Option<String> {
    let (Some(energy), Some(forces)) = (frame.energy, &frame.forces) else {
        return Some("no energy or no forces".into());
    };
    let label = Label {
        energy,
        forces: forces.clone(),
        virial: frame.virial,
        info: BTreeMap::new(),
    };
    let finite = energy.is_finite() && forces.as_flattened().iter().all(|f| f.is_finite());
    if !finite {
        return Some("numbers that are not finite".into());
    }
    limits.violation(&label, &frame.structure)
}

/// A file, or a folder with `train.xyz` and perhaps `nep.txt` and `nep.in`.
fn plain(path: &Path) -> Result<Imported> {
    let (file, folder) = if path.is_dir() {
        (path.join("train.xyz"), path)
    } else {
        (
            path.to_owned(),
            path.parent().unwrap_or_else(|| Path::new(".")),
        )
    };
    let there = |name: &str| Some(folder.join(name)).filter(|p| path.is_dir() && p.exists());
    Ok(Imported {
        frames: formats::read_frames(&file)?,
        model: there("nep.txt"),
        nep_in: there("nep.in").map(|p| read_text(&p)).transpose()?,
        ..Imported::default()
    })
}

/// Files that look like outputs of programs, and folders in which ABACUS or CP2K's dynamics ran, in a folder and those
/// below it, in the order of their names.
fn find_outputs(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    const ENDINGS: [&str; 9] = [
        "OUTCAR",
        "vasprun.xml",
        ".out",
        ".abo",
        ".pwo",
        ".castep",
        ".traj",
        ".db",
        ".extxyz",
    ];
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))? {
        all.push(entry.map_err(|e| Error::io("list", folder, e))?.path());
    }
    all.sort();
    let named = |of: &dyn Fn(&str) -> bool| {
        let mut names = all.iter().filter_map(|path| path.file_name()?.to_str());
        names.any(of)
    };
    if named(&|n| n.ends_with("-pos-1.xyz"))
        || named(&|n| n == "INPUT") && named(&|n| n.starts_with("OUT."))
    {
        found.push(folder.to_owned());
        return Ok(());
    }
    // VASP says the same in two files.
    let doubled = all.iter().any(|path| path.ends_with("OUTCAR"));
    for path in all {
        // A link may lead back.
        if path.is_dir() && !path.is_symlink() {
            find_outputs(&path, found)?;
        } else if let Some(name) = path.file_name().map(|n| n.to_string_lossy()) {
            let plain = name.strip_suffix(".gz").unwrap_or(&name);
            let is_output = ENDINGS.iter().any(|ending| plain.ends_with(ending));
            if is_output && !(doubled && plain == "vasprun.xml") {
                found.push(path);
            }
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))
}

/// Folders `PREFIXn` in the order of their numbers.
fn numbered(folder: &Path, prefix: &str) -> Result<Vec<(usize, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))? {
        let path = entry.map_err(|e| Error::io("list", folder, e))?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(prefix))
            .and_then(|rest| rest.parse().ok());
        if let (Some(number), true) = (number, path.is_dir()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}
