//! Selection during a compute call: carve, hand over, learn.

pub(super) use super::delivery::{Delivery, Target, as_structure};

use super::calculator::Inner;
use super::delivery::Parent;
use super::fragment::*;
use super::ranks::{Bid, Ranks};
use super::status::nepal_status_t;
use super::system::Atoms;
use super::threads::Threads;
use crate::backend::Evaluation;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::fragment::{FragmentOptions, Mode, Outcome, carve, extract, rank, spoken_for};
use crate::grade::ActiveSet;
use crate::model::Model;
use crate::system::xyz;
use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::ffi::c_void;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a grade is worth a label: the habit of the field.
const DEFAULT_SAVE: f64 = 1.5;
/// A blown-up simulation has more candidates than anyone wants to wait for.
const DEFAULT_MAX_FRAGMENTS: u32 = 16;

/// What became of the selected atoms.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub delivered: usize,
    pub covered: usize,
    pub refused: usize,
}

pub(super) type Callback =
    unsafe extern "C" fn(*mut c_void, *const nepal_fragment_t) -> nepal_status_t;

/// Who gets the fragments.
pub(super) enum Sink {
    Callback(Callback, *mut c_void),
    File(PathBuf),
}

/// A sink and how to serve it.
pub(super) struct Hook {
    sink: Sink,
    save: f64,
    max_fragments: usize,
    options: FragmentOptions,
    /// Evaluates fragments while they are optimised; the calculator's own results must stay.
    optimiser: Option<Calculator>,
    pub counts: Counts,
    pub refusal: String,
}

impl Hook {
    pub fn new(inner: &Inner, given: &nepal_fragment_options_t, sink: Sink) -> Result<Self> {
        let options = fragment_options(given, inner.calculator.model())?;
        let optimiser = if given.flags & NEPAL_FRAGMENT_OPTIMISE != 0 {
            Some(Calculator::new(
                Arc::clone(inner.calculator.model()),
                inner.backend,
            )?)
        } else {
            None
        };
        Ok(Self {
            sink,
            save: positive("save", given.save)?.unwrap_or(DEFAULT_SAVE),
            max_fragments: match given.max_fragments {
                0 => DEFAULT_MAX_FRAGMENTS,
                n => n,
            } as usize,
            options,
            optimiser,
            counts: Counts::default(),
            refusal: String::new(),
        })
    }
}

/// What C chose about the fragments themselves; zero means the default.
pub(super) fn fragment_options(
    given: &nepal_fragment_options_t,
    model: &Model,
) -> Result<FragmentOptions> {
    let known = NEPAL_FRAGMENT_OPTIMISE
        | NEPAL_FRAGMENT_KEEP_MOLECULES
        | NEPAL_FRAGMENT_ANGULAR
        | NEPAL_FRAGMENT_TOLERANT;
    if given.flags & !known != 0 {
        return Err(Error::invalid(format!(
            "the flags of the nepal_fragment_options_t are {:#x}; expected NEPAL_FRAGMENT_... flags or 0",
            given.flags
        )));
    }
    let mode = match given.flags & (NEPAL_FRAGMENT_ANGULAR | NEPAL_FRAGMENT_TOLERANT) {
        0 => Mode::Exact,
        NEPAL_FRAGMENT_ANGULAR => Mode::Angular,
        NEPAL_FRAGMENT_TOLERANT => Mode::Tolerant(Mode::TOLERANCE),
        _ => {
            return Err(Error::invalid(
                "the flags of the nepal_fragment_options_t have NEPAL_FRAGMENT_ANGULAR and NEPAL_FRAGMENT_TOLERANT; expected one of them or none",
            ));
        }
    };
    let default = FragmentOptions::default();
    let options = FragmentOptions {
        mode,
        core_radius: positive("core_radius", given.core_radius)?,
        max_size: positive("max_size", given.max_size)?,
        n_max: match given.max_atoms {
            0 => default.n_max,
            n => n,
        },
        keep_molecules: given.flags & NEPAL_FRAGMENT_KEEP_MOLECULES != 0,
        seed: given.seed,
        ..default
    };
    options.validate()?;
    let cutoff = model.cutoff();
    if mode == Mode::Exact && options.core_radius.is_some_and(|r| r < cutoff) {
        return Err(Error::invalid(format!(
            "`core_radius` of the nepal_fragment_options_t is {} Å; expected at least the model's cutoff {cutoff} Å",
            given.core_radius
        )));
    }
    Ok(options)
}

