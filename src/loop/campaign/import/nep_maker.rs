//! A project of nep_maker: `train.xyz` grows by `iter_N/scf.xyz`, models are in `iter_N/nep.txt`.

use super::{Imported, numbered, read_text};
use nepal::error::{Error, Result};
use nepal::system::xyz;
use std::path::Path;

pub(super) fn read(path: &Path) -> Result<Imported> {
    let mut out = Imported::default();
    let rounds = numbered(path, "iter_")?;
    let train = path.join("train.xyz");
    if !train.exists() {
        return Err(Error::Failed(format!(
            "{}: the project has no train.xyz, so nothing in it is labelled yet",
            path.display()
        )));
    }
    out.frames = xyz::read_frames(&train)?;
    // What each iteration added lies at the end of the file, in order.
    let mut counts = Vec::new();
    for (number, folder) in &rounds {
        let scf = folder.join("scf.xyz");
        let added = if scf.exists() {
            xyz::read_frames(&scf)?.len()
        } else {
            0
        };
        counts.push((*number, added));
        let model = folder.join("nep.txt");
        if model.exists() {
            out.model = Some(model);
        }
    }
    if out.model.is_none() {
        out.model = Some(path.join("nep.txt")).filter(|p| p.exists());
    }
    let later: usize = counts.iter().map(|c| c.1).sum();
    if later <= out.frames.len() {
        let mut at = out.frames.len() - later;
        for frame in &mut out.frames[..at] {
            frame.info.insert("imported_round".into(), "0".into());
        }
        for (number, added) in counts {
            for frame in &mut out.frames[at..at + added] {
                frame
                    .info
                    .insert("imported_round".into(), number.to_string());
            }
            at += added;
        }
    } else {
        out.notes.push(format!(
            "the iterations added {later} frames, but train.xyz has {}; which round a frame belongs to is not known",
            out.frames.len()
        ));
    }
    let nep_in = path.join("input/nep.in");
    if nep_in.exists() {
        out.nep_in = Some(read_text(&nep_in)?);
    }
    out.notes.push(
        "nep_maker takes VASP's results without asking whether the electronic loop converged; label a few again to check".into(),
    );
    Ok(out)
}
