//! What a paper that used nepal cites: for any use, and for what a campaign uses.

use super::{Config, EngineKind};
use serde::Serialize;

/// A work that is cited.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Work {
    /// Key of its entry.
    pub key: &'static str,
    /// Authors, as BibTeX has them.
    pub author: &'static str,
    /// Abbreviated title of the journal.
    pub journal: &'static str,
    /// Volume.
    pub volume: &'static str,
    /// First page, or number of the article.
    pub pages: &'static str,
    /// Year.
    pub year: u16,
    /// What it is cited for.
    #[serde(rename = "for")]
    pub reason: &'static str,
}

const fn work(
    key: &'static str,
    author: &'static str,
    [journal, volume, pages]: [&'static str; 3],
    year: u16,
    reason: &'static str,
) -> Work {
    Work {
        key,
        author,
        journal,
        volume,
        pages,
        year,
        reason,
    }
}

/// For any use.
const ALWAYS: [Work; 4] = [
    work(
        "fan2021nep",
        "Fan, Zheyong and others",
        ["Phys. Rev. B", "104", "104309"],
        2021,
        "the potential",
    ),
    work(
        "fan2022gpumd",
        "Fan, Zheyong and others",
        ["J. Chem. Phys.", "157", "114801"],
        2022,
        "its present form, and GPUMD",
    ),
    work(
        "podryabinkin2017active",
        "Podryabinkin, Evgeny V. and Shapeev, Alexander V.",
        ["Comput. Mater. Sci.", "140", "171"],
        2017,
        "extrapolation grades",
    ),
    work(
        "lysogorskiy2023active",
        "Lysogorskiy, Yury and others",
        ["Phys. Rev. Mater.", "7", "043801"],
        2023,
        "grades of atomic environments",
    ),
];

/// For what a campaign uses, by the names of its tables.
const USED: [(&str, Work); 7] = [
    (
        "stillinger-weber",
        work(
            "stillinger1985",
            "Stillinger, Frank H. and Weber, Thomas A.",
            ["Phys. Rev. B", "31", "5262"],
            1985,
            "the labels",
        ),
    ),
    (
        "cp2k",
        work(
            "kuehne2020cp2k",
            "K{\\\"u}hne, Thomas D. and others",
            ["J. Chem. Phys.", "152", "194103"],
            2020,
            "CP2K",
        ),
    ),
    (
        "qe",
        work(
            "giannozzi2017qe",
            "Giannozzi, Paolo and others",
            ["J. Phys.: Condens. Matter", "29", "465901"],
            2017,
            "Quantum ESPRESSO",
        ),
    ),
    (
        "vasp",
        work(
            "kresse1996vasp",
            "Kresse, Georg and Furthm{\\\"u}ller, J{\\\"u}rgen",
            ["Phys. Rev. B", "54", "11169"],
            1996,
            "VASP",
        ),
    ),
    (
        "abinit",
        work(
            "gonze2020abinit",
            "Gonze, Xavier and others",
            ["Comput. Phys. Commun.", "248", "107042"],
            2020,
            "ABINIT",
        ),
    ),
    (
        "lammps",
        work(
            "thompson2022lammps",
            "Thompson, Aidan P. and others",
            ["Comput. Phys. Commun.", "271", "108171"],
            2022,
            "LAMMPS",
        ),
    ),
    (
        "ase",
        work(
            "larsen2017ase",
            "Larsen, Ask Hjorth and others",
            ["J. Phys.: Condens. Matter", "29", "273002"],
            2017,
            "ASE, besides the method of its calculator",
        ),
    ),
];

/// What is cited for any use, and for what a campaign uses.
pub fn works(config: Option<&Config>) -> Vec<Work> {
    let mut works = ALWAYS.to_vec();
    if let Some(config) = config {
        let label = serde_json::to_value(&config.label.method).unwrap_or_default();
        let mut used = vec![label["kind"].as_str().unwrap_or_default()];
        let mut engines = config.explore.iter().filter_map(|s| s.engine.as_ref());
        if engines.any(|e| e.kind == EngineKind::Lammps) {
            used.push("lammps");
        }
        let named = USED.iter().filter(|(name, _)| used.contains(name));
        works.extend(named.map(|(_, work)| *work));
    }
    works
}

impl Work {
    /// The entry of a bibliography.
    pub fn bibtex(&self) -> String {
        format!(
            "@article{{{}, author = {{{}}}, journal = {{{}}}, volume = {{{}}}, pages = {{{}}}, year = {{{}}}}}",
            self.key, self.author, self.journal, self.volume, self.pages, self.year
        )
    }

    /// The same as a line to read.
    pub fn line(&self) -> String {
        let author = self
            .author
            .replace("{\\\"u}", "ü")
            .replace("and others", "et al.");
        format!(
            "{author}, {} {}, {} ({})",
            self.journal, self.volume, self.pages, self.year
        )
    }
}
