//! Reading extended XYZ frame by frame, with bounded memory and errors that name the line.

use super::comment;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::system::cell::Cell;
use crate::system::frame::{Column, ColumnData, Frame};
use crate::system::structure::Structure;
use std::io::{BufRead, Read};

/// Longest line that is read.
const MAX_LINE: u64 = 1 << 20;

/// Reads frames one after the other; ends after the first error.
pub struct FrameReader<R> {
    reader: R,
    name: String,
    line: usize,
    failed: bool,
    doubtful: bool,
}

/// One group of the `Properties` list.
struct Property {
    name: String,
    kind: char,
    width: usize,
}

impl<R: BufRead> FrameReader<R> {
    /// A reader; `name` stands for the file in error messages.
    pub fn new(reader: R, name: &str) -> Self {
        Self {
            reader,
            name: name.to_owned(),
            line: 0,
            failed: false,
            doubtful: false,
        }
    }

    /// Lets energies, forces, virials and stresses that are not finite numbers pass, for callers who
    /// look at labels themselves and want to name all that are wrong.
    pub fn with_doubtful_labels(mut self) -> Self {
        self.doubtful = true;
        self
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::parse(self.name.clone(), self.line.max(1), message)
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|e| Error::io("read", &self.name, e))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if read as u64 == MAX_LINE {
            return Err(self.error(format!(
                "the line is longer than {MAX_LINE} bytes; is this extended XYZ?"
            )));
        }
        String::from_utf8(bytes)
            .map(|line| Some(line.trim_end_matches(['\n', '\r']).to_owned()))
            .map_err(|_| self.error("the line is not text; is this extended XYZ?"))
    }

    /// The next frame, or none at the end; blank lines between frames are passed over.
    fn frame(&mut self) -> Result<Option<Frame>> {
        let first = loop {
            match self.next_line()? {
                None => return Ok(None),
                Some(line) if line.trim().is_empty() => {}
                Some(line) => break line,
            }
        };
        let n_atoms: usize = first.trim().parse().map_err(|_| {
            self.error(format!(
                "expected the number of atoms, found {:?}",
                shorten(first.trim())
            ))
        })?;
        let Some(comment) = self.next_line()? else {
            self.line += 1;
            return Err(self.error("expected the comment line, found the end of the file"));
        };
        let mut head = self.head(&comment)?;
        let properties = std::mem::take(&mut head.properties);
        let words_per_atom: usize = properties.iter().map(|p| p.width).sum();
        let mut columns: Vec<Vec<String>> = properties.iter().map(|_| Vec::new()).collect();
        for atom in 0..n_atoms {
            let Some(line) = self.next_line()? else {
                self.line += 1;
                return Err(self.error(format!(
                    "the frame announces {n_atoms} atoms, found the end of the file after {atom}"
                )));
            };
            let mut words = line.split_whitespace();
            let found = words.clone().count();
            // Plain XYZ files carry columns that no Properties list explains.
            if found < words_per_atom || (found > words_per_atom && head.explained) {
                return Err(self.error(format!(
                    "expected {words_per_atom} columns as the Properties say, found {found}"
                )));
            }
            for (property, column) in properties.iter().zip(&mut columns) {
                for word in words.by_ref().take(property.width) {
                    self.check_word(property, word)?;
                    column.push(word.to_owned());
                }
            }
        }
        self.assemble(head, properties, columns).map(Some)
    }

    /// Refuses a word that its column cannot hold, while the line number is known.
    fn check_word(&self, property: &Property, word: &str) -> Result<()> {
        let good = match property.kind {
            'R' => word.parse::<f64>().is_ok_and(f64::is_finite),
            'I' => word.parse::<i64>().is_ok(),
            _ => true,
        };
        if !good {
            // Grades of atoms without an active set are written as inf or nan: let those pass.
            let grade = matches!(property.name.as_str(), "gamma" | "rho" | "grade");
            let label = self.doubtful && property.name == "forces" && property.kind == 'R';
            if !((grade || label) && word.parse::<f64>().is_ok()) {
                let kind = if property.kind == 'I' {
                    "a whole number"
                } else {
                    "a finite number"
                };
                return Err(self.error(format!(
                    "column {}: expected {kind}, found {:?}",
                    property.name,
                    shorten(word)
                )));
            }
        }
        if property.name == "species" {
            Element::from_symbol(word).map_err(|e| self.error(e.to_string()))?;
        }
        Ok(())
    }

    /// Understands the comment line.
    fn head(&self, comment: &str) -> Result<Head> {
        let pairs = comment::pairs(comment).map_err(|message| self.error(message))?;
        let mut head = Head::default();
        let mut stress = None;
        for (key, value) in pairs {
            match key.to_ascii_lowercase().as_str() {
                "lattice" => {
                    let numbers: [f64; 9] = self.numbers(&key, &value)?;
                    head.lattice = Some(std::array::from_fn(|i| {
                        std::array::from_fn(|j| numbers[3 * i + j])
                    }));
                }
                "pbc" => head.periodic = Some(self.flags(&value)?),
                "properties" => {
                    head.properties = self.properties(&value)?;
                    head.explained = true;
                }
                "energy" => head.energy = Some(self.numbers::<1>(&key, &value)?[0]),
                "weight" => head.weight = self.numbers::<1>(&key, &value)?[0],
                "energy_weight" => head.energy_weight = self.numbers::<1>(&key, &value)?[0],
                "virial" => head.virial = Some(self.numbers(&key, &value)?),
                "stress" => {
                    stress = Some(self.stress(&key, &value)?);
                    head.info.insert(key, value);
                }
                _ => {
                    head.info.insert(key, value);
                }
            }
        }
        if head.properties.is_empty() {
            head.properties = self.properties("species:S:1:pos:R:3")?;
        }
        head.stress = stress;
        Ok(head)
    }

    fn numbers<const N: usize>(&self, key: &str, value: &str) -> Result<[f64; N]> {
        let list = self.list(key, value)?;
        let found = list.len();
        list.try_into()
            .map_err(|_| self.error(format!("{key} takes {N} numbers, found {found}")))
    }

    fn list(&self, key: &str, value: &str) -> Result<Vec<f64>> {
        let labels = ["energy", "virial", "stress"];
        let doubtful = self.doubtful && labels.iter().any(|l| key.eq_ignore_ascii_case(l));
        value
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']'))
            .filter(|word| !word.is_empty())
            .map(|word| match word.parse::<f64>() {
                Ok(x) if x.is_finite() || doubtful => Ok(x),
                _ => Err(self.error(format!(
                    "{key}: expected a finite number, found {:?}",
                    shorten(word)
                ))),
            })
            .collect()
    }

    /// Nine numbers, or six in Voigt order xx yy zz yz xz xy.
    fn stress(&self, key: &str, value: &str) -> Result<[f64; 9]> {
        match self.list(key, value)?.as_slice() {
            &[xx, yy, zz, yz, xz, xy] => Ok([xx, xy, xz, xy, yy, yz, xz, yz, zz]),
            nine if nine.len() == 9 => Ok(std::array::from_fn(|i| nine[i])),
            other => Err(self.error(format!("{key} takes 9 or 6 numbers, found {}", other.len()))),
        }
    }

    fn flags(&self, value: &str) -> Result<[bool; 3]> {
        let flags: Option<Vec<bool>> = value
            .split_whitespace()
            .map(|word| match word {
                "T" | "1" | "true" | "True" => Some(true),
                "F" | "0" | "false" | "False" => Some(false),
                _ => None,
            })
            .collect();
        flags.and_then(|f| f.try_into().ok()).ok_or_else(|| {
            self.error(format!(
                "pbc takes three of T or F, found {:?}",
                shorten(value)
            ))
        })
    }

    fn properties(&self, value: &str) -> Result<Vec<Property>> {
        let words: Vec<&str> = value.split(':').collect();
        let bad = || {
            self.error(format!(
                "Properties takes name:kind:width groups with kinds S, R, I, L, found {:?}",
                shorten(value)
            ))
        };
        if !words.len().is_multiple_of(3) {
            return Err(bad());
        }
        let mut properties = Vec::new();
        for group in words.chunks_exact(3) {
            let lower = group[0].to_ascii_lowercase();
            // Names that nepal understands come in several spellings.
            let name = match lower.as_str() {
                "species" | "pos" => lower,
                "force" | "forces" => "forces".to_owned(),
                "mask" | "force_mask" => "force_mask".to_owned(),
                _ => group[0].to_owned(),
            };
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
            properties.push(Property { name, kind, width });
        }
        let has = |name: &str, kind: char, width: usize| {
            properties
                .iter()
                .any(|p| p.name == name && p.kind == kind && p.width == width)
        };
        if !has("species", 'S', 1) || !has("pos", 'R', 3) {
            return Err(self.error(format!(
                "Properties must hold species:S:1 and pos:R:3, found {:?}",
                shorten(value)
            )));
        }
        Ok(properties)
    }

    fn assemble(
        &self,
        head: Head,
        properties: Vec<Property>,
        columns: Vec<Vec<String>>,
    ) -> Result<Frame> {
        let mut elements = Vec::new();
        let mut positions = Vec::new();
        let mut forces = None;
        let mut mask = None;
        let mut others = Vec::new();
        let mut seen = Vec::new();
        for (property, words) in properties.into_iter().zip(columns) {
            if seen.contains(&property.name) {
                return Err(self.error(format!("the column {} appears twice", property.name)));
            }
            seen.push(property.name.clone());
            // Every word was checked where its line was read.
            let reals = || -> Vec<f64> { words.iter().filter_map(|w| w.parse().ok()).collect() };
            match (property.name.as_str(), property.kind, property.width) {
                ("species", _, _) => {
                    elements = words
                        .iter()
                        .map(|w| Element::from_symbol(w))
                        .collect::<Result<_>>()?;
                }
                ("pos", _, _) => positions = triples(&reals()),
                ("forces", 'R', 3) => forces = Some(triples(&reals())),
                ("force_mask", 'R', 1) => mask = Some(reals()),
                (_, kind, width) => {
                    let data = match kind {
                        'R' => ColumnData::Real {
                            width,
                            values: reals(),
                        },
                        'I' => ColumnData::Integer {
                            width,
                            values: words.iter().filter_map(|w| w.parse().ok()).collect(),
                        },
                        _ => ColumnData::Text {
                            width,
                            kind,
                            values: words,
                        },
                    };
                    others.push(Column {
                        name: property.name,
                        data,
                    });
                }
            }
        }
        let cell = match head.lattice {
            Some(vectors) => Cell::new(vectors, head.periodic.unwrap_or([true; 3]))
                .map_err(|e| self.error(e.to_string()))?,
            None if head.periodic.is_some_and(|p| p.contains(&true)) => {
                return Err(self.error("pbc names a periodic direction but there is no Lattice"));
            }
            None => Cell::isolated(),
        };
        let volume = cell.volume();
        let structure = Structure::new(cell, elements, positions)?;
        let mut info = head.info;
        let mut virial = head.virial;
        if virial.is_none()
            && let Some(stress) = head.stress
        {
            virial = Some(stress.map(|s| -s * volume));
            info.retain(|key, _| !key.eq_ignore_ascii_case("stress"));
        }
        Ok(Frame {
            structure,
            energy: head.energy,
            forces,
            virial,
            weight: head.weight,
            energy_weight: head.energy_weight,
            force_mask: mask,
            info,
            columns: others,
        })
    }
}

impl<R: BufRead> Iterator for FrameReader<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let frame = self.frame();
        self.failed = frame.is_err();
        frame.transpose()
    }
}

/// What the comment line says.
struct Head {
    lattice: Option<[[f64; 3]; 3]>,
    periodic: Option<[bool; 3]>,
    properties: Vec<Property>,
    /// Whether the file itself gave the Properties.
    explained: bool,
    energy: Option<f64>,
    virial: Option<[f64; 9]>,
    stress: Option<[f64; 9]>,
    weight: f64,
    energy_weight: f64,
    info: std::collections::BTreeMap<String, String>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            lattice: None,
            periodic: None,
            properties: Vec::new(),
            explained: false,
            energy: None,
            virial: None,
            stress: None,
            weight: 1.0,
            energy_weight: 1.0,
            info: std::collections::BTreeMap::new(),
        }
    }
}

fn triples(values: &[f64]) -> Vec<[f64; 3]> {
    values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect()
}

fn shorten(text: &str) -> String {
    if text.chars().count() > 60 {
        text.chars().take(60).chain("...".chars()).collect()
    } else {
        text.to_owned()
    }
}
