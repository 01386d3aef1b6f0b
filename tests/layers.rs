//! The layers inside each crate: a module uses the rows below its own, never one above or beside it.
//! Between crates the compiler holds that. `ARCHITECTURE.md` says what each is for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folder of a crate, and its modules from the ground up; those of a row do not know each other.
const CRATES: [(&str, &[&[&str]]); 6] = [
    (
        "src/core",
        &[
            &["error"],
            &["element", "files", "simd", "units"],
            &["system"],
            &["model"],
            &["nep"],
            &["backend", "grade", "posterior"],
            &["features"],
        ],
    ),
    (
        "src/cuda",
        &[
            &["angular", "args", "arrays", "library"],
            &["driver", "source"],
            &["memory", "nvrtc"],
            &["program", "signal", "tables"],
            &["grades", "reduce", "scan", "train", "volume"],
            &["compiler", "lists"],
            &["engine"],
        ],
    ),
    (
        "src/dynamics",
        &[
            &["lennard_jones", "options", "random"],
            &["state"],
            &["coupling"],
        ],
    ),
    (
        "src/train",
        &[
            &["conditions"],
            &["data", "errors", "kernel", "robust", "split"],
            &["optimize", "outcome", "outliers", "targets"],
            &["nep_in", "objective", "output", "posterior"],
            &["initial", "record", "reference", "residuals"],
            &["precondition", "restart"],
            &["run"],
            &["external", "least_squares"],
        ],
    ),
    ("src", &[&["calculator"], &["fragment"], &["capi"]]),
    (
        "src/loop",
        &[
            &["words", "plot", "log", "worker"],
            &["formats"],
            &["schedule", "explore", "label", "study"],
            &["campaign"],
        ],
    ),
];

/// Members of the workspace that lie below another one's folder.
const NESTED: [&str; 5] = ["core", "cuda", "dynamics", "train", "loop"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The modules of this crate that a text names behind the path of its root.
fn named(text: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(root) {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        if line.trim_start().starts_with("//")
            || text[..at].ends_with(|c: char| c == '_' || c == ':' || c.is_alphanumeric())
        {
            continue;
        }
        let rest = &text[at + root.len()..];
        let list = match rest.strip_prefix('{') {
            Some(inner) => &inner[..inner.find(';').unwrap_or(inner.len())],
            None => {
                &rest[..rest
                    .find(|c: char| c != '_' && !c.is_alphanumeric())
                    .unwrap_or(rest.len())]
            }
        };
        // Of a group, the first word of each entry at its own level.
        let mut depth = 0;
        let mut word = String::new();
        let mut whole = true;
        for c in list.chars().chain([',']) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth <= 0 => {
                    found.push(std::mem::take(&mut word));
                    whole = true;
                }
                c if whole && depth == 0 && (c == '_' || c.is_alphanumeric()) => word.push(c),
                ':' => whole = false,
                _ => {}
            }
        }
    }
    found
}

#[test]
fn no_module_imports_against_the_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (folder, rows) in CRATES {
        let level: BTreeMap<&str, usize> = rows
            .iter()
            .enumerate()
            .flat_map(|(k, row)| row.iter().map(move |&module| (module, k)))
            .collect();
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        let mut seen = std::collections::BTreeSet::new();
        for file in files {
            let inside = file.strip_prefix(root.join(folder)).expect("inside");
            let first = inside
                .iter()
                .next()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let module = first.trim_end_matches(".rs").to_owned();
            if folder == "src" && NESTED.contains(&module.as_str()) {
                continue;
            }
            if let Some(&own) = level.get(module.as_str()) {
                seen.insert(module.clone());
                let text = std::fs::read_to_string(&file).expect("text");
                let depth = inside.iter().count() - usize::from(inside.ends_with("mod.rs"));
                let by_super = named(&text, &"super::".repeat(depth));
                for other in named(&text, "crate::").into_iter().chain(by_super) {
                    if level.get(other.as_str()).is_some_and(|&at| at >= own) && other != module {
                        wrong.push(format!("{}: {module} uses {other}", file.display()));
                    }
                }
            }
        }
        let missing: Vec<_> = level.keys().filter(|m| !seen.contains(**m)).collect();
        assert!(
            missing.is_empty(),
            "{folder}: the table names {missing:?}, which are not there"
        );
    }
    assert!(
        wrong.is_empty(),
        "against the layers:\n{}",
        wrong.join("\n")
    );
}

/// Steps of a campaign meet in files: none names another.
#[test]
fn steps_do_not_know_each_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/loop/campaign/steps");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let step = |file: &Path| {
        let inside = file.strip_prefix(&folder).expect("inside");
        let first = inside
            .iter()
            .next()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        first.trim_end_matches(".rs").to_owned()
    };
    let steps: std::collections::BTreeSet<String> = files.iter().map(|f| step(f)).collect();
    assert!(steps.len() > 5, "{steps:?}");
    for file in files.iter().filter(|f| step(f) != "mod") {
        let text = std::fs::read_to_string(file).expect("text");
        for other in steps.iter().filter(|other| **other != step(file)) {
            for path in [format!("super::{other}::"), format!("steps::{other}")] {
                assert!(!text.contains(&path), "{} uses {other}", file.display());
            }
        }
    }
}

#[test]
fn imports_are_read_as_they_are_written() {
    let text = "use crate::error::Error;\nuse crate::{model::Model, system::{Cell, Frame}, nep};\n// crate::capi\nlet x = crate::grade::f();";
    assert_eq!(
        named(text, "crate::"),
        ["error", "model", "system", "nep", "grade"]
    );
    let text = "use super::super::lists::Lists;\nuse super::{args, memory::Buffer};";
    assert_eq!(named(text, "super::super::"), ["lists"]);
    assert_eq!(named(text, "super::"), ["super", "args", "memory"]);
}
