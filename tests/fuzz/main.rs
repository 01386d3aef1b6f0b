//! Damaged files through everything that reads files from anywhere; `README.md` says how to run it for long.
//!
//! Without options each target gets a few hundred inputs, the same ones on every run.

mod mutate;
mod targets;
mod watch;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use targets::{ALL, Target};

/// Most address space of a process, and most that an input may have allocated at once.
const MEMORY: [u64; 2] = [4 << 30, 2 << 30];
/// Most processor time of an input, seconds.
const TIME: f64 = 1.0;
/// Largest input; mutations that repeat could make them grow without end.
const LARGEST: usize = 1 << 20;

/// Where inputs that reach new code, and those that fail, are kept between turns.
fn kept(kind: &str, target: &str) -> PathBuf {
    targets::root().join("target/fuzz").join(kind).join(target)
}

/// What a turn came to.
#[derive(Default)]
struct Tally {
    inputs: usize,
    accepted: usize,
    failures: Vec<String>,
    peak: usize,
    slowest: f64,
}

/// The message of a panic in an entry; `None` outside of entries, where a panic is one of this program.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn hear(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.to_string().replace('\n', " ");
    match &mut *PANIC.lock().expect("a message") {
        Some(message) => *message = text,
        None => eprintln!("{text}"),
    }
}

/// Feeds one input to a target; the reason if it fails.
fn feed(target: &Target, bytes: &[u8], tally: &mut Tally) -> Result<(), String> {
    watch::reset_peak();
    let (start, base) = (watch::processor_seconds(), watch::peak());
    *PANIC.lock().expect("a message") = Some(String::new());
    let result = catch_unwind(AssertUnwindSafe(|| (target.entry)(bytes)));
    let panic = PANIC.lock().expect("a message").take();
    let (seconds, peak) = (watch::processor_seconds() - start, watch::peak() - base);
    tally.inputs += 1;
    tally.peak = tally.peak.max(peak);
    tally.slowest = tally.slowest.max(seconds);
    match result {
        Err(_) => return Err(panic.unwrap_or_default()),
        Ok(accepted) => tally.accepted += usize::from(accepted),
    }
    if peak as u64 > MEMORY[1] {
        return Err(format!("took {} MB", peak >> 20));
    }
    if seconds > TIME {
        return Err(format!("took {seconds:.1} s of a processor"));
    }
    Ok(())
}

/// Mutated seeds until `enough`; the input being tried lies in a file, should the process not survive it.
fn turn(target: &Target, seed: u64, keep: bool, enough: impl Fn(usize) -> bool) -> Tally {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut tally = Tally::default();
    let mut corpus = (target.seeds)();
    let good = corpus.len();
    let mut reached = watch::Reached::default();
    for (index, bytes) in corpus.iter().enumerate() {
        let before = tally.accepted;
        let fed = feed(target, bytes, &mut tally);
        assert!(
            fed.is_ok() && tally.accepted > before,
            "{}: seed {index} is a good file: {fed:?}",
            target.name
        );
        reached.takes_new();
    }
    let folder = kept("corpus", target.name);
    let current = kept("current", target.name);
    if keep {
        std::fs::create_dir_all(&folder).expect("a folder for the corpus");
        std::fs::create_dir_all(current.parent().expect("a folder")).expect("a folder");
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            corpus.push(std::fs::read(entry.path()).expect("an input"));
        }
    }
    while !enough(tally.inputs) && tally.failures.len() < 10 {
        // Half of the time whole files: what reaches far is often already damaged beyond acceptance.
        let from = match random.random_bool(0.5) {
            true => good,
            false => corpus.len(),
        };
        let original = &corpus[random.random_range(0..from)];
        let other = &corpus[random.random_range(0..corpus.len())];
        let mut bytes = mutate::mutate(original, other, &mut random);
        bytes.truncate(LARGEST);
        if keep {
            std::fs::write(&current, &bytes).expect("room for an input");
        }
        let fed = feed(target, &bytes, &mut tally);
        let name = format!("{:016x}", nepal::files::fnv1a(&bytes));
        if let Err(reason) = fed {
            let place = kept("failures", target.name);
            std::fs::create_dir_all(&place).expect("a folder");
            let place = place.join(&name);
            std::fs::write(&place, &bytes).expect("room for an input");
            let place = place.display();
            tally
                .failures
                .push(format!("{reason}\n    input {place}, seed {seed}"));
        } else if reached.takes_new() {
            if keep {
                std::fs::write(folder.join(&name), &bytes).expect("room for an input");
            }
            corpus.push(bytes);
        }
    }
    if keep {
        println!("branches {} corpus {}", reached.count(), corpus.len());
    }
    tally
}

