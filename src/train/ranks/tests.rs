//! Processes of one training, as threads.

use super::*;

/// All of a number of processes, as threads.
fn together<R: Send>(size: usize, work: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ranks");
    // One of an earlier run is no trap.
    std::fs::write(&file, "00\n1\n127.0.0.1\n").unwrap();
    let (file, work) = (&file, &work);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..size)
            .map(|k| scope.spawn(move || work(Ranks::meet((k, size), file).unwrap())))
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn sums_are_the_same_for_any_number_of_processes() {
    let tasks: Vec<Vec<f64>> = (0..11)
        .map(|k| (0..5).map(|i| 1.0 / f64::from(1 + 7 * k + i)).collect())
        .collect();
    let alone = Ranks::alone().total(5, tasks.clone());
    for size in [1, 2, 3, 5, 16] {
        let all = together(size, |ranks| {
            let own = ranks.own(tasks.len());
            let total = ranks.total(5, tasks[own.clone()].to_vec());
            let joined = ranks.join(own.map(|k| k as f64).collect());
            ranks.agree("same").unwrap();
            let first = ranks.of_first(vec![ranks.rank() as u8]).unwrap();
            (
                total,
                joined,
                first,
                ranks.any(ranks.rank() + 1 == ranks.size()),
                ranks.clock(),
            )
        });
        for (total, joined, first, any, clock) in &all {
            assert_eq!(*total, alone, "{size}");
            assert_eq!(joined.len(), tasks.len());
            assert!(joined.is_sorted() && *any && *first == [0]);
            assert_eq!(*clock, all[0].4);
        }
    }
}

#[test]
fn one_that_ends_or_differs_ends_all() {
    let said = together(3, |ranks| {
        if ranks.rank() == 2 {
            return String::new();
        }
        let total = ranks.total(2, vec![vec![1.0; 2]]);
        assert!(total.iter().all(|x| x.is_nan()));
        ranks.check().unwrap_err().to_string()
    });
    assert!(
        said[0].contains("number 2 (counted from 0) ended"),
        "{}",
        said[0]
    );
    assert!(
        said[1].contains("the first (counted from 0) ended"),
        "{}",
        said[1]
    );
    let said = together(2, |ranks| {
        let key = format!("{}", ranks.rank());
        ranks.agree(&key).unwrap_err().to_string()
    });
    assert!(
        said.iter().all(|s| s.contains("other settings or data")),
        "{said:?}"
    );
}
