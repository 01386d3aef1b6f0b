//! Reading extended XYZ frame by frame, with bounded memory and errors that name the line.

use super::comment;
use super::head::{Head, Property, head};
use super::lines::Lines;
use crate::element::Element;
use crate::error::{Error, Result, shorten};
use crate::system::cell::Cell;
use crate::system::frame::{Column, ColumnData, Frame};
use crate::system::structure::Structure;
use std::io::BufRead;

/// Reads frames one after the other; ends after the first error.
pub struct FrameReader<R> {
    lines: Lines<R>,
    failed: bool,
    doubtful: bool,
}

impl<R: BufRead> FrameReader<R> {
    /// A reader; `name` stands for the file in error messages.
    pub fn new(reader: R, name: &str) -> Self {
        Self {
            lines: Lines::new(reader, name),
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
        self.lines.error(message)
    }

    /// The next frame, or none at the end; blank lines between frames are passed over.
    fn frame(&mut self) -> Result<Option<Frame>> {
        let first = loop {
            match self.lines.next()? {
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
        let Some(comment) = self.lines.next()? else {
            self.lines.number += 1;
            return Err(self.error("expected the comment line, found the end of the file"));
        };
        let mut head = head(&self.lines, &comment, self.doubtful)?;
        let properties = std::mem::take(&mut head.properties);
        let words_per_atom: usize = properties.iter().map(|p| p.width).sum();
        let mut columns: Vec<Vec<String>> = properties.iter().map(|_| Vec::new()).collect();
        for atom in 0..n_atoms {
            let Some(line) = self.lines.next()? else {
                self.lines.number += 1;
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
        let name = property.name.as_str();
        let (good, kind) = match (property.kind, name) {
            ('I', "Z") => (number_of(word).is_some(), "an atomic number from 1 to 94"),
            ('I', _) => (word.parse::<i64>().is_ok(), "a whole number"),
            ('R', "pos" | "force_mask") => (finite(word), "a finite number"),
            ('R', "forces") if !self.doubtful => (finite(word), "a finite number"),
            // What nepal does not understand may be undefined: magnetic moments, grades.
            ('R', _) => (comment::real(word).is_some(), "a number"),
            _ => (true, ""),
        };
        if !good {
            return Err(self.error(format!(
                "column {name}: expected {kind}, found {:?}",
                shorten(word)
            )));
        }
        if name == "species" {
            element(word).map_err(|e| self.error(e.to_string()))?;
        }
        Ok(())
    }

    fn assemble(
        &self,
        head: Head,
        properties: Vec<Property>,
        columns: Vec<Vec<String>>,
    ) -> Result<Frame> {
        let mut elements = Vec::new();
        let mut numbers = None;
        let mut positions = Vec::new();
        let mut forces = None;
        let mut mask = None;
        let mut others = Vec::new();
        for (property, words) in properties.into_iter().zip(columns) {
            // Every word was checked where its line was read.
            let reals = || -> Vec<f64> { words.iter().filter_map(|w| comment::real(w)).collect() };
            match property.name.as_str() {
                "species" => elements = words.iter().map(|w| element(w)).collect::<Result<_>>()?,
                "pos" => positions = triples(&reals()),
                "forces" => forces = Some(triples(&reals())),
                "force_mask" => mask = Some(reals()),
                name => {
                    if name == "Z" {
                        let z: Vec<Element> = words.iter().filter_map(|w| number_of(w)).collect();
                        numbers = Some(z);
                    }
                    let width = property.width;
                    let data = match property.kind {
                        'R' => ColumnData::Real {
                            width,
                            values: reals(),
                        },
                        'I' => ColumnData::Integer {
                            width,
                            values: words.iter().filter_map(|w| w.parse().ok()).collect(),
                        },
                        kind => ColumnData::Text {
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
        if let Some(numbers) = numbers {
            let n = positions.len();
            if elements.len() < n {
                // Symbols are written instead.
                elements = numbers;
                others.retain(|c| c.name != "Z");
            } else if let Some(atom) = (0..n).find(|&i| elements[i] != numbers[i]) {
                return Err(self.error(format!(
                    "the columns species and Z contradict each other: atom {} is {} and {}",
                    atom + 1,
                    elements[atom],
                    numbers[atom]
                )));
            }
        }
        let in_head = |message: String| Error::parse(self.lines.name.clone(), head.line, message);
        let cell = match head.lattice {
            Some(vectors) => Cell::new(vectors, head.periodic.unwrap_or([true; 3]))
                .map_err(|e| in_head(e.to_string()))?,
            None if head.periodic.is_some_and(|p| p.contains(&true)) => {
                let message = "pbc names a periodic direction but there is no Lattice";
                return Err(in_head(message.to_owned()));
            }
            None => Cell::isolated(),
        };
        let volume = head.lattice.map(|_| cell.volume());
        let structure = Structure::new(cell, elements, positions)?;
        let mut frame = Frame {
            structure,
            energy: head.energy,
            forces,
            virial: head.virial,
            weight: head.weight,
            energy_weight: head.energy_weight,
            force_mask: mask,
            info: head.info,
            spelling: head.spelling,
            columns: others,
        };
        // Without a cell there is no volume; the key then stays, and `labels` tells of it.
        if let (None, Some(stress), Some(volume)) = (frame.virial, head.stress, volume) {
            let virial = stress.map(|s| -s * volume);
            let finite = |all: &[f64; 9]| all.iter().all(|x| x.is_finite());
            if finite(&stress) && !finite(&virial) {
                let message = "the stress times the volume is no finite number";
                return Err(in_head(message.to_owned()));
            }
            frame.virial = Some(virial);
            for map in [&mut frame.info, &mut frame.spelling] {
                map.retain(|key, _| !key.eq_ignore_ascii_case("stress"));
            }
        }
        Ok(frame)
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

fn finite(word: &str) -> bool {
    comment::real(word).is_some_and(f64::is_finite)
}

fn number_of(word: &str) -> Option<Element> {
    Element::from_number(word.parse().ok()?).ok()
}

/// An element in any spelling: Si, SI, si.
fn element(word: &str) -> Result<Element> {
    Element::from_symbol(word).or_else(|error| {
        if word.len() <= 2 && word.is_ascii() {
            let (first, rest) = word.split_at(1.min(word.len()));
            let usual = first.to_ascii_uppercase() + &rest.to_ascii_lowercase();
            if let Ok(element) = Element::from_symbol(&usual) {
                return Ok(element);
            }
        }
        if word.parse::<usize>().is_ok() {
            return Err(Error::invalid(format!(
                "species is {word}, which may be an atomic number or a type; write symbols, or atomic numbers in a column Z:I:1"
            )));
        }
        Err(error)
    })
}

fn triples(values: &[f64]) -> Vec<[f64; 3]> {
    values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect()
}
