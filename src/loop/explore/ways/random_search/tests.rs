//! Tests of the way.

use super::*;
use crate::explore::testing::silicon;
use moyo::MoyoDataset;
use moyo::base::{Cell as MoyoCell, Lattice};

#[test]
fn coordinates_are_read() {
    let free = [0.1, 0.2, 0.3];
    for (text, place) in [
        ("x,y,z", free),
        ("-x+1/2,2y,-z", [0.4, 0.4, -0.3]),
        ("1/4,x-y,x+2z", [0.25, -0.1, 0.7]),
    ] {
        let found = evaluate(text, free);
        assert!(
            (0..3).all(|a| (found[a] - place[a]).abs() < 1e-12),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn structures_have_their_groups_counts_and_distances() {
    let (_, start) = silicon();
    let way = RandomSearch {
        counts: [("Na".to_owned(), 4), ("Cl".to_owned(), 8)].into(),
        volume: [1.5, 2.0],
        ..RandomSearch::default()
    };
    let recipe = Recipe::new(&way, &start).unwrap();
    let mut rng = generator(3, 0);
    for _ in 0..30 {
        let (group, s) = recipe.draw(&mut rng).unwrap();
        let sodium = s.elements.iter().filter(|e| e.symbol() == "Na").count();
        assert_eq!((sodium, s.len()), (4, 12));
        assert!(!recipe.nearest.clash(&s, 0.9).unwrap());
        let ratio = s.cell.volume() / 12.0 / (start.cell.volume() / 8.0);
        assert!((1.499..2.001).contains(&ratio), "{ratio}");
        let places = s.positions.iter().map(|&r| s.cell.fractional(r).into());
        let numbers = s.elements.iter().map(|e| i32::from(e.symbol() == "Na"));
        let lattice = Lattice::from_basis(*s.cell.vectors());
        let cell = MoyoCell::new(lattice, places.collect(), numbers.collect());
        // Special values may raise the symmetry, never lower it.
        let data = MoyoDataset::with_default(&cell, 1e-4).unwrap();
        let ours = symmetry::operations(group).unwrap().len();
        assert!(data.num_operations() >= ours, "{group} {}", data.number);
    }
    let impossible = RandomSearch {
        groups: vec![225],
        counts: [("Na".to_owned(), 3)].into(),
        ..RandomSearch::default()
    };
    let error = Recipe::new(&impossible, &start).err().unwrap().to_string();
    assert!(error.contains("3 Na"), "{error}");
}

#[test]
fn a_search_keeps_what_is_not_known_and_repeats() {
    let run = |seed| {
        let (mut calculator, start) = silicon();
        let mut options = ExploreOptions {
            way: crate::explore::Way::RandomSearch(RandomSearch::default()),
            ..ExploreOptions::default()
        };
        options.md.steps = 60;
        options.md.seed = seed;
        crate::explore::explore(&mut calculator, &start, &options, &mut |_, _| {
            ControlFlow::Continue(())
        })
        .unwrap()
    };
    let found = run(1);
    assert!(found.finished && found.steps_done == 60);
    assert!(!found.candidates.is_empty());
    assert!(
        found
            .candidates
            .iter()
            .all(|c| c.grade >= 1.5 && c.structure.len() == 8)
    );
    assert_eq!(found.series["space group"].len(), found.trace.len());
    assert_eq!(run(1).candidates, found.candidates);
    assert_ne!(run(2).candidates, found.candidates);
}
