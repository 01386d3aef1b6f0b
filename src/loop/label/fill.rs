//! Templates of input files: `@NAME@` in, text out.

use nepal::error::{Error, Result};

/// The template with each `@NAME@` replaced by what `value` gives for the name.
///
/// **Errors**: those of `value`.
pub(crate) fn fill(
    template: &str,
    mut value: impl FnMut(&str) -> Result<String>,
) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, name, after)) = next_placeholder(rest) {
        out.push_str(before);
        out.push_str(&value(name)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// True if a template has the placeholder `@name@`.
pub(crate) fn uses(template: &str, name: &str) -> bool {
    let mut rest = template;
    while let Some((_, found, after)) = next_placeholder(rest) {
        if found == name {
            return true;
        }
        rest = after;
    }
    false
}

/// The error for a placeholder that has no value.
pub(crate) fn unknown<'a>(method: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<String> = known.map(|k| format!("@{k}@")).collect();
    Error::invalid(format!(
        "the {method} template uses @{name}@, which has no value; known are {}; add others to the table \
         `values`",
        known.join(" ")
    ))
}

/// Text before the next `@NAME@`, the name, and the text after it. CP2K's own `@SET`, `@IF` and
/// `@INCLUDE` have no second `@`.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find('@').map(|i| i + from) {
        let tail = &text[at + 1..];
        let end = tail
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(tail.len());
        if end > 0 && tail[end..].starts_with('@') {
            return Some((&text[..at], &tail[..end], &tail[end + 1..]));
        }
        from = at + 1;
    }
    None
}
