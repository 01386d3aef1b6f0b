//! A few thousand damaged files through the entries of the fuzzer, on every run of the tests.

use crate::support::entries;
use crate::support::gas::Uniform;
use crate::support::read_bytes;

/// Numbers and words that parsers trip over.
const POISON: [&[u8]; 16] = [
    b"-1",
    b"0",
    b"nan",
    b"inf",
    b"1e999",
    b"99999999999999999999",
    b"18446744073709551615",
    b"\"",
    b"=",
    b":",
    b"\n\n",
    b"\0",
    b"\xff",
    b"\t",
    b"\\",
    b"2147483648",
];

/// Damages a file in one to four places: bytes changed, removed, repeated, poisoned, moved.
fn mutate(original: &[u8], other: &[u8], random: &mut Uniform) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..1 + pick(random, 4) {
        if bytes.is_empty() {
            break;
        }
        // Headers are where decisions are made: aim there half of the time.
        let reach = if random.next() < 0.5 {
            bytes.len().min(200)
        } else {
            bytes.len()
        };
        let at = pick(random, reach);
        let length = 1 + pick(random, 20).min(bytes.len() - at - 1);
        match pick(random, 7) {
            0 => bytes[at] = (random.next() * 256.0) as u8,
            1 => drop(bytes.drain(at..at + length)),
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let poison = POISON[pick(random, POISON.len())];
                bytes.splice(at..at + length, poison.iter().copied());
            }
            5 => {
                let from = pick(random, other.len());
                let piece = &other[from..(from + length).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                // A whole word, since most bytes of a file are in numbers.
                let end = bytes[at..].iter().position(u8::is_ascii_whitespace);
                let end = end.map_or(bytes.len(), |e| at + e);
                let poison = POISON[pick(random, POISON.len())];
                bytes.splice(at..end, poison.iter().copied());
            }
        }
    }
    bytes
}

fn pick(random: &mut Uniform, n: usize) -> usize {
    ((random.next() * n as f64) as usize).min(n - 1)
}

/// Feeds `count` damaged versions of the seeds to an entry; some must pass and some must fail, or
/// the damage is not what it should be.
fn run(entry: fn(&[u8]) -> bool, seeds: &[Vec<u8>], count: usize) {
    let mut random = Uniform(2026);
    for (index, seed) in seeds.iter().enumerate() {
        assert!(entry(seed), "seed {index} is a good file");
    }
    let mut accepted = 0;
    for round in 0..count {
        let seed = &seeds[round % seeds.len()];
        let other = &seeds[pick(&mut random, seeds.len())];
        let bytes = mutate(seed, other, &mut random);
        accepted += usize::from(entry(&bytes));
    }
    assert!(accepted > count / 100, "{accepted} of {count} accepted");
    assert!(accepted < count * 9 / 10, "{accepted} of {count} accepted");
}

#[test]
fn damaged_model_files_are_read_or_refused() {
    let folders = [
        "nep4_minimal",
        "nep4_zbl_flexible",
        "nep4_typewise_cutoffs",
        "nep5_zbl",
    ];
    let seeds: Vec<_> = folders
        .iter()
        .map(|name| read_bytes(&format!("synthetic_variants/{name}/nep.txt")))
        .collect();
    run(entries::nep_txt, &seeds, 4000);
}

#[test]
fn damaged_extended_xyz_is_read_or_refused() {
    let seeds = [
        "2\nEnergy = -3.5 config_type=\"two words\" pbc=\"T T F\" Lattice=\"4 0 0 0 5 0 0 0 6\" \
         virial=\" 1 2 3 2 5 6 3 6 9 \" Properties=species:S:1:pos:R:3:force:R:3:tag:I:1\n\
         Pb 0 0 0 0.1 0.2 0.3 7\nTe 1.5 1 1 -0.1 -0.2 -0.3 8\n",
        "1\n\nSi 0 0 0\n3\nplain words\nO 0 0 0\nH 0.7 0.6 0\nH -0.7 0.6 0\n",
        "1\nLattice=\"2 0 0 0 2 0 0 0 2\" stress=\"1 2 3 4 5 6\" weight=0.5 flag \
         'quoted key'=\"a \\\"b\\\" \\\\ c\" Properties=species:S:1:pos:R:3:gamma:R:1:label:S:2:fix:L:1\n\
         Si 0 0 0 inf a b T\n0\n\n",
    ]
    .map(|text| text.as_bytes().to_vec());
    run(entries::extended_xyz, &seeds, 8000);
}

#[test]
fn damaged_active_sets_are_read_or_refused() {
    // What is quoted of a line stays short.
    for line in [
        "nepal-active-set\0",
        "nepal-active-set 2 ",
        "nepal-active-set 3 ",
    ] {
        entries::asi(format!("{line}{}", "word ".repeat(2000)).as_bytes());
    }
    let mut text = String::new();
    for element in ["Te", "Pb"] {
        text.push_str(&format!("{element} 4 4\n"));
        for k in 0..16 {
            text.push_str(&format!("{:.16e}\n", 0.3 * f64::from(k) - 1.7));
        }
    }
    run(entries::asi, &[text.into_bytes()], 4000);
    use nepal::grade::BuildOptions;
    run_native(&native_set(&BuildOptions::default()));
}

/// A native file of the tiny model's features.
fn native_set(options: &nepal::grade::BuildOptions) -> Vec<u8> {
    use nepal::grade::{Features, Origin};
    let model = &*entries::TINY;
    let mut features = Features::new(model);
    let mut random = Uniform(5);
    for n in 0..40u32 {
        let row: Vec<f64> = (0..features.width()).map(|_| random.next() - 0.5).collect();
        let origin = Origin {
            structure: n,
            atom: 0,
        };
        features.push((n % 2) as usize, &row, origin).unwrap();
    }
    let (set, _) = nepal::ActiveSet::build(model, &features, options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("active_set");
    set.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// The native format carries a checksum: damage anywhere is refused.
fn run_native(seed: &[u8]) {
    assert!(entries::asi(seed), "the native file is good");
    let mut random = Uniform(11);
    for _ in 0..3000 {
        let bytes = mutate(seed, seed, &mut random);
        if bytes != seed {
            assert!(!entries::asi(&bytes), "a damaged native file was accepted");
        }
    }
}
