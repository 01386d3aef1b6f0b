use super::*;
use nepal::element::Element;
use nepal::system::Cell;

fn structure() -> Structure {
    let sodium = Element::from_symbol("Na").unwrap();
    Structure::new(
        Cell::orthorhombic([4.2, 4.2, 4.3]).unwrap(),
        vec![sodium; 2],
        vec![[0.0; 3], [2.1, 2.0, 2.2]],
    )
    .unwrap()
}

fn label() -> Label {
    Label {
        energy: -1.0 / 3.0,
        forces: vec![[0.1, -0.2, 1e-17], [-0.1, 0.2, -0.0]],
        virial: Some([1.0 / 7.0; 9]),
        info: [("program".to_owned(), "test".to_owned())].into(),
    }
}

#[test]
fn everything_that_matters_is_in_the_key() {
    let base = structure();
    let key = label_key(&base, "m", "s");
    assert_eq!(key.len(), 64);
    let mut zero = base.clone();
    zero.positions[0][1] = -0.0;
    assert_eq!(label_key(&zero, "m", "s"), key);
    let mut others = vec![
        label_key(&base, "m", "s2"),
        label_key(&base, "ms", ""),
        label_key(&base, "", "ms"),
    ];
    let mut changed = base.clone();
    changed.positions[1][2] = f64::from_bits(2.2f64.to_bits() + 1);
    others.push(label_key(&changed, "m", "s"));
    let mut changed = base.clone();
    changed.elements[1] = Element::from_symbol("K").unwrap();
    others.push(label_key(&changed, "m", "s"));
    let mut changed = base.clone();
    changed.cell = Cell::new(*base.cell.vectors(), [true, true, false]).unwrap();
    others.push(label_key(&changed, "m", "s"));
    let mut changed = base.clone();
    changed.cell = Cell::orthorhombic([4.2, 4.2, 4.4]).unwrap();
    others.push(label_key(&changed, "m", "s"));
    others.push(key);
    let n = others.len();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), n);
}

#[test]
fn labels_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let cache = LabelCache::open(folder.path().join("a/b")).unwrap();
    let key = label_key(&structure(), "m", "s");
    assert_eq!(cache.get(&key).unwrap(), None);
    cache.put(&key, &label()).unwrap();
    let again = LabelCache::open(folder.path().join("a/b")).unwrap();
    assert_eq!(again.get(&key).unwrap(), Some(Entry::Accepted(label())));
    again.set_aside(&key).unwrap();
    assert_eq!(cache.get(&key).unwrap(), None);
    assert_eq!(cache.doubted(&key).unwrap(), [label()]);
    cache.put(&key, &label()).unwrap();
    again.set_aside(&key).unwrap();
    assert_eq!(cache.doubted(&key).unwrap().len(), 2);
    cache.put(&key, &label()).unwrap();
    again.forget(&key).unwrap();
    assert_eq!(cache.get(&key).unwrap(), None);
}

#[test]
fn damage_of_any_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let cache = LabelCache::open(folder.path()).unwrap();
    let key = label_key(&structure(), "m", "s");
    cache.put(&key, &label()).unwrap();
    let path = cache.label_path(&key);
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert_eq!(cache.get(&key).unwrap(), None, "byte {at}");
        std::fs::write(&path, &good[..at]).unwrap();
        assert_eq!(cache.get(&key).unwrap(), None, "cut at {at}");
    }
    // A sound file under another key's name.
    let other = label_key(&structure(), "m", "other");
    std::fs::create_dir_all(cache.label_path(&other).parent().unwrap()).unwrap();
    std::fs::write(cache.label_path(&other), &good).unwrap();
    assert_eq!(cache.get(&other).unwrap(), None);
    cache.put(&key, &label()).unwrap();
    assert_eq!(cache.get(&key).unwrap(), Some(Entry::Accepted(label())));
}

#[test]
fn rejections_keep_reason_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let cache = LabelCache::open(folder.path().join("cache")).unwrap();
    let key = label_key(&structure(), "m", "s");
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    std::fs::write(work.join("out"), "SCF went wrong").unwrap();
    let kept = cache
        .reject(
            &key,
            &Rejection {
                reason: "SCF not converged",
                label: Some(&label()),
                workdir: Some(&work),
                ..Rejection::default()
            },
        )
        .unwrap();
    assert!(!work.exists());
    assert_eq!(
        std::fs::read_to_string(kept.join("out")).unwrap(),
        "SCF went wrong"
    );
    let expected = Entry::Rejected {
        reason: "SCF not converged".to_owned(),
        label: Some(label()),
        kept: Some(kept.clone()),
        cause: Cause::Untrusted,
        ladder: Vec::new(),
    };
    assert_eq!(cache.get(&key).unwrap(), Some(expected));
    // A file of the quarantine under the name of a label is not taken for one.
    std::fs::create_dir_all(cache.label_path(&key).parent().unwrap()).unwrap();
    std::fs::copy(kept.join("rejected.json"), cache.label_path(&key)).unwrap();
    assert!(matches!(
        cache.get(&key).unwrap(),
        Some(Entry::Rejected { .. })
    ));
    cache.put(&key, &label()).unwrap();
    assert_eq!(cache.get(&key).unwrap(), Some(Entry::Accepted(label())));
    assert!(!kept.exists());
    let nan = Label {
        energy: f64::NAN,
        ..label()
    };
    assert!(cache.put(&key, &nan).is_err());
    let infinite = Rejection {
        reason: "not finite",
        label: Some(&nan),
        ..Rejection::default()
    };
    cache.reject(&key, &infinite).unwrap();
}

#[test]
fn threads_may_write_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let cache = LabelCache::open(folder.path()).unwrap();
    let key = label_key(&structure(), "m", "s");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    cache.put(&key, &label()).unwrap();
                    assert_eq!(cache.get(&key).unwrap(), Some(Entry::Accepted(label())));
                }
            });
        }
    });
}

#[test]
#[cfg(unix)]
fn what_dead_processes_left_is_removed() {
    use std::time::{Duration, SystemTime};
    let folder = tempfile::tempdir().unwrap();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let dead = gone.id();
    gone.wait().unwrap();
    let mine = std::process::id();
    let group = folder.path().join("labels/ab");
    std::fs::create_dir_all(&group).unwrap();
    let file = group.join("x.json");
    std::fs::write(&file, "").unwrap();
    let work = |name: String| folder.path().join(name);
    let folders = [
        work(format!("0123-{dead}-0")),
        work(format!("0123-{mine}-0")),
        work("0123-4".to_owned()),
    ];
    for path in &folders {
        std::fs::create_dir(path).unwrap();
    }
    let old = SystemTime::now() - Duration::from_secs(100_000);
    for path in folders.iter().chain([&file]) {
        std::fs::File::open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    sweep(folder.path(), 2);
    let left: Vec<bool> = folders.iter().chain([&file]).map(|p| p.exists()).collect();
    assert_eq!(left, [false, true, true, true]);
}
