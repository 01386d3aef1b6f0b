use super::*;
use crate::label::Label;
use nepal::element::Element;
use nepal::error::Error;
use nepal::system::Cell;
use std::sync::atomic::AtomicUsize;

/// Follows the x coordinate of the first atom: 1 accepts, 2 rejects, 3 has a net force, 4 fails.
#[derive(Default)]
struct Fake(AtomicUsize);

impl Labeller for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn settings(&self) -> String {
        String::new()
    }
    fn label(&self, structure: &Structure, workdir: &Path) -> Result<Verdict> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::fs::write(workdir.join("log"), "text").unwrap();
        let mut label = Label {
            energy: 1.0,
            forces: vec![[0.0; 3]],
            virial: None,
            info: Default::default(),
        };
        match structure.positions[0][0] {
            1.0 => Ok(Verdict::Accepted(label)),
            2.0 => Ok(Verdict::rejected("SCF not converged")),
            3.0 => {
                label.forces[0][2] = 0.5;
                Ok(Verdict::Accepted(label))
            }
            _ => Err(Error::Failed("program not found".to_owned())),
        }
    }
}

fn at(x: f64) -> Structure {
    let cell = Cell::orthorhombic([5.0; 3]).unwrap();
    let sodium = Element::from_symbol("Na").unwrap();
    Structure::new(cell, vec![sodium], vec![[x, 0.0, 0.0]]).unwrap()
}

#[test]
fn each_structure_is_labelled_once() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Arc::new(Fake::default());
    let runner = |limits| {
        let cache = LabelCache::open(folder.path().join("cache")).unwrap();
        LabelRunner::new(fake.clone(), limits, cache, folder.path().join("work")).unwrap()
    };
    let strict = runner(Limits::default());
    for x in [1.0, 2.0, 3.0] {
        assert!(strict.cached(&at(x)).unwrap().is_none());
        let first = strict.label(&at(x)).unwrap();
        let second = strict.label(&at(x)).unwrap();
        assert!(!first.cached && second.cached);
        assert_eq!(first.verdict, second.verdict);
        assert_eq!(matches!(first.verdict, Verdict::Accepted(_)), x == 1.0);
        if let Verdict::Rejected { kept, .. } = first.verdict {
            assert!(kept.unwrap().join("log").exists());
        }
    }
    assert_eq!(fake.0.load(Ordering::Relaxed), 3);
    assert!(strict.label(&at(4.0)).is_err());
    assert!(strict.label(&at(4.0)).is_err(), "errors are not remembered");
    assert_eq!(fake.0.load(Ordering::Relaxed), 5);
    let left = std::fs::read_dir(folder.path().join("work"))
        .unwrap()
        .count();
    assert_eq!(
        left, 0,
        "work folders are removed, or moved into quarantine"
    );

    // Looser limits rescue the values that were paid for.
    let loose = runner(Limits {
        max_net_force: 1.0,
        ..Limits::default()
    });
    let rescued = loose.label(&at(3.0)).unwrap();
    assert!(rescued.cached && matches!(rescued.verdict, Verdict::Accepted(_)));
    assert!(matches!(
        strict.cached(&at(3.0)).unwrap(),
        Some(Verdict::Rejected { .. })
    ));
    assert!(matches!(
        loose.cached(&at(2.0)).unwrap(),
        Some(Verdict::Rejected { .. })
    ));

    strict.cache().forget(&strict.key(&at(2.0))).unwrap();
    assert!(!strict.label(&at(2.0)).unwrap().cached);
}

#[test]
fn a_reason_reads_the_same_for_all_structures() {
    let folder = Path::new("/somewhere/running/0123-4");
    let reason = "/somewhere/running/0123-4/output.xyz:2: bad; in /somewhere/running/0123-4";
    assert_eq!(without_folder(reason, folder), "output.xyz:2: bad; in .");
}
