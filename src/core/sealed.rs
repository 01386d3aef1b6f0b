//! JSON that tells whether it was spoilt: its last member is a checksum of what stands before it.

use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// What stands before the checksum.
const SUM: &str = ",\"sum\":\"";
/// Characters of a checksum.
const DIGITS: usize = 16;

/// A struct with members as one line of JSON with its checksum, without a line end.
///
/// **Errors**: [`Error::Internal`] for what has no JSON form.
pub fn seal(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value)
        .map_err(|e| Error::Internal(format!("a value has no JSON form: {e}")))?;
    let body = json.strip_suffix('}').unwrap_or(&json);
    Ok(format!("{body}{SUM}{}\"}}", sum(body.as_bytes())))
}

/// Whether a line is what was written: `None` where it has no checksum.
pub fn intact(line: &[u8]) -> Option<bool> {
    body(line).map(|(body, found)| sum(body).as_bytes() == found)
}

/// What was sealed.
///
/// **Errors**: in words, what is wrong with it.
pub fn open<T: DeserializeOwned>(text: &[u8]) -> std::result::Result<T, String> {
    let (body, found) = body(text).ok_or("it has no checksum at its end: it was cut or changed")?;
    if sum(body).as_bytes() != found {
        return Err("its checksum does not fit: it was changed or damaged".into());
    }
    let whole = [body, b"}"].concat();
    serde_json::from_slice(&whole).map_err(|e| format!("it is of another kind or version: {e}"))
}

fn sum(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let bytes = digest.iter().take(DIGITS / 2);
    bytes.map(|b| format!("{b:02x}")).collect()
}

/// What the checksum is of, and the checksum.
fn body(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.trim_ascii_end().strip_suffix(b"\"}")?;
    let (front, found) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    Some((front.strip_suffix(SUM.as_bytes())?, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Saved {
        numbers: Vec<f64>,
    }

    #[test]
    fn each_flipped_bit_is_told() {
        let saved = Saved {
            numbers: vec![1.5, -2e-3, 1.0 / 3.0],
        };
        let text = seal(&saved).unwrap().into_bytes();
        assert_eq!(open::<Saved>(&text).unwrap(), saved);
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut spoilt = text.clone();
                spoilt[place] ^= 1 << bit;
                assert!(open::<Saved>(&spoilt).is_err(), "byte {place}, bit {bit}");
            }
            assert!(open::<Saved>(&text[..place]).is_err());
        }
    }
}
