//! Damages files as users, programs and disks do: bytes, words, numbers, lines, blocks, ends.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Numbers and words that parsers trip over.
const POISON: [&[u8]; 24] = [
    b"-1",
    b"0",
    b"-0.0",
    b"nan",
    b"inf",
    b"-Infinity",
    b"1e999",
    b"1e-320",
    b"1.7976931348623157e308",
    b"99999999999999999999",
    b"18446744073709551615",
    b"9223372036854775808",
    b"4294967296",
    b"2147483648",
    b"1.0d+300",
    b"***********",
    b"\"",
    b"=",
    b":",
    b"\n\n",
    b"\0",
    b"\xff",
    b"\t",
    b"\\",
];

/// A damaged version of `original`; pieces may come from `other`.
pub fn mutate(original: &[u8], other: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..random.random_range(1..5) {
        if bytes.is_empty() {
            break;
        }
        // Headers are where decisions are made.
        let reach = match random.random_bool(0.4) {
            true => bytes.len().min(200),
            false => bytes.len(),
        };
        let at = random.random_range(0..reach);
        match random.random_range(0..12) {
            0..=2 => word(&mut bytes, at, random),
            3..=6 => lines(&mut bytes, at, other, random),
            _ => stretch(&mut bytes, at, other, random),
        }
    }
    bytes
}

fn poison(random: &mut ChaCha8Rng) -> &'static [u8] {
    POISON[random.random_range(0..POISON.len())]
}

/// Changes the word at a place: another, none, twice, or the number that it is.
fn word(bytes: &mut Vec<u8>, at: usize, random: &mut ChaCha8Rng) {
    let space = |b: &u8| b.is_ascii_whitespace() || b"\"',=[]{}".contains(b);
    let from = bytes[..at].iter().rposition(space).map_or(0, |k| k + 1);
    let to = bytes[at..].iter().position(space);
    let to = to.map_or(bytes.len(), |k| at + k);
    if from >= to {
        return stretch(bytes, at, b"", random);
    }
    let old = String::from_utf8_lossy(&bytes[from..to]).into_owned();
    let number: Option<f64> = old.parse().ok();
    let new = match (random.random_range(0..8), number) {
        (0, _) => Vec::new(),
        (1, _) => format!("{old} {old}").into_bytes(),
        (2, Some(x)) => format!("{}", -x).into_bytes(),
        (3, Some(x)) => format!("{}", x + 1.0).into_bytes(),
        (4, Some(x)) => {
            let power = random.random_range(-30..300);
            format!("{:e}", x * 10f64.powi(power)).into_bytes()
        }
        (5, Some(x)) => format!("{}", (x * 1e3).round()).into_bytes(),
        (5, None) => old.to_uppercase().into_bytes(),
        _ => poison(random).to_vec(),
    };
    bytes.splice(from..to, new);
}

/// Drops, repeats, swaps or moves lines, or takes some of the other file.
fn lines(bytes: &mut Vec<u8>, at: usize, other: &[u8], random: &mut ChaCha8Rng) {
    let all: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    let line = bytes[..at].iter().filter(|b| **b == b'\n').count();
    let count = match random.random_bool(0.7) {
        true => 1,
        false => random.random_range(1..40),
    };
    let line = line.min(all.len() - 1);
    let end = (line + count).min(all.len());
    let place = random.random_range(0..all.len());
    let mut new = all.clone();
    match random.random_range(0..6) {
        0 => drop(new.drain(line..end)),
        1 => drop(new.splice(end..end, all[line..end].iter().copied())),
        2 => new.swap(line, place),
        3 => {
            let block: Vec<&[u8]> = new.drain(line..end).collect();
            let place = place.min(new.len());
            new.splice(place..place, block);
        }
        4 => new.truncate(line),
        _ => {
            let others: Vec<&[u8]> = other.split_inclusive(|b| *b == b'\n').collect();
            if !others.is_empty() {
                let from = random.random_range(0..others.len());
                let to = (from + count).min(others.len());
                new.splice(line..end, others[from..to].iter().copied());
            }
        }
    }
    *bytes = new.concat();
}

/// Changes a few bytes, whatever they mean.
fn stretch(bytes: &mut Vec<u8>, at: usize, other: &[u8], random: &mut ChaCha8Rng) {
    let end = at + random.random_range(1..20).min(bytes.len() - at);
    match random.random_range(0..8) {
        0 => bytes[at] = random.random(),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => drop(bytes.splice(at..end, poison(random).iter().copied())),
        // A count in binary.
        6 => {
            let all: [u8; 8] = match random.random_bool(0.5) {
                true => u64::MAX.to_le_bytes(),
                false => 10_000_000u64.to_le_bytes(),
            };
            let end = (at + random.random_range(1..9)).min(bytes.len());
            bytes[at..end].copy_from_slice(&all[..end - at]);
        }
        _ if !other.is_empty() => {
            let from = random.random_range(0..other.len());
            let piece = &other[from..(from + end - at).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ => bytes.push(b'\n'),
    }
}
