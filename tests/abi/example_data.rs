//! The active set of the examples is what its training frames give.
//!
//! `NEPAL_BLESS=1` builds it anew.

use crate::support::root;
use nepal::grade::{BuildOptions, Features};
use nepal::system::xyz;
use nepal::{ActiveSet, BackendKind, Calculator, Model, Request, Structure};
use std::sync::Arc;

#[test]
fn the_active_set_of_the_examples_is_current() {
    let data = root().join("examples/data");
    let model = Arc::new(Model::load(data.join("nep.txt")).unwrap());
    let structures: Vec<Structure> = xyz::read_frames(data.join("training.xyz"))
        .unwrap()
        .into_iter()
        .map(|frame| frame.structure)
        .collect();
    let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Reference).unwrap();
    let mut backend = BackendKind::Reference.create().unwrap();
    let features = Features::collect(&model, &mut *backend, &structures).unwrap();
    let options = BuildOptions::default();
    let (built, report) = ActiveSet::build(&model, &features, &options).unwrap();
    let path = data.join("active_set.nas");
    if std::env::var_os("NEPAL_BLESS").is_some() {
        println!("{report}");
        built.save(&path).unwrap();
    }
    let stored = ActiveSet::load(&path, &model).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 200_000);

    let mut grades = |set: &ActiveSet, structure: &Structure| {
        calculator
            .set_active_set(Some(Arc::new(set.clone())))
            .unwrap();
        calculator
            .compute(structure, Request::GRADES)
            .unwrap()
            .grade
            .clone()
    };
    let atoms = xyz::read_frames(data.join("si8.xyz"))
        .unwrap()
        .remove(0)
        .structure;
    let (new, old) = (grades(&built, &atoms), grades(&stored, &atoms));
    crate::support::close::assert_close("grades", &new, &old, 1e-6);
    // The story of the example: one atom is outside what the frames cover.
    assert!(old[4] > 10.0, "{old:?}");
    assert!(
        old[4] >= old.iter().fold(0.0, |a: f64, &b| a.max(b)),
        "{old:?}"
    );
}
