//! The one error type of the crate.
//!
//! A message says where, what was expected, what was found and what to do. The C ABI alone
//! maps the variants to the numbers that C sees.

use std::path::Path;

/// Everything that can go wrong in nepal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value handed to nepal is not acceptable (NaN position, singular cell, unknown element).
    #[error("{0}")]
    InvalidArgument(String),
    /// The operating system refused a file operation.
    #[error("{context}: {source}")]
    Io {
        /// The file and what was being done with it.
        context: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not follow its format.
    #[error("{file}:{line}: {message}")]
    Parse {
        /// Name of the file as the caller gave it.
        file: String,
        /// Line number, counted from 1.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// The input is legal but not supported by this version or build.
    #[error("{0}")]
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
    #[error("{0}")]
    Backend(String),
    /// A callback of the caller returned a non-zero status, handed back untouched.
    #[error("a callback returned status {0}")]
    Callback(i32),
    /// A program that nepal started, or a step that it runs, failed.
    #[error("{0}")]
    Failed(String),
    /// A broken promise inside nepal; please report it.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The beginning of what was found in a file, for a message.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.chars().nth(MOST) {
        Some(_) => text.chars().take(MOST).chain("...".chars()).collect(),
        None => text.to_owned(),
    }
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
