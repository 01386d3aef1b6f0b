//! `cite`: what a paper that used nepal cites, as BibTeX.

use crate::cli::CiteArgs;
use crate::output::Output;
use nepal::Result;
use nepal_loop::campaign::{Config, EngineKind};
use serde_json::json;
use std::process::ExitCode;

/// Key, fields of the entry, and what it is cited for.
type Work = (&'static str, &'static str, &'static str);

/// For any use.
const ALWAYS: [Work; 4] = [
    (
        "fan2021nep",
        "author = {Fan, Zheyong and others}, journal = {Phys. Rev. B}, volume = {104}, pages = {104309}, year = {2021}",
        "the potential",
    ),
    (
        "fan2022gpumd",
        "author = {Fan, Zheyong and others}, journal = {J. Chem. Phys.}, volume = {157}, pages = {114801}, year = {2022}",
        "its present form, and GPUMD",
    ),
    (
        "podryabinkin2017active",
        "author = {Podryabinkin, Evgeny V. and Shapeev, Alexander V.}, journal = {Comput. Mater. Sci.}, volume = {140}, pages = {171}, year = {2017}",
        "extrapolation grades",
    ),
    (
        "lysogorskiy2023active",
        "author = {Lysogorskiy, Yury and others}, journal = {Phys. Rev. Mater.}, volume = {7}, pages = {043801}, year = {2023}",
        "grades of atomic environments",
    ),
];

/// For what a campaign uses, by the names of its tables.
const USED: [(&str, Work); 7] = [
    (
        "stillinger-weber",
        (
            "stillinger1985",
            "author = {Stillinger, Frank H. and Weber, Thomas A.}, journal = {Phys. Rev. B}, volume = {31}, pages = {5262}, year = {1985}",
            "the labels",
        ),
    ),
    (
        "cp2k",
        (
            "kuehne2020cp2k",
            "author = {K{\\\"u}hne, Thomas D. and others}, journal = {J. Chem. Phys.}, volume = {152}, pages = {194103}, year = {2020}",
            "CP2K",
        ),
    ),
    (
        "qe",
        (
            "giannozzi2017qe",
            "author = {Giannozzi, Paolo and others}, journal = {J. Phys.: Condens. Matter}, volume = {29}, pages = {465901}, year = {2017}",
            "Quantum ESPRESSO",
        ),
    ),
    (
        "vasp",
        (
            "kresse1996vasp",
            "author = {Kresse, Georg and Furthm{\\\"u}ller, J{\\\"u}rgen}, journal = {Phys. Rev. B}, volume = {54}, pages = {11169}, year = {1996}",
            "VASP",
        ),
    ),
    (
        "abinit",
        (
            "gonze2020abinit",
            "author = {Gonze, Xavier and others}, journal = {Comput. Phys. Commun.}, volume = {248}, pages = {107042}, year = {2020}",
            "ABINIT",
        ),
    ),
    (
        "lammps",
        (
            "thompson2022lammps",
            "author = {Thompson, Aidan P. and others}, journal = {Comput. Phys. Commun.}, volume = {271}, pages = {108171}, year = {2022}",
            "LAMMPS",
        ),
    ),
    (
        "ase",
        (
            "larsen2017ase",
            "author = {Larsen, Ask Hjorth and others}, journal = {J. Phys.: Condens. Matter}, volume = {29}, pages = {273002}, year = {2017}",
            "ASE, besides the method of its calculator",
        ),
    ),
];

/// Prints BibTeX entries, each with what it is for.
pub fn run(args: &CiteArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let mut works: Vec<Work> = ALWAYS.to_vec();
    if let Some(path) = &args.campaign {
        let config = Config::load(path)?;
        let label = serde_json::to_value(&config.label.method).unwrap_or_default();
        let mut used = vec![label["kind"].as_str().unwrap_or_default()];
        let engines = config.explore.iter().filter_map(|s| s.engine.as_ref());
        if engines.into_iter().any(|e| e.kind == EngineKind::Lammps) {
            used.push("lammps");
        }
        let named = USED.iter().filter(|(name, _)| used.contains(name));
        works.extend(named.map(|(_, work)| *work));
    }
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "% the program\n@software{{nepal, title = {{nepal}}, version = {{{version}}}, note = {{commit {}}}}}\n",
        env!("NEPAL_COMMIT")
    );
    for (key, fields, reason) in &works {
        text.push_str(&format!("% {reason}\n@article{{{key}, {fields}}}\n"));
    }
    let data: Vec<_> = works
        .iter()
        .map(|(key, fields, reason)| json!({ "key": key, "fields": fields, "for": reason }))
        .collect();
    output.result("cite", &text, json!({ "version": version, "works": data }));
    Ok(ExitCode::SUCCESS)
}