fn report(target: &str, tally: &Tally, seconds: f64) {
    println!(
        "{target:18} {:8} inputs {seconds:7.1} s {:8} accepted {:8} rejected {:3} failures {:5} MB {:5.2} s at most",
        tally.inputs,
        tally.accepted,
        tally.inputs - tally.accepted,
        tally.failures.len(),
        tally.peak >> 20,
        tally.slowest
    );
    for failure in &tally.failures {
        println!("  FAILED {failure}");
    }
}

/// Turns of all targets, each in a process of its own, until the time is up.
fn rounds(chosen: &[&Target], seconds: f64, each: f64, mut seed: u64) -> bool {
    let program = std::env::current_exe().expect("this program");
    let start = Instant::now();
    let mut good = true;
    while start.elapsed().as_secs_f64() < seconds {
        for target in chosen {
            seed += 1;
            let numbers = [each.to_string(), seed.to_string()];
            let arguments = [
                "--one",
                target.name,
                "--seconds",
                &numbers[0],
                "--seed",
                &numbers[1],
            ];
            let mut child = Command::new(&program)
                .args(arguments)
                .spawn()
                .expect("itself");
            let deadline = Instant::now() + Duration::from_secs_f64(each + 120.0);
            let status = loop {
                match child.try_wait().expect("a child") {
                    Some(status) => break Some(status),
                    None if Instant::now() > deadline => {
                        child.kill().and_then(|()| child.wait()).expect("an end");
                        break None;
                    }
                    None => std::thread::sleep(Duration::from_millis(100)),
                }
            };
            if !status.is_some_and(|status| status.success()) {
                good = false;
                let place = kept("failures", target.name).join(format!("ended-{seed}"));
                // Nothing to keep where the turn ended by itself and told its failures.
                if status.is_none_or(|status| status.code().is_none()) {
                    std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
                    let _ = std::fs::copy(kept("current", target.name), &place);
                }
                println!(
                    "  FAILED {}: {status:?}, input {}",
                    target.name,
                    place.display()
                );
            }
        }
    }
    good
}

/// `--targets a,b --seconds N [--each 20] [--seed 1]` for turns over targets, `--one NAME --seconds N --seed N` for one
/// of them, `--input TARGET FILE` for a stored input.
fn main() -> ExitCode {
    std::panic::set_hook(Box::new(hear));
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let number = |name: &str, default: f64| value(name).map_or(default, |v| v.parse().expect(name));
    let find = |name: &str| ALL.iter().find(|t| t.name == name).expect("a target");
    let seed = number("--seed", 1.0) as u64;
    if let Some(name) = value("--input") {
        let place = Path::new(arguments.last().expect("a file"));
        let mut tally = Tally::default();
        let fed = feed(
            find(name),
            &std::fs::read(place).expect("a file"),
            &mut tally,
        );
        println!("{fed:?} accepted {} {:.2} s", tally.accepted, tally.slowest);
        return ExitCode::from(u8::from(fed.is_err()));
    }
    let start = Instant::now();
    let since = || start.elapsed().as_secs_f64();
    let good = match (value("--one"), value("--seconds")) {
        (Some(name), _) => {
            watch::limit_memory(MEMORY[0]);
            let seconds = number("--seconds", 20.0);
            let tally = turn(find(name), seed, true, |_| since() > seconds);
            report(name, &tally, since());
            tally.failures.is_empty()
        }
        (None, Some(_)) => {
            let names = value("--targets");
            let wanted = |t: &&Target| names.is_none_or(|n| n.split(',').any(|n| n == t.name));
            let chosen: Vec<&Target> = ALL.iter().filter(wanted).collect();
            rounds(
                &chosen,
                number("--seconds", 60.0),
                number("--each", 20.0),
                seed,
            )
        }
        _ => {
            let run = |target: &Target| {
                let before = since();
                let tally = turn(target, seed, false, |n| n > target.short);
                report(target.name, &tally, since() - before);
                tally.failures.is_empty()
            };
            // All of them run, whatever becomes of the first.
            ALL.iter().filter(|target| !run(target)).count() == 0
        }
    };
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
