//! The one error type of the crate.
//!
//! A message says where, what was expected, what was found and what to do. The C ABI alone
//! maps the variants to the numbers that C sees.

use std::borrow::Cow;
use std::path::Path;

/// Everything that can go wrong in nepal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value handed to nepal is not acceptable (NaN position, singular cell, unknown element).
    #[error("{}", told(.0))]
    InvalidArgument(String),
    /// The operating system refused a file operation.
    #[error("{}: {source}", told(.context))]
    Io {
        /// The file and what was being done with it.
        context: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not follow its format.
    #[error("{}:{line}: {}", told(.file), told(.message))]
    Parse {
        /// Name of the file as the caller gave it.
        file: String,
        /// Line number, counted from 1.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// The input is legal but not supported by this version or build.
    #[error("{}", told(.0))]
    Unsupported(String),
    /// A caller's buffer is too short.
    #[error("the buffer holds {found} values but {needed} are needed")]
    BufferTooSmall {
        /// Values needed.
        needed: usize,
        /// Values that fit.
        found: usize,
    },
    /// A compute backend is not available or failed.
    #[error("{}", told(.0))]
    Backend(String),
    /// A callback of the caller returned a non-zero status, handed back untouched.
    #[error("a callback returned status {0}")]
    Callback(i32),
    /// A program that nepal started, or a step that it runs, failed.
    #[error("{}", told(.0))]
    Failed(String),
    /// A broken promise inside nepal; please report it.
    #[error("internal error: {}", told(.0))]
    Internal(String),
}

/// The beginning of what was found in a file, for a message.
pub fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.chars().nth(MOST) {
        Some(_) => text.chars().take(MOST).chain("...".chars()).collect(),
        None => text.to_owned(),
    }
}

/// Text that a terminal only shows: control characters other than line ends and tabs are spelt out.
pub fn printable(text: &str) -> Cow<'_, str> {
    let raw = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(raw) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match raw(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A message that quotes a file, or its name: printable, and without the middle of what is too long for people.
fn told(text: &str) -> Cow<'_, str> {
    const MOST: usize = 3000;
    const END: usize = 800;
    let text = printable(text);
    let count = text.chars().count();
    if count <= MOST {
        return text;
    }
    let start = text.chars().take(MOST - END).chain(" ... ".chars());
    Cow::Owned(start.chain(text.chars().skip(count - END)).collect())
}

/// Result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::InvalidArgument`] from a message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArgument(message.into())
    }

    /// The same error with words before it that say where it arose; its kind stays.
    pub fn within(self, place: &str) -> Self {
        let with = |text: String| format!("{place}: {text}");
        match self {
            Self::InvalidArgument(text) => Self::InvalidArgument(with(text)),
            Self::Unsupported(text) => Self::Unsupported(with(text)),
            Self::Backend(text) => Self::Backend(with(text)),
            Self::Failed(text) => Self::Failed(with(text)),
            other => other,
        }
    }

    /// An [`Error::Io`] that names the file and the action.
    pub fn io(action: &str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            context: format!("cannot {action} {}", path.as_ref().display()),
            source,
        }
    }

    /// An [`Error::Parse`] at a line (counted from 1) of a file.
    pub fn parse(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self::Parse {
            file: file.into(),
            line,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_harmless_to_a_terminal() {
        let quoted = "found a\u{1b}[2J\u{9b}1m\0\r, Å\n\tend";
        let all = [
            Error::invalid(quoted),
            Error::parse("x\u{1b}c", 3, quoted),
            Error::io("read", "x\u{7}", std::io::Error::other("no")),
            Error::Failed(quoted.into()),
        ];
        for error in all {
            let text = error.to_string();
            let raw = |c: char| c.is_control() && !"\n\t".contains(c);
            assert!(!text.contains(raw), "{text:?}");
        }
        let long = Error::Failed(format!("begin {} end", "Å".repeat(100_000))).to_string();
        assert!(long.starts_with("begin Å") && long.ends_with("Å end") && long.len() < 7000);
        assert_eq!(printable("a\u{1b}[0m"), "a\\u{1b}[0m");
        assert_eq!(printable("Å\n\tend"), "Å\n\tend");
    }
}
