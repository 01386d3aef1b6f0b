//! Lists of words in files that people write.

use serde::Deserialize;

/// A program and its arguments: a list, or one text that is split at spaces.
pub(crate) fn words<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Either {
        Text(String),
        List(Vec<String>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        Either::List(list) => list,
    })
}
