//! What the comment line says.

use super::comment::{self, Pair};
use super::lines::Lines;
use crate::error::{Result, shorten};
use std::collections::BTreeMap;
use std::io::BufRead;

/// One group of the `Properties` list.
pub(super) struct Property {
    pub name: String,
    pub kind: char,
    pub width: usize,
}

pub(super) struct Head {
    /// Where it stands.
    pub line: usize,
    pub lattice: Option<[[f64; 3]; 3]>,
    pub periodic: Option<[bool; 3]>,
    pub properties: Vec<Property>,
    /// Whether the file itself gave the Properties.
    pub explained: bool,
    pub energy: Option<f64>,
    pub virial: Option<[f64; 9]>,
    pub stress: Option<[f64; 9]>,
    pub weight: f64,
    pub energy_weight: f64,
    pub info: BTreeMap<String, String>,
    pub spelling: BTreeMap<String, String>,
}

/// Keys that a frame has fields for.
pub(super) fn is_understood(key: &str) -> bool {
    const KEYS: [&str; 8] = [
        "lattice",
        "pbc",
        "properties",
        "energy",
        "virial",
        "stress",
        "weight",
        "energy_weight",
    ];
    KEYS.iter().any(|k| key.eq_ignore_ascii_case(k))
}

/// Reads the comment line; `doubtful` lets labels pass that are not finite.
pub(super) fn head<R: BufRead>(lines: &Lines<R>, line: &str, doubtful: bool) -> Result<Head> {
    let pairs = comment::pairs(line).map_err(|message| lines.error(message))?;
    let values = Values { lines, doubtful };
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut head = Head {
        line: lines.number,
        lattice: None,
        periodic: None,
        properties: Vec::new(),
        explained: false,
        energy: None,
        virial: None,
        stress: None,
        weight: 1.0,
        energy_weight: 1.0,
        info: BTreeMap::new(),
        spelling: BTreeMap::new(),
    };
    for pair in pairs {
        // A word without a value is no key, whatever its name: "minimum energy cell".
        let Some(value) = &pair.value else {
            head.keep(pair);
            continue;
        };
        let key = &pair.key;
        if is_understood(key)
            && let Some(first) = seen.insert(key.to_ascii_lowercase(), value.clone())
            && first != *value
        {
            return Err(lines.error(format!(
                "{key} appears twice, as {:?} and as {:?}; keep the one that is meant (upper and lower case are one)",
                shorten(&first),
                shorten(value)
            )));
        }
        match key.to_ascii_lowercase().as_str() {
            "lattice" => head.lattice = Some(values.lattice(key, value)?),
            "pbc" => head.periodic = Some(values.flags(value)?),
            "properties" => {
                head.properties = values.properties(value)?;
                head.explained = true;
            }
            "energy" => head.energy = Some(values.numbers::<1>(key, value)?[0]),
            "weight" => head.weight = values.numbers::<1>(key, value)?[0],
            "energy_weight" => head.energy_weight = values.numbers::<1>(key, value)?[0],
            "virial" => head.virial = Some(values.numbers(key, value)?),
            "stress" => {
                head.stress = Some(values.stress(key, value)?);
                head.keep(pair);
            }
            _ => head.keep(pair),
        }
    }
    if head.lattice.is_none()
        && let Some(key) = head
            .info
            .keys()
            .find(|key| values.is_cell(key, &head.info[*key]))
    {
        return Err(lines.error(format!(
            "there is no Lattice, but nine numbers under {key}; write them as Lattice=\"...\", or leave them out if nothing is periodic"
        )));
    }
    if head.properties.is_empty() {
        head.properties = values.properties("species:S:1:pos:R:3")?;
    }
    Ok(head)
}

impl Head {
    fn keep(&mut self, pair: Pair) {
        let value = pair.told().to_owned();
        if pair.text == comment::told(&pair.key, &value) || !pair.stands_alone() {
            self.spelling.remove(&pair.key);
        } else {
            self.spelling.insert(pair.key.clone(), pair.text);
        }
        self.info.insert(pair.key, value);
    }
}

/// Nine numbers of six in Voigt order xx yy zz yz xz xy, or of nine.
pub(super) fn full_tensor(numbers: &[f64]) -> Option<[f64; 9]> {
    match *numbers {
        [xx, yy, zz, yz, xz, xy] => Some([xx, xy, xz, xy, yy, yz, xz, yz, zz]),
        _ => numbers.try_into().ok(),
    }
}

/// Reads values, with errors that name the key.
struct Values<'a, R> {
    lines: &'a Lines<R>,
    doubtful: bool,
}

