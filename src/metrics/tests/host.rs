//! The host's own numbers.

use std::time::{Duration, Instant};

use super::super::{Kind, Meter, Process, Refusal, Usage};
use super::{SIZE, memory, scope, store};

fn usage(store: &super::Store<super::Plain>, lives: impl Fn(u32) -> bool) -> Usage {
    let (mut all, _) = store.usages(lives);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn calls_of_all_workers_add_up() {
    let memory = memory(SIZE);
    for worker in 0..3 {
        let meter = Meter::new(&store(&memory, worker), None, "filter", "wasmi").unwrap();
        meter.called(Duration::from_nanos(256));
        meter.called(Duration::from_nanos(257));
        meter.called(Duration::from_secs(100));
        meter.trapped(worker == 0);
        meter.failed();
        meter.restarted();
    }
    let seen = usage(&store(&memory, 0), |_| true);
    assert_eq!((seen.module.as_str(), seen.engine.as_str()), ("filter", "wasmi"));
    assert_eq!((seen.failures, seen.traps, seen.deadlines, seen.restarts), (3, 3, 1, 3));
    assert_eq!((seen.time.counts[0], seen.time.counts[1], seen.time.counts.last()), (3, 3, Some(&3)));
    assert_eq!(seen.time.sum, 3 * (256 + 257 + 100_000_000_000));
    assert_eq!(store(&memory, 0).metrics(), [], "they are not the filters'");
}

#[test]
fn filters_cannot_touch_them() {
    let memory = memory(SIZE);
    Meter::new(&store(&memory, 0), None, "filter", "wasmi").unwrap();
    let scope = scope(&memory, 0);
    assert_eq!(
        (scope.increment(1, 1), scope.record(1, 1), scope.get(1)),
        (Err(Refusal::Unknown), Err(Refusal::Unknown), Err(Refusal::Unknown))
    );
    assert_eq!(scope.define(Kind::Counter, b"wasmi"), Ok(2));
}

#[test]
fn what_a_process_holds_counts_while_it_lives() {
    let memory = memory(SIZE);
    let store = store(&memory, 0);
    let start = |pid, lives: fn(u32) -> bool| {
        let process = Process::register(&store, pid, lives).unwrap();
        let meter = Meter::new(&store, Some(&process), "filter", "wasmi").unwrap();
        meter.instances(1);
        meter.contexts(3);
        meter.contexts(-1);
        meter.memory(65536);
        (process, meter)
    };
    let (first, _) = start(11, |_| true);
    let (_second, _) = start(12, |_| true);
    let seen = usage(&store, |_| true);
    assert_eq!((seen.instances, seen.contexts, seen.memory), (2, 4, 131_072));
    assert_eq!(store.usages(|_| true).1, 2);

    // 12 was killed: it counts no more, and its place is taken by the next.
    assert_eq!(usage(&store, |pid| pid != 12).contexts, 2);
    let (_third, _) = start(13, |pid| pid != 12);
    assert_eq!(usage(&store, |_| true).contexts, 4);
    drop(first);
    assert_eq!((usage(&store, |_| true).contexts, store.usages(|_| true).1), (2, 1));
}

#[test]
fn processes_without_a_place_are_not_counted() {
    let memory = memory(8 << 10);
    let store = store(&memory, 0);
    let registered: Vec<_> = (1..=5).map(|pid| Process::register(&store, pid, |_| true)).collect();
    assert_eq!(registered.iter().flatten().count(), 4);
    Meter::new(&store, registered[4].as_ref(), "filter", "wasmi").unwrap().contexts(1);
    assert_eq!(usage(&store, |_| true).contexts, 0);
}

/// The cost is printed; the bound is far from it, for machines that do other things meanwhile.
#[test]
fn measuring_a_call_is_cheap() {
    const TIMES: u32 = 100_000;
    let memory = memory(SIZE);
    let meter = Meter::new(&store(&memory, 0), None, "filter", "wasmi").unwrap();
    let round = || {
        let begun = Instant::now();
        (0..TIMES).for_each(|_| meter.called(Instant::now().elapsed()));
        begun.elapsed() / TIMES
    };
    let best = (0..20).map(|_| round()).min();
    println!("measuring a call: {best:?}");
    assert!(best.is_some_and(|best| best.as_nanos() < 2000), "{best:?}");
}
