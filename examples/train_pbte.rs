//! Trains GPUMD's PbTe example, and prints how the errors
//! fall and when they pass 0.41 meV/atom and 39.9 meV/Å, those of GPUMD's own run of 20,000 generations.
//!
//! Usage: `train_pbte [epochs] [threads] [nep.txt to write]`

#[path = "../benches/support/pbte.rs"]
mod pbte;

use nepal_train::{TrainOptions, train};
use std::ops::ControlFlow;

const TARGET: [f64; 2] = [0.41e-3, 39.9e-3];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |index: usize| arguments.get(index).map(|x| x.parse()).transpose();
    let (config, frames) = pbte::training()?;
    let mut last = usize::MAX;
    let mut reached = None;
    let mut show = |p: &nepal_train::Progress| {
        let r = &p.record;
        if r.epoch != last {
            last = r.epoch;
            println!(
                "epoch {:5}  {:7.2} s  loss {:.5} ({:.5} {:.5})  {:8.4} meV/atom  {:7.3} meV/A",
                r.epoch,
                r.seconds,
                r.loss,
                r.l1,
                r.l2,
                1e3 * r.train[0],
                1e3 * r.train[1]
            );
            if reached.is_none() && r.train[0] <= TARGET[0] && r.train[1] <= TARGET[1] {
                reached = Some(r.seconds);
            }
        }
        ControlFlow::Continue(())
    };
    let options = TrainOptions {
        epochs: number(1)?,
        threads: number(2)?,
        progress: Some(&mut show),
        ..TrainOptions::default()
    };
    let result = train(&config, &frames, &[], options)?;
    for warning in &result.warnings {
        println!("warning: {warning}");
    }
    println!("{:#?}", result.train);
    println!("{} epochs in {:.1} s", result.epochs, result.seconds);
    match reached {
        Some(s) => println!("both targets reached after {s:.1} s"),
        None => println!("targets not reached"),
    }
    if let Some(path) = arguments.get(3) {
        result.model.save(path)?;
    }
    Ok(())
}
