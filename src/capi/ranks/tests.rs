//! A panic on one rank ends the call on all of them; nobody waits.

use super::*;
use crate::backend::{Backend, Contraction, Evaluation, Request, System, reference::Reference};
use crate::calculator::{BackendKind, Calculator, Machine};
use crate::capi::calculator::{Inner, nepal_calculator_free};
use crate::capi::compute::nepal_calculator_compute_list;
use crate::capi::fragment::{nepal_calculator_set_fragment_callback, nepal_fragment_t};
use crate::capi::results::nepal_results_t;
use crate::capi::status::*;
use crate::capi::system::{HostList, nepal_host_list_t};
use crate::capi::threads::Threads;
use crate::grade::{ActiveSet, Effort, GradeColumns, Grader};
use crate::model::Model;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Where a machine panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Never,
    Evaluating,
    /// It has grades of atoms that are not there, which is found when fragments are chosen.
    Choosing,
}

struct Faulty {
    inner: Reference,
    when: When,
}

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        assert!(self.when != When::Evaluating, "a fault that was asked for");
        self.inner.evaluate(model, system, request, out)
    }

    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        self.inner.contract(model, system, gradient, out)
    }
}

impl Grader for Faulty {
    fn grade(
        &mut self,
        _: &Model,
        types: &[u32],
        _: &Arc<ActiveSet>,
        _: Effort,
        out: GradeColumns<'_>,
    ) -> Result<()> {
        for column in [out.gamma, out.rho, out.grade] {
            column.extend(vec![5.0; types.len() + 7]);
        }
        Ok(())
    }
}

impl Machine for Faulty {
    fn grader(&mut self) -> Option<&mut dyn Grader> {
        (self.when == When::Choosing).then_some(self)
    }
}

/// What two ranks tell each other, by the number of the call and the rank.
#[derive(Default)]
struct Wire {
    told: Mutex<HashMap<(u64, usize), Vec<u8>>>,
    changed: Condvar,
}

/// Status of a rank that waited in vain.
const ALONE: nepal_status_t = -77;

struct Member {
    wire: Arc<Wire>,
    rank: usize,
    calls: Cell<u64>,
}

impl Member {
    /// What both ranks tell in this call; none if the other does not come within ten seconds.
    fn exchange(&self, mine: &[u8]) -> Option<[Vec<u8>; 2]> {
        let call = self.calls.replace(self.calls.get() + 1);
        let both = |told: &HashMap<_, Vec<u8>>| {
            Some([told.get(&(call, 0))?.clone(), told.get(&(call, 1))?.clone()])
        };
        let mut told = self.wire.told.lock().unwrap();
        told.insert((call, self.rank), mine.to_vec());
        self.wire.changed.notify_all();
        let limit = Duration::from_secs(10);
        let waits = |told: &mut HashMap<_, _>| both(told).is_none();
        let told = self.wire.changed.wait_timeout_while(told, limit, waits);
        both(&told.unwrap().0)
    }
}

unsafe extern "C" fn gather(
    user: *mut c_void,
    send: *const c_void,
    bytes: usize,
    receive: *mut c_void,
) -> nepal_status_t {
    // SAFETY: as the test and the library promise.
    unsafe {
        let member = &*user.cast::<Member>();
        let mine = std::slice::from_raw_parts(send.cast::<u8>(), bytes);
        let Some(both) = member.exchange(mine) else {
            return ALONE;
        };
        for (rank, theirs) in both.iter().enumerate() {
            assert_eq!(theirs.len(), bytes, "the ranks talk past each other");
            let place = receive.cast::<u8>().add(rank * bytes);
            place.copy_from_nonoverlapping(theirs.as_ptr(), bytes);
        }
    }
    0
}

unsafe extern "C" fn broadcast(
    user: *mut c_void,
    root: i32,
    data: *mut c_void,
    bytes: usize,
) -> nepal_status_t {
    // SAFETY: as above.
    unsafe {
        let member = &*user.cast::<Member>();
        let mine = std::slice::from_raw_parts(data.cast::<u8>(), bytes).to_vec();
        let Some(both) = member.exchange(&mine) else {
            return ALONE;
        };
        let theirs = &both[root as usize];
        assert_eq!(theirs.len(), bytes, "the ranks talk past each other");
        data.cast::<u8>()
            .copy_from_nonoverlapping(theirs.as_ptr(), bytes);
    }
    0
}