/// A number above 0, or none for 0.
fn positive(name: &str, value: f64) -> Result<Option<f64>> {
    match value {
        0.0 => Ok(None),
        x if x > 0.0 && x.is_finite() => Ok(Some(x)),
        x => Err(Error::invalid(format!(
            "`{name}` of the nepal_fragment_options_t is {x}; expected a positive number, or 0 for the default"
        ))),
    }
}

/// Hands the environments above the threshold to the sink, after a computation with grades.
///
/// With several ranks all of them run the same loop, in which each step serves the worst atom of all.
/// An error of one ends it on all.
pub(super) fn deliver(inner: &mut Inner, atoms: &Atoms<'_>, ranks: &Ranks) -> Result<()> {
    let Inner {
        calculator,
        hook: Some(hook),
        threads,
        ..
    } = inner
    else {
        return Ok(());
    };
    let Some(set) = calculator.active_set().cloned() else {
        return Ok(());
    };
    let begun = ranks.caught(|| Ok(Selection::new(calculator, atoms, set, hook.save)));
    let mut selection = match begun {
        Ok(selection) => selection,
        // The others wait for a first bid.
        Err(error) => return ranks.agree(Err(error)).map(|_| ()),
    };
    let mut tried = 0;
    let mut learned = Ok(());
    let outcome = loop {
        let bid = learned.and_then(|()| ranks.caught(|| selection.next(&mut hook.counts)));
        let (rank, _) = match ranks.agree(bid) {
            Ok(Some(winner)) => winner,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if tried == hook.max_fragments {
            break Ok(());
        }
        tried += 1;
        let mine = (rank == ranks.me()).then(|| {
            ranks.caught(|| {
                let made = selection.serve(hook, threads)?;
                Ok(made.into_words())
            })
        });
        match ranks.share(rank, mine) {
            // What goes wrong here is this rank's own: the others hear of it at the next bid.
            Ok(words) => learned = ranks.caught(|| selection.learn(&words)),
            Err(error) => break Err(error),
        }
    };
    let Selection { set, extended, .. } = selection;
    if extended {
        calculator.set_active_set(Some(set))?;
    }
    outcome
}

/// The atoms above the threshold, and what was learned while serving them.
struct Selection<'a> {
    model: Arc<Model>,
    atoms: &'a Atoms<'a>,
    found: &'a Evaluation,
    set: Arc<ActiveSet>,
    extended: bool,
    save: f64,
    queue: VecDeque<(Bid, usize)>,
    covered: HashSet<i64>,
}

/// What came of serving an atom.
enum Served {
    /// Its type and features, and the names of the atoms that the fragment speaks for.
    Fragment(usize, Vec<f64>, Vec<i64>),
    Refused,
}

impl Served {
    /// As ranks share it.
    fn into_words(self) -> Vec<u64> {
        match self {
            Self::Refused => Vec::new(),
            Self::Fragment(t, row, tags) => [t as u64]
                .into_iter()
                .chain(row.iter().map(|x| x.to_bits()))
                .chain(tags.iter().map(|&tag| tag as u64))
                .collect(),
        }
    }
}

impl<'a> Selection<'a> {
    fn new(
        calculator: &'a Calculator,
        atoms: &'a Atoms<'a>,
        set: Arc<ActiveSet>,
        save: f64,
    ) -> Self {
        let found = calculator.results();
        let mut queue: Vec<(Bid, usize)> = (0..found.grade.len())
            .filter(|&i| found.grade[i] > save)
            .map(|i| {
                let order = rank(found.grade[i]);
                let tag = Reverse(atoms.tag(i));
                (Bid { order, tag }, i)
            })
            .collect();
        queue.sort_by_key(|&(bid, i)| (Reverse(bid), i));
        Self {
            model: Arc::clone(calculator.model()),
            atoms,
            found,
            set,
            extended: false,
            save,
            queue: queue.into(),
            covered: HashSet::new(),
        }
    }

