//! Where new configurations come from: built-in molecular dynamics.
