//! The first data that `init` writes: small cells first, then what was asked for.

use nepal::system::cell::{dot, norm};
use nepal::{Element, Error, Result, Structure};
use nepal_loop::explore::clusters;
use std::fmt::Write;

/// What can be asked for.
pub const NAMES: [&str; 10] = [
    "rattle",
    "vacancies",
    "interstitials",
    "antisites",
    "slabs",
    "packing",
    "atoms",
    "dimers",
    "trimers",
    "melts",
];

/// Least edge of a cell that is explored or rattled, Å: atoms should not see their own images first.
const EDGE: f64 = 8.0;

/// The cells that scenarios run in.
pub struct Cells {
    /// Repetitions of the start.
    pub repeat: [usize; 3],
    /// Whether edges and angles are free: the start is no cube, or known to become none.
    pub full: bool,
}

impl Cells {
    /// Those that suit a start.
    pub fn of(start: &Structure, prototype: Option<&str>) -> Self {
        let [a, b, c] = *start.cell.vectors();
        let edges = [a, b, c].map(norm);
        let like = |x: f64| (x / edges[0] - 1.0).abs() < 1e-3;
        let square = [dot(a, b), dot(b, c), dot(a, c)];
        let cubic =
            edges.into_iter().all(like) && square.iter().all(|x| x.abs() < 1e-3 * edges[0].powi(2));
        Self {
            repeat: std::array::from_fn(|d| match start.cell.periodic()[d] {
                true => (EDGE / start.cell.thickness()[d]).ceil().max(1.0) as usize,
                false => 1,
            }),
            // Octahedra tilt.
            full: !cubic || prototype == Some("perovskite"),
        }
    }

    /// The line on the cell's shape of a scenario at constant pressure.
    pub fn shape(&self) -> &'static str {
        match self.full {
            true => {
                "anisotropic = \"full\"          # edges and angles of the cell follow the stress; false keeps its shape"
            }
            false => {
                "# anisotropic = \"full\"        # for crystals that change their shape: edges and angles follow the stress"
            }
        }
    }
}

/// What structures are made from.
pub enum Start {
    /// A crystal of a lattice constant (Å).
    Crystal { prototype: String, lattice: f64 },
    /// The same whose elements mix on the sites of the first.
    Alloy { prototype: String, lattice: f64 },
    /// A file.
    File(String),
}

impl Start {
    /// As lines of a table.
    pub fn lines(&self, elements: &[String]) -> String {
        match self {
            Self::Crystal { prototype, lattice } => format!(
                "prototype = \"{prototype}\"\nelements = [{}]\nlattice = {lattice}",
                quoted(elements)
            ),
            Self::Alloy { prototype, lattice } => format!(
                "prototype = \"{prototype}\"\nelements = [{}]\nlattice = {lattice}\ncomposition = {{ elements = [{}], step = 0.5 }}",
                quoted(&elements[..1]),
                quoted(elements)
            ),
            Self::File(path) => format!("file = \"{path}\""),
        }
    }

    /// As entries of an inline table.
    pub fn inline(&self, elements: &[String]) -> String {
        self.lines(elements).replace('\n', ", ")
    }
}

fn quoted(elements: &[String]) -> String {
    let all: Vec<String> = elements.iter().map(|e| format!("\"{e}\"")).collect();
    all.join(", ")
}

/// The tables `[[initial]]`.
pub fn initial(
    start: &Start,
    cells: &Cells,
    elements: &[String],
    with: &[String],
    cutoff: f64,
    temperature: f64,
    melt: Option<&str>,
) -> Result<String> {
    // "rattle, vacancies" in quotes is a list as well.
    let with: Vec<&str> = with
        .iter()
        .map(|w| w.trim())
        .filter(|w| !w.is_empty())
        .collect();
    for name in &with {
        if !NAMES.contains(name) {
            return Err(Error::invalid(format!(
                "--with is {name:?}; allowed are {}",
                NAMES.join(", ")
            )));
        }
    }
    let wants = |name: &str| with.contains(&name);
    if wants("antisites") && elements.len() < 2 {
        return Err(Error::invalid("--with antisites needs two elements"));
    }
    let lines = start.lines(elements);
    let repeat = cells.repeat;
    let names = quoted(elements);
    let mut text = String::new();
    let mut add = |comment: &str, body: String| {
        let _ = writeln!(text, "# {comment}\n[[initial]]\n{body}\n");
    };
    add(
        "Small strained cells: cheap labels first.",
        format!(
            "{lines}\nrepeat = [1, 1, 1]\nvolume_strain = 0.10          # largest isotropic strain\nstrain = 0.05                 # largest component of a random strain\nrattle = 0.03                 # displacements, standard deviation\ncount = 10"
        ),
    );
    let larger = |more: &str, count: usize| {
        format!(
            "{lines}\nrepeat = {repeat:?}\nvolume_strain = 0.04\nstrain = 0.02\nrattle = 0.10\n{more}count = {count}"
        )
    };
    if wants("rattle") {
        add("Rattled supercells.", larger("", 12));
    }
    if wants("vacancies") {
        add("Vacancies.", larger("vacancies = 1\n", 6));
    }
    if wants("interstitials") {
        add("Atoms in voids.", larger("interstitials = 1\n", 6));
    }
    if wants("antisites") {
        add("Exchanged atoms.", larger("antisites = 1\n", 6));
    }
    if wants("slabs") {
        for face in ["[1, 0, 0]", "[1, 1, 0]", "[1, 1, 1]"] {
            add(
                "A surface; the face refers to the cell as given.",
                format!(
                    "{lines}\nslab = {{ face = {face}, layers = 4, vacuum = {:.0} }}\nrattle = 0.08\ncount = 3",
                    (2.0 * cutoff).max(12.0)
                ),
            );
        }
    }
    if wants("packing") {
        let lattice = match start {
            Start::Crystal { lattice, .. } | Start::Alloy { lattice, .. } => *lattice,
            Start::File(_) => 6.0,
        };
        add(
            "Random packings, eight atoms a cell.",
            format!(
                "prototype = \"packing\"\nelements = [{names}]\nlattice = {:.2}\nrepeat = [2, 2, 1]\nrattle = 0.0\ncount = 6",
                1.15 * lattice
            ),
        );
    }
    let known: Vec<Element> = elements
        .iter()
        .map(|e| Element::from_symbol(e))
        .collect::<Result<_>>()?;
    let edge = clusters::box_edge(&known, cutoff);
    for (name, prototype, comment, count) in [
        (
            "atoms",
            "atom",
            "Free atoms: where the energy of the gas is. Mind the spin.",
            1,
        ),
        ("dimers", "dimer", "Dimers of every pair. Mind the spin.", 8),
        (
            "trimers",
            "trimer",
            "Trimers of every three. Mind the spin.",
            4,
        ),
    ] {
        if wants(name) {
            add(
                comment,
                format!(
                    "prototype = \"{prototype}\"\nelements = [{names}]\nlattice = {edge:.1}                # edge of the box\ncount = {count}"
                ),
            );
        }
    }
    if wants("melts") {
        let potential = melt.ok_or_else(|| {
            Error::invalid("--with melts needs --melt-potential: a NEP that survives melting; without one, let a scenario melt the crystal after the first round")
        })?;
        add(
            "Melts, by quick dynamics with another potential.",
            format!(
                "{lines}\nrepeat = {repeat:?}\nmelt = {{ potential = \"{potential}\", temperature = {}, steps = 3000 }}\ncount = 6",
                2.0 * temperature
            ),
        );
    }
    Ok(text.trim_end().to_owned())
}
