//! Held-out sets that do not know their neighbours.
//!
//! Frames of one trajectory resemble each other: a random frame held out has its twin in the
//! training set and tells nothing. So whole trajectories are held out, and where frames do not say
//! which they belong to, whole stretches of the file. Source: Miksch et al., Mach. Learn.: Sci.
//! Technol. 2, 031001 (2021).

use nepal::error::{Error, Result};
use nepal::system::Frame;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

/// Keys of a comment line that name a trajectory, best first.
const KEYS: [&str; 5] = [
    "trajectory",
    "trajectory_id",
    "source",
    "parent_id",
    "parent_hash",
];
/// Stretches that a file without such keys is cut into.
const STRETCHES: usize = 20;

/// A division of frames, by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Frames to train on.
    pub train: Vec<usize>,
    /// Frames held out.
    pub test: Vec<usize>,
    /// What the frames were grouped by, in words.
    pub by: String,
}

/// The group of each frame, counted from 0, and in words what they are.
///
/// With a `key`, by its value in the comment line; without, by the first of `trajectory`,
/// `trajectory_id`, `source`, `parent_id` and `parent_hash` that all frames have with more than one
/// value; failing that, 20 stretches of the list of frames.
///
/// **Errors**: [`Error::InvalidArgument`] naming the first frame without the given `key`.
pub fn groups(frames: &[Frame], key: Option<&str>) -> Result<(Vec<usize>, String)> {
    if let Some(key) = key {
        if let Some(index) = frames.iter().position(|f| !f.info.contains_key(key)) {
            return Err(Error::invalid(format!(
                "frame {} has no key {key:?} to split by; give all frames one or split without a key",
                index + 1
            )));
        }
        return Ok((by_key(frames, key).0, format!("the key {key}")));
    }
    for key in KEYS {
        if frames.iter().all(|f| f.info.contains_key(key)) {
            let (groups, count) = by_key(frames, key);
            if count > 1 {
                return Ok((groups, format!("the key {key}")));
            }
        }
    }
    let length = frames.len().div_ceil(STRETCHES).max(1);
    let groups = (0..frames.len()).map(|i| i / length).collect();
    Ok((groups, format!("stretches of {length} frame(s)")))
}

fn by_key(frames: &[Frame], key: &str) -> (Vec<usize>, usize) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let groups = frames
        .iter()
        .map(|f| {
            let count = seen.len();
            let value = f.info.get(key).map_or("", String::as_str);
            *seen.entry(value).or_insert(count)
        })
        .collect();
    (groups, seen.len())
}

/// Holds out whole groups of frames, about a `fraction` of all frames but at least one group.
///
/// Deterministic for a seed. **Errors**: [`Error::InvalidArgument`] for fewer than two groups, a
/// fraction that is not between 0 and 1, and as [`groups`].
pub fn split(frames: &[Frame], key: Option<&str>, fraction: f64, seed: u64) -> Result<Split> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::invalid(format!(
            "the held-out share is {fraction}; expected a number between 0 and 1"
        )));
    }
    let (groups, by) = groups(frames, key)?;
    let count = groups.iter().max().map_or(0, |g| g + 1);
    if count < 2 {
        return Err(Error::invalid(format!(
            "the {} frame(s) are one group by {by}; a split needs two",
            frames.len()
        )));
    }
    let mut sizes = vec![0usize; count];
    for &g in &groups {
        sizes[g] += 1;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let wanted = fraction * frames.len() as f64;
    let mut held = vec![false; count];
    let (mut taken, mut n_held) = (0usize, 0usize);
    for &g in &order {
        // A group is taken if that brings the share closer; one always is, one always stays.
        let closer = (taken + sizes[g]) as f64 - wanted <= wanted - taken as f64;
        if n_held + 1 < count && (closer || n_held == 0) {
            held[g] = true;
            taken += sizes[g];
            n_held += 1;
        }
    }
    let (test, train) = (0..frames.len()).partition(|&i| held[groups[i]]);
    Ok(Split { train, test, by })
}

/// Frames at some places.
pub fn pick(frames: &[Frame], places: &[usize]) -> Vec<Frame> {
    places.iter().map(|&i| frames[i].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::system::{Cell, Structure};

    fn frames(names: &[&str]) -> Vec<Frame> {
        names
            .iter()
            .map(|name| {
                let mut frame = Frame::new(Structure {
                    cell: Cell::isolated(),
                    elements: Vec::new(),
                    positions: Vec::new(),
                });
                frame.info.insert("source".into(), (*name).into());
                frame
            })
            .collect()
    }

    #[test]
    fn a_trajectory_is_never_on_both_sides() {
        let names: Vec<String> = (0..60).map(|i| format!("run{}", i % 7)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let frames = frames(&names);
        for seed in 0..20 {
            let split = split(&frames, None, 0.2, seed).unwrap();
            assert_eq!(split.by, "the key source");
            assert_eq!(split.train.len() + split.test.len(), 60);
            assert!((6..=18).contains(&split.test.len()), "{}", split.test.len());
            for &i in &split.test {
                assert!(split.train.iter().all(|&j| names[i] != names[j]));
            }
        }
    }

    #[test]
    fn without_a_key_stretches_are_held_out() {
        let mut frames = frames(&["same"; 100]);
        let split1 = split(&frames, None, 0.1, 3).unwrap();
        assert_eq!(split1.by, "stretches of 5 frame(s)");
        assert_eq!(split1.test.len(), 10);
        for block in split1.test.chunks(5) {
            assert_eq!(block[0] % 5, 0);
            assert_eq!(block[4], block[0] + 4);
        }
        assert_eq!(split(&frames, None, 0.1, 3).unwrap(), split1);
        frames[4].info.clear();
        let error = split(&frames, Some("source"), 0.1, 0).unwrap_err();
        assert!(error.to_string().contains("frame 5 has no key"), "{error}");
        assert!(split(&frames[..1], None, 0.5, 0).is_err());
        assert!(split(&frames, None, 1.5, 0).is_err());
    }
}
