//! The comment line: `key=value` pairs.

/// Splits a comment line into pairs. Blanks around `=` are allowed; values with blanks stand in
/// quotes; a word without `=` gets the value `T`.
///
/// The error says what is wrong, without the place.
pub(super) fn pairs(line: &str) -> Result<Vec<(String, String)>, String> {
    let mut scanner = Scanner {
        rest: line.trim_start(),
    };
    let mut pairs = Vec::new();
    while !scanner.rest.is_empty() {
        let key = scanner.word(true)?;
        let value = if let Some(rest) = scanner.rest.trim_start().strip_prefix('=') {
            scanner.rest = rest.trim_start();
            scanner.word(false)?
        } else {
            "T".to_owned()
        };
        if key.is_empty() {
            return Err("expected key=value, found a value without a key".into());
        }
        pairs.push((key, value));
        scanner.rest = scanner.rest.trim_start();
    }
    Ok(pairs)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// The next key (ends at `=`) or value; quoted words may hold anything.
    fn word(&mut self, key: bool) -> Result<String, String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            let end = self
                .rest
                .find(|c: char| c.is_whitespace() || (key && c == '='))
                .unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(word.to_owned());
        };
        let mut word = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            if c == quote {
                self.rest = &self.rest[index + 1..];
                return Ok(word);
            }
            if c == '\\' {
                match chars.next() {
                    Some((_, 'n')) => word.push('\n'),
                    Some((_, escaped)) => word.push(escaped),
                    None => break,
                }
            } else {
                word.push(c);
            }
        }
        Err("expected a closing quote, found the end of the line".into())
    }
}

/// A value as it must be written: quoted where needed.
pub(super) fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
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
