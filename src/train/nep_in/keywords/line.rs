//! A line of `nep.in`: its words, in the ranges that are allowed, or an error that says where.

use nepal::error::{Error, Result};

/// A line of the file: its words and where it is.
pub(super) struct Line<'a> {
    pub(super) file: &'a str,
    pub(super) number: usize,
    pub(super) keyword: &'a str,
    pub(super) words: Vec<&'a str>,
}

impl Line<'_> {
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::parse(
            self.file,
            self.number,
            format!("{} {message}", nepal::error::shorten(self.keyword)),
        )
    }

    /// Refuses a number of values outside a range.
    pub(super) fn count(&self, low: usize, high: usize) -> Result<()> {
        if (low..=high).contains(&self.words.len()) {
            return Ok(());
        }
        let expected = if low == high {
            format!("{low}")
        } else {
            format!("{low} to {high}")
        };
        Err(self.error(format!(
            "takes {expected} value(s); found {}",
            self.words.len()
        )))
    }

    pub(super) fn number(&self, index: usize, low: f64, high: f64) -> Result<f64> {
        let word = self.words[index];
        match word.parse::<f64>() {
            Ok(x) if (low..=high).contains(&x) => Ok(x),
            _ => Err(self.error(format!(
                "takes a number from {low} to {high}; found {word:?}"
            ))),
        }
    }

    pub(super) fn whole(&self, index: usize, low: usize, high: usize) -> Result<usize> {
        let word = self.words[index];
        match word.parse::<usize>() {
            Ok(x) if (low..=high).contains(&x) => Ok(x),
            _ => Err(self.error(format!(
                "takes a whole number from {low} to {high}; found {word:?}"
            ))),
        }
    }

    /// The value among `allowed` whose word stands alone on the line.
    pub(super) fn word<T: Copy>(
        &self,
        allowed: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<T> {
        self.count(1, 1)?;
        let found = allowed.iter().find(|v| word(**v) == self.words[0]);
        found.copied().ok_or_else(|| {
            let words: Vec<&str> = allowed.iter().map(|v| word(*v)).collect();
            self.error(format!(
                "takes one of {}; found {:?}",
                words.join(", "),
                self.words[0]
            ))
        })
    }

    /// Whether the line switches its thing off.
    pub(super) fn off(&self) -> bool {
        self.words.first().is_some_and(|w| w.parse() == Ok(0.0))
    }

    pub(super) fn one(&self, low: f64, high: f64) -> Result<f64> {
        self.count(1, 1)?;
        self.number(0, low, high)
    }

    pub(super) fn one_whole(&self, low: usize, high: usize) -> Result<usize> {
        self.count(1, 1)?;
        self.whole(0, low, high)
    }
}
