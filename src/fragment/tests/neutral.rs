//! Fragments around a charged defect.

use super::super::outcome::Outcome;
use super::super::{FragmentOptions, extract};
use super::*;
use std::collections::BTreeMap;

#[test]
fn around_a_charged_vacancy() {
    let crystal = shake(rock_salt([4, 4, 4]), 0.1, 21);
    let removed = nearest(&crystal, [12.9, 12.9, 12.9]);
    let place = crystal.positions[removed];
    let parent = without(crystal, removed);
    let mut calculator = lead_telluride_trained();
    let charges = BTreeMap::from([(element("Pb"), 2.0), (element("Te"), -2.0)]);
    let mut by: Vec<(f64, usize)> = (0..parent.len())
        .map(|i| {
            let d = crate::system::cell::norm(crate::system::cell::sub(parent.positions[i], place));
            (d, i)
        })
        .collect();
    by.sort_by(|a, b| a.0.total_cmp(&b.0));
    for k in [0, 1, 2] {
        let options = FragmentOptions {
            formal_charges: Some(charges.clone()),
            ..FragmentOptions::default()
        };
        let outcome = extract(&mut calculator, &parent, by[k].1, &options).unwrap();
        println!("{} {outcome}", parent.elements[by[k].1]);
        let options = FragmentOptions {
            allow_charge: 2.0,
            ..options
        };
        let outcome = extract(&mut calculator, &parent, by[k].1, &options).unwrap();
        println!("allowed {outcome}");
        let options = FragmentOptions::default();
        let outcome = extract(&mut calculator, &parent, by[k].1, &options).unwrap();
        println!("plain {outcome}");
    }
}