    /// Features of an atom.
    fn row(&self, i: usize) -> &'a [f64] {
        let width = self.set.width();
        &self.found.projections[i * width..][..width]
    }

    /// The worst atom that no fragment speaks for yet, which stays first in the queue.
    fn next(&mut self, counts: &mut Counts) -> Result<Option<Bid>> {
        while let Some(&(bid, i)) = self.queue.front() {
            let known = self.extended
                && self
                    .set
                    .grade_rows(self.atoms.types[i] as usize, self.row(i))?
                    .first()
                    .is_some_and(|grade| grade.total <= self.save);
            if !known && !self.covered.contains(&self.atoms.tag(i)) {
                return Ok(Some(bid));
            }
            counts.covered += 1;
            self.queue.pop_front();
        }
        Ok(None)
    }

    /// Cuts a fragment around the first atom of the queue and hands it over.
    fn serve(&mut self, hook: &mut Hook, threads: &Threads) -> Result<Served> {
        let Some((_, i)) = self.queue.pop_front() else {
            return Err(Error::Internal("there was no atom to serve".into()));
        };
        // Ghosts end where the host's knowledge does, not at a surface.
        let (listed, reach) = (self.atoms.list.is_some(), self.atoms.known);
        let parent = if reach > 0.0 {
            Parent::around(self.atoms, &self.model, i, reach)
        } else {
            Parent::whole(self.atoms, &self.model, i)
        };
        hook.options.truncated = listed;
        hook.options.known = (reach > 0.0).then_some(reach);
        let (set, model) = (&self.set, &self.model);
        let Hook {
            options, optimiser, ..
        } = &mut *hook;
        let made = threads.run(|| match optimiser {
            Some(optimiser) => optimiser
                .set_active_set(Some(Arc::clone(set)))
                .and_then(|()| extract(optimiser, &parent.structure, parent.target, options)),
            None => carve(model, &parent.structure, parent.target, options),
        });
        let fragment = match made? {
            Outcome::Fragment(fragment) => Ok(fragment),
            Outcome::WholeParent { reason } if !listed => Err(reason),
            Outcome::WholeParent { reason } => return Ok(hook.refuse(reason)),
            Outcome::Refused { reason } => return Ok(hook.refuse(reason.to_string())),
        };
        let tag = |k: usize| self.atoms.tag(parent.index[k]);
        let parcel = match &fragment {
            Ok(fragment) => Delivery::of_fragment(fragment, tag),
            Err(reason) => Delivery::of_whole(&parent.structure, parent.target, reason, tag),
        };
        let found = self.found;
        let target = Target {
            tag: self.atoms.tag(i),
            grade: [found.grade[i], found.gamma[i], found.rho[i]],
            step: self.atoms.step,
        };
        match &hook.sink {
            Sink::File(path) => xyz::append_frame(path, &parcel.frame(&target, set.kind()))?,
            &Sink::Callback(callback, user_data) => {
                let types = model.types_of(&parcel.structure.elements)?;
                // SAFETY: the callback is the caller's, who promised that it may be called so.
                let status =
                    unsafe { parcel.with_view(&types, &target, |view| callback(user_data, view)) };
                if status != 0 {
                    return Err(Error::Callback(status));
                }
            }
        }
        hook.counts.delivered += 1;
        let t = self.atoms.types[i] as usize;
        let spoken_for = match &fragment {
            Ok(fragment) => spoken_for(fragment, model.cutoff())?,
            Err(_) => (0..parent.index.len()).collect(),
        };
        let tags = spoken_for.into_iter().map(tag).collect();
        Ok(Served::Fragment(t, self.row(i).to_vec(), tags))
    }

    /// Takes up what came of serving an atom, here or on another rank.
    fn learn(&mut self, words: &[u64]) -> Result<()> {
        let Some((&t, words)) = words.split_first() else {
            return Ok(());
        };
        let Some((row, tags)) = words.split_at_checked(self.set.width()) else {
            return Err(Error::Internal("a rank sent too few numbers".into()));
        };
        let row: Vec<f64> = row.iter().map(|&bits| f64::from_bits(bits)).collect();
        self.covered.extend(tags.iter().map(|&tag| tag as i64));
        Arc::make_mut(&mut self.set).extend(t as usize, &row, None)?;
        self.extended = true;
        Ok(())
    }
}

impl Hook {
    fn refuse(&mut self, reason: String) -> Served {
        self.counts.refused += 1;
        self.refusal = reason;
        Served::Refused
    }
}
