//! The public `.asi` text format: per element `El n n`, then the inverse row by row.

use super::compat::CompatSet;
use super::{ActiveSet, Sets};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use std::fmt::Write;
use std::io::BufRead;

/// No token of a legal file is longer.
const LONGEST_TOKEN: usize = 64;

/// The text of a file; elements without a set are left out.
pub(super) fn text(elements: &[Element], sets: &[Option<CompatSet>]) -> String {
    let mut out = String::new();
    for (element, set) in elements.iter().zip(sets) {
        let Some(set) = set else { continue };
        let n = set.origins.len();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{element} {n} {n}");
        for x in &set.inverse {
            let _ = writeln!(out, "{x:.16e}");
        }
    }
    out
}

/// Reads a file for a model. Memory is bounded by what the model calls for.
pub(super) fn read(reader: impl BufRead, name: &str, model: &Model) -> Result<ActiveSet> {
    let width = model.layout().projection_len();
    let mut tokens = Tokens::new(reader, name);
    let mut sets: Vec<Option<CompatSet>> = vec![None; model.elements().len()];
    while let Some(symbol) = tokens.next()? {
        let element = Element::from_symbol(&symbol).map_err(|_| {
            tokens.error(format!(
                "expected an element symbol or the end of the file, found {symbol:?}"
            ))
        })?;
        let t = model
            .type_of(element)
            .map_err(|e| tokens.error(e.to_string()))? as usize;
        if sets[t].is_some() {
            return Err(tokens.error(format!("a second matrix for {element}")));
        }
        for what in ["rows", "columns"] {
            let token = tokens.expect(&format!("the number of {what} of {element}"))?;
            if token.parse() != Ok(width) {
                return Err(tokens.error(format!(
                    "the matrix of {element} has {token} {what}; the model's features have length \
                     {width}, so the file was made for another model"
                )));
            }
        }
        let mut inverse = Vec::with_capacity(width * width);
        for k in 0..width * width {
            let token = tokens.expect(&format!(
                "number {} of {} of the matrix of {element}",
                k + 1,
                width * width
            ))?;
            match token.parse::<f64>() {
                Ok(x) if x.is_finite() => inverse.push(x),
                _ => {
                    return Err(tokens.error(format!(
                        "expected a finite number for row {}, column {} of the matrix of {element}, found {token:?}",
                        k / width + 1,
                        k % width + 1
                    )));
                }
            }
        }
        sets[t] = Some(CompatSet {
            inverse,
            origins: vec![None; width],
        });
    }
    if sets.iter().all(Option::is_none) {
        return Err(tokens.error(
            "the file holds no matrix; expected `element rows columns` and numbers".into(),
        ));
    }
    Ok(ActiveSet {
        elements: model.elements().to_vec(),
        width,
        fingerprint: None,
        sets: Sets::Compat(sets),
    })
}

/// White-space separated words with their line.
struct Tokens<'a, R> {
    reader: R,
    name: &'a str,
    line: usize,
    /// Line of the last token.
    token_line: usize,
}

impl<'a, R: BufRead> Tokens<'a, R> {
    fn new(reader: R, name: &'a str) -> Self {
        Self {
            reader,
            name,
            line: 1,
            token_line: 1,
        }
    }

    fn error(&self, message: String) -> Error {
        Error::parse(self.name, self.token_line, message)
    }

    fn expect(&mut self, what: &str) -> Result<String> {
        match self.next()? {
            Some(token) => Ok(token),
            None => Err(Error::parse(
                self.name,
                self.line,
                format!("the file ends before {what}; is it cut off?"),
            )),
        }
    }

    fn next(&mut self) -> Result<Option<String>> {
        let mut token = Vec::new();
        loop {
            let buffer = self
                .reader
                .fill_buf()
                .map_err(|e| Error::io("read", self.name, e))?;
            if buffer.is_empty() {
                break;
            }
            let mut used = 0;
            let mut complete = false;
            for &byte in buffer {
                if byte.is_ascii_whitespace() {
                    if !token.is_empty() {
                        complete = true;
                        break;
                    }
                    self.line += usize::from(byte == b'\n');
                } else {
                    if token.is_empty() {
                        self.token_line = self.line;
                    }
                    token.push(byte);
                    if token.len() > LONGEST_TOKEN {
                        break;
                    }
                }
                used += 1;
            }
            self.reader.consume(used);
            if complete || token.len() > LONGEST_TOKEN {
                break;
            }
        }
        if token.is_empty() {
            return Ok(None);
        }
        match String::from_utf8(token) {
            Ok(text) if text.len() <= LONGEST_TOKEN => Ok(Some(text)),
            _ => Err(self.error(format!(
                "a word that is not text or longer than {LONGEST_TOKEN} characters; this is no active set"
            ))),
        }
    }
}
