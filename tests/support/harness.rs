//! Runs the tests of a program with `harness = false`: as the standard harness does, but those whose
//! needs are not here are ignored, with the reason, and told of in the last lines.
//!
//! Output is not captured, as with `--nocapture`.

use super::needs::{self, Need};
use libtest_mimic::{Arguments, Completion, Failed, FormatSetting, Trial};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

pub use inventory;

/// A function with the `#[test]` of `nepal_harness`.
pub struct Test {
    /// With the program's own name first.
    pub module: &'static str,
    pub name: &'static str,
    /// Instead of what the whole program needs.
    pub needs: Option<&'static [Need]>,
    /// Why it runs on request only.
    pub ignored: Option<&'static str>,
    pub body: fn(),
}

inventory::collect!(Test);

/// How many tests each lacking program keeps from running, and how one gets it.
type Lacking = Mutex<BTreeMap<&'static str, (usize, &'static str)>>;

impl Test {
    fn full_name(&self) -> String {
        match self.module.split_once("::") {
            Some((_, module)) => format!("{module}::{}", self.name),
            None => self.name.to_owned(),
        }
    }

    fn run(&self, suite: &[Need], lacking: &Lacking) -> Result<Completion, Failed> {
        let missing = needs::missing(self.needs.unwrap_or(suite))?;
        if missing.is_empty() {
            // A thread of its own, since the library keeps errors by thread; its name is in panics.
            let thread = std::thread::Builder::new().name(self.full_name());
            let done = thread.spawn(self.body).expect("a thread").join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            return Ok(Completion::Completed);
        }
        let mut lacking = lacking.lock().expect("nobody panics with the lock");
        for need in &missing {
            lacking.entry(need.name()).or_insert((0, need.remedy())).0 += 1;
        }
        let names: Vec<&str> = missing.iter().map(|need| need.name()).collect();
        let reason = format!("needs {}", names.join(", "));
        Ok(Completion::ignored_with(reason))
    }
}

/// Runs what the command line asks for; tests without needs of their own have those of the `suite`.
pub fn main(suite: &'static [Need]) -> ExitCode {
    if cfg!(not(target_os = "linux")) {
        println!("ignored: these tests know Linux only");
        return ExitCode::SUCCESS;
    }
    if let Err(unknown) = needs::all_required() {
        eprintln!("error: {unknown}");
        return ExitCode::FAILURE;
    }
    let mut arguments = Arguments::from_args();
    if let (None, Ok(threads)) = (arguments.test_threads, std::env::var("RUST_TEST_THREADS")) {
        arguments.test_threads = threads.parse().ok();
    }
    let on_request = arguments.ignored || arguments.include_ignored;
    let lacking = Arc::new(Lacking::default());
    let trial = |test: &'static Test| {
        let lacking = Arc::clone(&lacking);
        let run = move || match test.ignored {
            Some(reason) if !on_request => Ok(Completion::ignored_with(reason)),
            _ => test.run(suite, &lacking),
        };
        // Runs of ignored tests, and lists of them, are of those with the flag.
        let flag = test.ignored.is_some() && (on_request || arguments.list);
        Trial::ignorable_test(test.full_name(), run).with_ignored_flag(flag)
    };
    let mut trials: Vec<Trial> = inventory::iter::<Test>().map(trial).collect();
    assert!(
        !trials.is_empty(),
        "#[macro_use] extern crate nepal_harness"
    );
    trials.sort_by(|a, b| a.name().cmp(b.name()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.format != Some(FormatSetting::Json) {
        let lacking = lacking.lock().expect("nobody panics with the lock");
        for (name, (count, remedy)) in lacking.iter() {
            println!("ignored for lack of {name} ({count}): {remedy}");
        }
    }
    conclusion.exit_code()
}
