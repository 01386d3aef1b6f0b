//! Labels in outputs of runs that were not ours, judged as our own are.

use super::super::{NO_VIRIAL, outputs};
use super::dialect::{Code, Printed};
use nepal::element::Element;
use nepal::system::{Cell, Frame, Structure};
use std::path::Path;

/// The label of a single point of CP2K, Quantum ESPRESSO or ABINIT in what it printed, or why it is none; nothing of a
/// file that is of no such run.
pub(crate) fn found_label(path: &Path) -> Option<Result<Frame, String>> {
    /// What a code says of itself at the beginning.
    const MARKS: [(&str, Code); 3] = [
        ("CP2K|", Code::Cp2k),
        ("Program PWSCF", Code::Qe),
        (" of ABINIT", Code::Abinit),
    ];
    let text = outputs::read(path).ok()??;
    let start: String = text.lines().take(100).collect();
    let code = MARKS.iter().find(|(mark, _)| start.contains(mark))?.1;
    // Of a relaxation or dynamics each step is a label, which ASE reads.
    let several = match code {
        Code::Qe => text.matches("Forces acting on atoms").count() > 1,
        Code::Abinit => text.matches("At SCF step").count() > 1,
        Code::Cp2k => text.matches("ENERGY| Total FORCE_EVAL").count() > 1,
        Code::Vasp => true,
    };
    (!several).then(|| label(code, text))
}

fn label(code: Code, text: String) -> Result<Frame, String> {
    let dialect = code.dialect();
    let facts = dialect.facts();
    let distrusted = code == Code::Qe && text.to_ascii_lowercase().contains(".gth");
    let mut printed = Printed::default();
    // Where a run of ours has several files, the user's has all in one.
    let name = match code {
        Code::Abinit => facts.outputs[0],
        _ => facts.log,
    };
    printed.0.insert(name, text);
    let nobody = Structure::new(Cell::isolated(), Vec::new(), Vec::new());
    let nobody = nobody.map_err(|e| e.to_string())?;
    let reading = dialect
        .read(&printed, &nobody)
        .map_err(|fault| fault.reason)?;
    let echo = reading.echo;
    let missing = |what: &str| format!("the output does not tell the {what}");
    let elements = echo.elements.ok_or_else(|| missing("elements"))?;
    let elements = elements.iter().map(|symbol| Element::from_symbol(symbol));
    let elements = elements
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    let vectors = echo.cell.ok_or_else(|| missing("cell"))?;
    let cell = Cell::new(vectors, echo.periodic.unwrap_or([true; 3])).map_err(|e| e.to_string())?;
    let positions = echo.positions.ok_or_else(|| missing("positions"))?;
    if reading.forces.len() != positions.len() {
        let (forces, atoms) = (reading.forces.len(), positions.len());
        return Err(format!(
            "the output has forces on {forces} atoms and positions of {atoms}"
        ));
    }
    let volume = cell.volume();
    let mut frame =
        Frame::new(Structure::new(cell, elements, positions).map_err(|e| e.to_string())?);
    frame.energy = Some(reading.energy);
    frame.forces = Some(reading.forces);
    frame.virial = reading.pressure.map(|p| p.map(|x| x * volume));
    frame.info.insert("program".into(), facts.name.into());
    frame.info.extend(
        reading
            .version
            .map(|version| ("program_version".into(), version)),
    );
    if distrusted {
        frame.virial = None;
        let why = "pw.x's stress is wrong with GTH potentials";
        frame.info.insert(NO_VIRIAL.into(), why.into());
    }
    Ok(frame)
}