impl<R: BufRead> Values<'_, R> {
    fn numbers<const N: usize>(&self, key: &str, value: &str) -> Result<[f64; N]> {
        let list = self.list(key, value)?;
        let found = list.len();
        list.try_into().map_err(|_| {
            self.lines
                .error(format!("{key} takes {N} numbers, found {found}"))
        })
    }

    fn list(&self, key: &str, value: &str) -> Result<Vec<f64>> {
        let labels = ["energy", "virial", "stress"];
        let doubtful = self.doubtful && labels.iter().any(|l| key.eq_ignore_ascii_case(l));
        comment::words(value)
            .map(|word| match comment::real(word) {
                Some(x) if x.is_finite() || doubtful => Ok(x),
                _ => Err(self.lines.error(format!(
                    "{key}: expected a finite number, found {:?}",
                    shorten(word)
                ))),
            })
            .collect()
    }

    fn lattice(&self, key: &str, value: &str) -> Result<[[f64; 3]; 3]> {
        let n: [f64; 9] = self.numbers(key, value)?;
        let rows: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| n[3 * i + j]));
        let symmetric = (0..3).all(|i| (0..i).all(|j| rows[i][j] == rows[j][i]));
        // ASE reads the lists of such an array as the columns of the cell, others as the vectors.
        if value.matches('[').count() > 1 && !symmetric {
            return Err(self.lines.error(format!(
                "{key}: lists in a list may be rows or columns; write nine numbers, one vector after the other"
            )));
        }
        Ok(rows)
    }

    /// Whether a pair that nepal does not read is the cell under another name.
    fn is_cell(&self, key: &str, value: &str) -> bool {
        const NAMES: [&str; 6] = [
            "cell",
            "unitcell",
            "box",
            "tv",
            "latticevectors",
            "cellvectors",
        ];
        let name: String = key.chars().filter(|c| c.is_alphanumeric()).collect();
        NAMES.iter().any(|n| name.eq_ignore_ascii_case(n)) && self.numbers::<9>(key, value).is_ok()
    }

    fn stress(&self, key: &str, value: &str) -> Result<[f64; 9]> {
        let numbers = self.list(key, value)?;
        full_tensor(&numbers).ok_or_else(|| {
            let found = numbers.len();
            self.lines
                .error(format!("{key} takes 9 or 6 numbers, found {found}"))
        })
    }

    /// Three truth values, also run together (TTF), or one for all.
    fn flags(&self, value: &str) -> Result<[bool; 3]> {
        let words: Vec<&str> = comment::words(value)
            .map(|word| word.trim_matches(['"', '\'']))
            .collect();
        let run_on = match words[..] {
            [word] if word.len() == 3 && word.is_ascii() => (0..3)
                .map(|k| comment::truth(&word[k..=k]))
                .collect::<Option<Vec<bool>>>(),
            _ => None,
        };
        let flags = run_on.or_else(|| words.iter().map(|w| comment::truth(w)).collect());
        match flags.as_deref() {
            Some(&[all]) => Ok([all; 3]),
            Some(&[a, b, c]) => Ok([a, b, c]),
            _ => Err(self.lines.error(format!(
                "pbc takes three of T or F, found {:?}",
                shorten(value)
            ))),
        }
    }

    fn properties(&self, value: &str) -> Result<Vec<Property>> {
        let words: Vec<&str> = value.split(':').collect();
        let bad = || {
            self.lines.error(format!(
                "Properties takes name:kind:width groups with kinds S, R, I, L, found {:?}",
                shorten(value)
            ))
        };
        if !words.len().is_multiple_of(3) {
            return Err(bad());
        }
        let mut properties = Vec::new();
        for group in words.chunks_exact(3) {
            let kind = match group[1] {
                "S" | "s" => 'S',
                "R" | "r" => 'R',
                "I" | "i" => 'I',
                "L" | "l" => 'L',
                _ => return Err(bad()),
            };
            let width = group[2].parse().map_err(|_| bad())?;
            if width == 0 || width > 10_000 {
                return Err(bad());
            }
            let name = group[0].to_owned();
            properties.push(Property { name, kind, width });
        }
        for (ours, kinds, width, spellings) in COLUMNS {
            rename(&mut properties, ours, kinds, width, spellings);
        }
        let has = |name: &str| properties.iter().any(|p| p.name == name);
        if !(has("species") || has("Z")) || !has("pos") {
            return Err(self.lines.error(format!(
                "Properties must hold species:S:1 (or Z:I:1) and pos:R:3, found {:?}",
                shorten(value)
            )));
        }
        for (k, property) in properties.iter().enumerate() {
            let name = &property.name;
            if properties[..k].iter().any(|p| p.name == *name) {
                return Err(self.lines.error(format!("the column {name} appears twice")));
            }
            let ours = COLUMNS.iter().find(|c| c.0 == name);
            if let Some((_, kinds, width, _)) = ours
                && !(kinds.contains(property.kind) && property.width == *width)
            {
                return Err(self.lines.error(format!(
                    "the column {name} must be {name}:{}:{width}, found {name}:{}:{}",
                    &kinds[..1],
                    property.kind,
                    property.width
                )));
            }
        }
        Ok(properties)
    }
}

/// Columns that a frame has fields for: name, kinds, width, and its spellings, the usual first.
const COLUMNS: [(&str, &str, usize, &[&str]); 5] = [
    (
        "species",
        "S",
        1,
        &["species", "symbols", "symbol", "element", "elements"],
    ),
    ("pos", "RI", 3, &["pos", "positions", "position"]),
    ("forces", "RI", 3, &["forces", "force"]),
    ("Z", "I", 1, &["z", "numbers", "atomic_numbers"]),
    ("force_mask", "RI", 1, &["force_mask", "mask"]),
];

/// Gives the column that has the first of some spellings our name for it. Others keep theirs: of
/// `force` beside `forces` nobody knows what it is.
fn rename(properties: &mut [Property], ours: &str, kinds: &str, width: usize, spellings: &[&str]) {
    for (rank, spelling) in spellings.iter().enumerate() {
        for property in &mut *properties {
            let fits = kinds.contains(property.kind) && property.width == width;
            // Under the usual name a column of another shape is a mistake, under others something else.
            if property.name.eq_ignore_ascii_case(spelling) && (fits || rank == 0) {
                property.name = ours.to_owned();
                return;
            }
        }
    }
}