unsafe extern "C" fn keep(_: *mut c_void, _: *const nepal_fragment_t) -> nepal_status_t {
    0
}

fn sized<T: Copy>() -> T {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: structs of the ABI begin with their size, and zero is valid for the rest.
    unsafe {
        value.as_mut_ptr().cast::<usize>().write(size_of::<T>());
        value.assume_init()
    }
}

/// One call on a rank whose machine may panic: its status and text, and that of the next.
fn rank(wire: &Arc<Wire>, rank: usize, when: When) -> (nepal_status_t, String, nepal_status_t) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let model = Arc::new(Model::load(data.join("nep.txt")).unwrap());
    let set = ActiveSet::load(data.join("active_set.nas"), &model).unwrap();
    let inner = Reference::default();
    let mut calculator = Calculator::with_backend(model, Box::new(Faulty { inner, when }));
    calculator.set_active_set(Some(Arc::new(set))).unwrap();
    let inner = Inner {
        calculator,
        backend: BackendKind::Reference,
        list: HostList::default(),
        hook: None,
        threads: Threads::new(1).unwrap(),
        ranks: Ranks::default(),
    };
    let member = Member {
        wire: Arc::clone(wire),
        rank,
        calls: Cell::new(0),
    };
    let ranks = nepal_ranks_t {
        rank: rank as i32,
        n_ranks: 2,
        gather: Some(gather),
        broadcast: Some(broadcast),
        user_data: (&raw const member).cast_mut().cast(),
        ..sized()
    };
    // Two atoms far apart, nothing near them.
    let (positions, types, counts) = ([0.0, 0.0, 0.0, 50.0, 0.0, 0.0], [0; 2], [0; 2]);
    let tags = [1 + 2 * rank as i64, 2 + 2 * rank as i64];
    let list = nepal_host_list_t {
        n_local: 2,
        n_total: 2,
        positions: positions.as_ptr(),
        types: types.as_ptr(),
        counts: counts.as_ptr(),
        tags: tags.as_ptr(),
        known: 20.0,
        ..sized()
    };
    let mut grade = [0.0; 16];
    let results = nepal_results_t {
        grade: grade.as_mut_ptr(),
        ..sized()
    };
    let mut handle: *mut nepal_calculator_t = std::ptr::null_mut();
    // SAFETY: a handle made here, arrays of the right shape that outlive the calls.
    unsafe {
        handle::give(&mut handle, inner);
        let options = sized();
        let set = nepal_calculator_set_fragment_callback(
            handle,
            &options,
            Some(keep),
            std::ptr::null_mut(),
        );
        assert_eq!((set, nepal_calculator_set_ranks(handle, &ranks)), (0, 0));
        let status = nepal_calculator_compute_list(handle, &list, &results);
        let (mut text, mut needed) = ([0u8; 300], 0);
        nepal_last_error(text.as_mut_ptr().cast(), text.len(), &mut needed);
        let text = String::from_utf8_lossy(&text[..needed.clamp(1, 300) - 1]).into_owned();
        let again = match when {
            When::Never => status,
            _ => nepal_calculator_compute_list(handle, &list, &results),
        };
        nepal_calculator_free(handle);
        (status, text, again)
    }
}

#[test]
fn a_panic_on_one_rank_is_told_to_the_other() {
    for when in [When::Evaluating, When::Choosing] {
        let wire = Arc::new(Wire::default());
        let [first, second] = [When::Never, when].map(|when| {
            let wire = Arc::clone(&wire);
            let me = usize::from(when != When::Never);
            std::thread::spawn(move || rank(&wire, me, when))
        });
        let (well, ill) = (first.join().unwrap(), second.join().unwrap());
        assert_eq!(well.0, NEPAL_STATUS_FAILED, "{when:?}: {}", well.1);
        assert!(well.1.contains("panic on one rank"), "{}", well.1);
        // The panic itself is told where it happened, and the calculator is not used again.
        assert_eq!(ill.0, NEPAL_STATUS_INTERNAL, "{when:?}: {}", ill.1);
        assert!(ill.1.contains("caught a panic"), "{}", ill.1);
        assert_eq!(ill.2, NEPAL_STATUS_INTERNAL);
    }
}
