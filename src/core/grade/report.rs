//! How active sets were built, in numbers and in words.

use super::{BuildOptions, GradeKind};
use crate::element::Element;
use std::fmt;

/// How an active set was built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// Which form of the grade.
    pub kind: GradeKind,
    /// By type.
    pub elements: Vec<ElementReport>,
}

impl BuildReport {
    /// What was done beyond the ordinary, one sentence an element.
    pub fn notes(&self) -> Vec<String> {
        self.elements
            .iter()
            .filter(|e| !e.note.is_empty())
            .map(|e| format!("active set of {}: {}", e.element, e.note))
            .collect()
    }
}

/// How the active set of one element was built.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementReport {
    /// The element.
    pub element: Element,
    /// Environments offered.
    pub offered: usize,
    /// Active rows, 0 if there is no set. In the compatibility form the directions that the
    /// pseudo-inverse keeps.
    pub rank: usize,
    /// Condition number of the active matrix; this and what follows, NaN in the ridge form.
    pub condition: f64,
    /// Row exchanges in each batch, the final pass last if there was one.
    pub iterations: Vec<usize>,
    /// ln|det| of the active matrix.
    pub ln_det: f64,
    /// Largest γ of all offered environments.
    pub max_gamma: f64,
    /// The λ of the ridge form; NaN in the compatibility form.
    pub lambda: f64,
    /// What was done beyond the ordinary, in words; empty if nothing.
    pub note: String,
}

impl ElementReport {
    pub(super) fn empty(element: Element, offered: usize) -> Self {
        Self {
            element,
            offered,
            rank: 0,
            condition: f64::NAN,
            iterations: Vec::new(),
            ln_det: f64::NAN,
            max_gamma: f64::NAN,
            lambda: f64::NAN,
            note: String::new(),
        }
    }

    pub(super) fn remark(&mut self, sentence: String) {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(&sentence);
    }

    pub(super) fn remark_bound(&mut self, options: &BuildOptions) {
        // Rounding between two ways of computing the same coefficients is no reason to speak up.
        if self.max_gamma > options.tolerance * (1.0 + 1e-6) {
            self.remark(format!(
                "the largest γ of an offered environment is {:.4}, above the tolerance of {}{}",
                self.max_gamma,
                options.tolerance,
                if options.final_pass {
                    ""
                } else {
                    " (no final pass was asked for)"
                }
            ));
        }
    }
}

impl fmt::Display for BuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for e in &self.elements {
            if e.rank == 0 {
                writeln!(f, "{}: {} environments; {}", e.element, e.offered, e.note)?;
                continue;
            }
            if self.kind == GradeKind::Ridge {
                write!(
                    f,
                    "{}: {} environments, {} active rows (ridge form), λ {:.2e}, largest Γ {:.3}",
                    e.element, e.offered, e.rank, e.lambda, e.max_gamma
                )?;
                match e.note.is_empty() {
                    true => writeln!(f)?,
                    false => writeln!(f, "; {}", e.note)?,
                }
                continue;
            }
            write!(
                f,
                "{}: {} environments, rank {} (compat form), condition {:.1e}, {} exchanges, ln|det| {:.3}, largest γ {:.4}",
                e.element,
                e.offered,
                e.rank,
                e.condition,
                e.iterations.iter().sum::<usize>(),
                e.ln_det,
                e.max_gamma
            )?;
            if !e.note.is_empty() {
                write!(f, "; {}", e.note)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
