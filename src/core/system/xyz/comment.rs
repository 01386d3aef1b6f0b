//! The comment line: `key=value` pairs, as ASE and libAtoms read and write them.

/// A pair, and how it stood in the line.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    pub key: String,
    /// Without quotes; an array in brackets or braces keeps them. `None`: a word alone.
    pub value: Option<String>,
    pub text: String,
}

impl Pair {
    /// The value, `T` for a word alone.
    pub fn told(&self) -> &str {
        self.value.as_deref().unwrap_or("T")
    }

    /// Whether the text means the same whatever follows it: a bracket that is open, or a value that is
    /// missing, would take in what comes next.
    pub fn stands_alone(&self) -> bool {
        let open = |value: &str| {
            self.text.ends_with(value)
                && value.starts_with(['[', '{'])
                && array_end(value) != Some(value.len())
        };
        !self.text.trim_end().ends_with('=') && !self.value.as_deref().is_some_and(open)
    }
}

/// Splits a comment line into pairs. Blanks around `=` are allowed; values with blanks stand in
/// quotes, brackets (`[1, 2]`) or braces (`{1 2}`).
///
/// The error says what is wrong, without the place.
pub(super) fn pairs(line: &str) -> Result<Vec<Pair>, String> {
    let mut rest = line.trim_start();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let (key, after) = word(rest, true)?;
        let (value, after) = match after.trim_start().strip_prefix('=') {
            Some(after) => {
                let (value, after) = word(after.trim_start(), false)?;
                (Some(value), after)
            }
            None => (None, after),
        };
        if key.is_empty() {
            return Err("expected key=value, found a value without a key".into());
        }
        let text = start[..start.len() - after.len()].to_owned();
        pairs.push(Pair { key, value, text });
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// The next key (ends at `=`) or value, and what follows it.
fn word(text: &str, key: bool) -> Result<(String, &str), String> {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (word, end) = quoted_word(text, quote)
                .ok_or("expected a closing quote, found the end of the line")?;
            return Ok((word, &text[end..]));
        }
        Some('[' | '{') if !key => {
            if let Some(end) = array_end(text) {
                return Ok((text[..end].to_owned(), &text[end..]));
            }
        }
        _ => {}
    }
    let end = text
        .find(|c: char| c.is_whitespace() || (key && c == '='))
        .unwrap_or(text.len());
    Ok((text[..end].to_owned(), &text[end..]))
}

/// The content of the quotes that a text begins with, and the place after them.
fn quoted_word(text: &str, quote: char) -> Option<(String, usize)> {
    let mut word = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        if c == quote {
            return Some((word, index + 1));
        }
        match c {
            '\\' => match chars.next()?.1 {
                'n' => word.push('\n'),
                escaped => word.push(escaped),
            },
            c => word.push(c),
        }
    }
    None
}

/// The place after the array that a text begins with; none if its brackets or quotes never close.
fn array_end(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '[' => open.push(']'),
            '{' => open.push('}'),
            ']' | '}' if open.pop() != Some(c) => return None,
            '"' | '\'' => at += quoted_word(&text[at..], c)?.1 - 1,
            _ => {}
        }
        at += c.len_utf8();
        if open.is_empty() {
            return Some(at);
        }
    }
    None
}

/// The words of a list: blanks and commas part them, brackets and braces are passed over.
pub(super) fn words(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
        .filter(|word| !word.is_empty())
}

/// A real number; Fortran writes exponents with D.
pub(super) fn real(word: &str) -> Option<f64> {
    if let Ok(x) = word.parse() {
        return Some(x);
    }
    let at = word.find(['d', 'D'])?;
    let (mantissa, exponent) = (&word[..at], &word[at + 1..]);
    let digits =
        |text: &str, more: &str| text.chars().all(|c| c.is_ascii_digit() || more.contains(c));
    (digits(mantissa, "+-.") && digits(exponent, "+-"))
        .then(|| format!("{mantissa}e{exponent}").parse().ok())
        .flatten()
}

/// A truth value in any spelling.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "t" | "true" | ".true." | "1" => Some(true),
        "f" | "false" | ".false." | "0" => Some(false),
        _ => None,
    }
}

/// A value as it must be written: quoted where needed.
pub(super) fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && !value.starts_with(['[', '{'])
        && !value
            .chars()
            .any(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | '\\'));
    if plain {
        return value.to_owned();
    }
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            _ => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A pair as nepal writes it.
pub(super) fn told(key: &str, value: &str) -> String {
    format!("{}={}", quoted(key), quoted(value))
}
