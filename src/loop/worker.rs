//! The Python programs of nepal-loop. Each is handed to Python as an argument, so that no file has to be installed.

/// Labels: its text is part of what identifies a label, so what else Python does has programs of its own.
pub(crate) const LABEL: &str = concat!(
    include_str!("worker/labels.py"),
    include_str!("worker/main.py")
);
/// Labels for many structures in a row.
pub(crate) const SERVE: &str = concat!(
    include_str!("worker/labels.py"),
    include_str!("worker/serve.py"),
    include_str!("worker/main.py")
);
/// Exploration by functions.
pub(crate) const EXPLORE: &str = concat!(
    include_str!("worker/labels.py"),
    include_str!("worker/explore.py"),
    include_str!("worker/main.py")
);
/// Files of other formats.
pub(crate) const FILES: &str = concat!(
    include_str!("worker/labels.py"),
    include_str!("worker/outputs.py"),
    include_str!("worker/files.py"),
    include_str!("worker/main.py")
);
