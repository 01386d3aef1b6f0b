//! Many jobs on this machine, a few at a time.

use nepal::error::{Error, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Runs `work` on all tasks, at most `parallel` at once (0 counts as 1), and hands each result to
/// `on_done` as it comes, with the task's index.
///
/// Tasks start in order and end in any. `on_done` runs on the calling thread. A task that fails or
/// panics has an error for a result and does not disturb the others. Once `stop` is true no
/// further task starts; those that run are waited for. Returns the number of tasks that were started.
pub fn run_local<T: Sync, R: Send>(
    tasks: &[T],
    parallel: usize,
    stop: &AtomicBool,
    work: impl Fn(usize, &T) -> Result<R> + Sync,
    mut on_done: impl FnMut(usize, Result<R>),
) -> usize {
    let next = AtomicUsize::new(0);
    // Raised when this function is left early, by a panic in `on_done`.
    let abandoned = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let mut started = 0;
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, tasks.len().max(1)) {
            let sender = sender.clone();
            let (next, abandoned, work) = (&next, &abandoned, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && !abandoned.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { break };
                    let result = catch_unwind(AssertUnwindSafe(|| work(index, task)))
                        .unwrap_or_else(|panic| Err(panicked(index, panic.as_ref())));
                    if sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let _guard = RaiseOnDrop(&abandoned);
        for (index, result) in receiver {
            started += 1;
            on_done(index, result);
        }
    });
    started
}

struct RaiseOnDrop<'a>(&'a AtomicBool);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn panicked(index: usize, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    Error::Internal(format!("task {index} panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_task_reports_once_and_failures_stay_alone() {
        let tasks: Vec<usize> = (0..50).collect();
        let running = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let mut results = vec![None; 50];
        let started = run_local(
            &tasks,
            3,
            &AtomicBool::new(false),
            |index, &task| {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
                running.fetch_sub(1, Ordering::SeqCst);
                assert_eq!(index, task);
                match task {
                    7 => panic!("seven"),
                    8 => Err(Error::Failed("eight".to_owned())),
                    _ => Ok(task * 2),
                }
            },
            |index, result| {
                assert!(results[index].is_none());
                results[index] = Some(result.map_err(|e| e.to_string()));
            },
        );
        assert_eq!(started, 50);
        assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
        for (index, result) in results.into_iter().enumerate() {
            match (index, result.unwrap()) {
                (7, Err(message)) => assert!(message.contains("task 7 panicked: seven")),
                (8, Err(message)) => assert_eq!(message, "eight"),
                (_, result) => assert_eq!(result, Ok(index * 2)),
            }
        }
    }

    #[test]
    fn results_come_as_they_finish() {
        let (quick_done, wait) = mpsc::channel();
        let wait = std::sync::Mutex::new(wait);
        let mut order = Vec::new();
        // Task 0 ends only after the result of task 1 was handed over.
        run_local(
            &[0, 1],
            2,
            &AtomicBool::new(false),
            |_, &task| {
                if task == 0 {
                    wait.lock()
                        .unwrap()
                        .recv_timeout(Duration::from_secs(30))
                        .unwrap();
                }
                Ok(task)
            },
            |_, result| {
                order.push(result.unwrap());
                let _ = quick_done.send(());
            },
        );
        assert_eq!(order, [1, 0]);
    }

    #[test]
    fn a_stop_starts_nothing_more() {
        let stop = AtomicBool::new(false);
        let mut done = 0;
        let started = run_local(
            &[(); 100],
            1,
            &stop,
            |index, _| {
                if index == 2 {
                    stop.store(true, Ordering::Relaxed);
                }
                Ok(())
            },
            |_, _| done += 1,
        );
        assert_eq!((started, done), (3, 3));
        assert_eq!(run_local(&[0u8; 0], 0, &stop, |_, _| Ok(()), |_, _| ()), 0);
    }
}
