//! Processes that are started, watched, ended and found again.

use super::*;

fn job(folder: &Path, script: &str, seconds: f64) -> Job {
    let job = Job {
        key: "k".into(),
        attempt: 0,
        variant: 0,
        folder: folder.to_owned(),
        cores: 1,
        memory: Some(100),
        seconds,
    };
    let command = ["sh", "-c", script].map(str::to_owned);
    job.write_script(&command, &Default::default(), "out")
        .unwrap();
    job
}

fn ticket(job: &Job, batch: &str, id: Option<&str>) -> Ticket {
    Ticket {
        job: job.clone(),
        batch: batch.into(),
        index: 0,
        of: 1,
        id: id.map(str::to_owned),
        owner: None,
    }
}

fn end(local: &mut Local, ticket: &Ticket) -> State {
    for _ in 0..2000 {
        let sight = local.look(std::slice::from_ref(ticket)).unwrap().remove(0);
        if sight.state != State::Running {
            return sight.state;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it never ended")
}

#[test]
fn jobs_end_as_they_do_and_time_limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut local = Local::new(Budget::default());
    for (script, seconds, expected) in [
        ("exit 3", 60.0, End::Exited(3)),
        ("true", 60.0, End::Exited(0)),
        ("kill -9 $$", 60.0, End::Exited(137)),
        ("sleep 60", 0.2, End::TimedOut),
    ] {
        let job = job(folder.path(), script, seconds);
        let id = local
            .submit("nl1", folder.path(), std::slice::from_ref(&job))
            .unwrap();
        let state = end(&mut local, &ticket(&job, "nl1", Some(&id)));
        assert_eq!(state, State::Ended(expected), "{script}");
    }
}

#[test]
fn the_budget_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut local = Local::new(Budget {
        cores: Some(8),
        memory: Some(250),
    });
    let job = job(folder.path(), "sleep 60", 60.0);
    let jobs = std::slice::from_ref(&job);
    let first = local.submit("nl2", folder.path(), jobs).unwrap();
    let second = local.submit("nl3", folder.path(), jobs).unwrap();
    assert!(matches!(
        local.submit("nl4", folder.path(), jobs),
        Err(Refusal::Full(_))
    ));
    local
        .cancel(&[
            ticket(&job, "nl2", Some(&first)),
            ticket(&job, "nl3", Some(&second)),
        ])
        .unwrap();
    assert!(local.fits(&job));
    assert!(process::find("nl2").is_none());
}

#[test]
fn the_next_driver_finds_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Local::new(Budget::default());
    let batch = format!("nl-test-{}", std::process::id());
    let go = folder.path().join("go");
    let script = format!(
        "until [ -e '{}' ]; do sleep 0.02; done; exit 5",
        go.display()
    );
    let job = job(folder.path(), &script, 60.0);
    let id = first
        .submit(&batch, folder.path(), std::slice::from_ref(&job))
        .unwrap();
    // Until the shell runs, its environment is not to be seen.
    while !folder.path().join("job.started").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    // A driver that forgets its child is as good as dead.
    let Some(mut running) = first.children.remove(&id) else {
        panic!("no child")
    };
    let mut second = Local::new(Budget::default());
    let unknown = ticket(&job, &batch, None);
    let sight = second.look(&[unknown]).unwrap().remove(0);
    assert_eq!(
        sight,
        JobStatus {
            id: Some(id.clone()),
            state: State::Running
        }
    );
    std::fs::write(go, "").unwrap();
    running.child.wait().unwrap();
    let known = ticket(&job, &batch, Some(&id));
    assert_eq!(end(&mut second, &known), State::Missing);
    assert_eq!(job.status(), Some(5));
    // A number that another process has by now is not mistaken for it.
    let other = ticket(&job, "nl-other", Some(&process::id_of(std::process::id())));
    assert_eq!(second.look(&[other]).unwrap()[0].state, State::Missing);
}
