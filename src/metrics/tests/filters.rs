//! What filters define and change.

use std::thread;

use proptest::prelude::*;

use super::super::{Bounds, Histogram, Kind, MOST_BOUNDS, Metric, Plain, Refusal, Scope, Store, TooSmall, Value};
use super::{SIZE, memory, scope, store};

#[test]
fn a_metric_has_one_id_in_every_worker() {
    let memory = memory(SIZE);
    let (one, other) = (scope(&memory, 0), scope(&memory, 1));
    let id = one.define(Kind::Counter, b"a").unwrap();
    assert_eq!(other.define(Kind::Counter, b"a"), Ok(id));
    assert_eq!(one.define(Kind::Counter, b"a"), Ok(id));
    let others = [other.define(Kind::Gauge, b"a"), other.define(Kind::Counter, b"b")];
    assert!(others.iter().all(|&other| other.is_ok() && other != Ok(id)), "{others:?}");
}

#[test]
fn workers_add_up() {
    let memory = memory(SIZE);
    let id = scope(&memory, 0).define(Kind::Counter, b"a").unwrap();
    // More than there are rows: some share one.
    thread::scope(|threads| {
        for worker in 0..40 {
            let scope = scope(&memory, worker);
            threads.spawn(move || (0..10_000).for_each(|_| scope.increment(id, 1).unwrap()));
        }
    });
    assert_eq!(scope(&memory, 3).get(id), Ok(400_000));
}

#[test]
fn definers_at_once_agree() {
    let memory = memory(SIZE);
    let ids: Vec<Vec<u32>> = thread::scope(|threads| {
        let spawn = |worker: usize| {
            let scope = scope(&memory, worker);
            let names = (0..200).map(move |n| format!("name {}", (n * (worker + 1)) % 200));
            threads.spawn(move || {
                let mut ids: Vec<_> =
                    names.map(|n| (n.clone(), scope.define(Kind::Gauge, n.as_bytes()).unwrap())).collect();
                ids.sort();
                ids.dedup();
                ids.into_iter().map(|(_, id)| id).collect()
            })
        };
        // Numbers that have no divisor in common with 200 name all of them.
        let threads: Vec<_> = [0, 2, 6, 8].into_iter().map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|each| *each == ids[0] && each.len() == 200));
    assert_eq!(store(&memory, 0).metrics().len(), 200);
}

#[test]
fn what_is_set_is_what_is_read() {
    let memory = memory(SIZE);
    let (one, other) = (scope(&memory, 0), scope(&memory, 1));
    for kind in [Kind::Counter, Kind::Gauge] {
        let id = one.define(kind, b"a").unwrap();
        one.increment(id, 5).unwrap();
        other.record(id, 3).unwrap();
        assert_eq!(one.get(id), Ok(3));
        one.increment(id, 4).unwrap();
        one.record(id, 100).unwrap();
        other.increment(id, 1).unwrap();
        assert_eq!(other.get(id), Ok(101), "{kind:?}");
    }
}

#[test]
fn numbers_wrap_around() {
    let memory = memory(SIZE);
    let (one, other) = (scope(&memory, 0), scope(&memory, 1));
    let id = one.define(Kind::Gauge, b"g").unwrap();
    one.increment(id, 3).unwrap();
    other.increment(id, -5).unwrap();
    assert_eq!(one.get(id), Ok(-2i64 as u64));
    one.record(id, u64::MAX).unwrap();
    other.increment(id, 2).unwrap();
    assert_eq!(one.get(id), Ok(1));
    other.increment(id, i64::MIN).unwrap();
    other.record(id, 7).unwrap();
    assert_eq!(one.get(id), Ok(7));
}

#[test]
fn each_kind_refuses_what_it_is_not_for() {
    let memory = memory(SIZE);
    let scope = scope(&memory, 0);
    let [counter, gauge, histogram] =
        [Kind::Counter, Kind::Gauge, Kind::Histogram].map(|kind| scope.define(kind, b"a").unwrap());
    assert_eq!(scope.increment(counter, -1), Err(Refusal::Unfit));
    assert_eq!(scope.increment(counter, 0), Ok(()));
    assert_eq!(scope.increment(gauge, -1), Ok(()));
    assert_eq!(scope.increment(histogram, 1), Err(Refusal::Unfit));
    assert_eq!(scope.get(histogram), Err(Refusal::Unfit));
    for id in [0, histogram + 1, 1 << 20, u32::MAX] {
        let answers = [scope.increment(id, 1), scope.record(id, 1), scope.get(id).map(drop)];
        assert_eq!(answers, [Err(Refusal::Unknown); 3], "{id}");
    }
}

#[test]
fn a_module_has_its_own() {
    let memory = memory(SIZE);
    let (one, other) = (scope(&memory, 0), Scope::new(store(&memory, 0), "other"));
    let (mine, theirs) = (one.define(Kind::Counter, b"a").unwrap(), other.define(Kind::Counter, b"a").unwrap());
    assert_eq!(one.increment(theirs, 1), Err(Refusal::Unknown));
    one.increment(mine, 1).unwrap();
    assert_eq!((one.get(mine), other.get(theirs), other.get(mine)), (Ok(1), Ok(0), Err(Refusal::Unknown)));
}

#[test]
fn names_are_text_and_not_too_long() {
    let memory = memory(SIZE);
    let scope = scope(&memory, 0);
    assert_eq!(scope.define(Kind::Counter, b""), Err(Refusal::Unfit));
    assert_eq!(scope.define(Kind::Counter, b"\xff"), Err(Refusal::Unfit));
    assert_eq!(scope.define(Kind::Counter, &[b'a'; 257]), Err(Refusal::TooLong));
    scope.define(Kind::Counter, &[b'a'; 256]).unwrap();
    let names = ["a", "with a blank", "ü\0\n\"", "12345678", "1234567", "123456789"];
    for name in names {
        scope.define(Kind::Counter, name.as_bytes()).unwrap();
    }
    let seen: Vec<_> = store(&memory, 0).metrics().into_iter().map(|metric| metric.name).collect();
    assert_eq!(seen[1..], names);
}

#[test]
fn a_full_store_keeps_what_it_has() {
    for bytes in [7936, 12 << 10, SIZE] {
        let memory = memory(bytes);
        let scope = scope(&memory, 0);
        let define = |n: usize| scope.define([Kind::Counter, Kind::Histogram][n % 2], format!("name {n}").as_bytes());
        let ids: Vec<_> = (0..).map_while(|n| define(n).ok()).collect();
        assert!(ids.len() >= 3, "{bytes}: {}", ids.len());
        assert_eq!(define(ids.len()), Err(Refusal::Full));
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(define(n), Ok(*id));
            scope.record(*id, n as u64).unwrap();
        }
        for (n, metric) in store(&memory, 0).metrics().into_iter().enumerate() {
            match metric.value {
                Value::Counter(value) => assert_eq!(value, n as u64),
                Value::Histogram(histogram) => assert_eq!((histogram.sum, histogram.count()), (n as u64, 1)),
                Value::Gauge(_) => panic!("there is none"),
            }
        }
        let (all, taken) = store(&memory, 0).usage();
        assert!(taken <= all && all <= bytes, "{taken} {all}");
    }
}

#[test]
fn five_megabytes_are_many_metrics() {
    let memory = memory(5 << 20);
    let scope = scope(&memory, 0);
    let count = (0..).take_while(|n| scope.define(Kind::Counter, format!("name {n}").as_bytes()).is_ok()).count();
    assert!(count > 20_000, "{count}");
}

#[test]
fn too_little_memory_is_refused() {
    assert_eq!(Store::format(&Plain::new(4095), 16), Err(TooSmall));
    assert!(Store::open(Plain::new(4096), 0, 256, Bounds::default()).is_none());
}

#[test]
fn values_stay_when_the_store_is_opened_again() {
    let memory = memory(SIZE);
    let id = scope(&memory, 0).define(Kind::Counter, b"a").unwrap();
    scope(&memory, 5).increment(id, 9).unwrap();
    Store::format(&memory, 3).unwrap();
    let again = scope(&memory, 0);
    assert_eq!((again.define(Kind::Counter, b"a"), again.get(id)), (Ok(id), Ok(9)));
}

fn histogram(bounds: Bounds, values: &[u64]) -> Histogram {
    let memory = memory(SIZE);
    let store = Store::open(memory, 0, 256, bounds).unwrap();
    let scope = Scope::new(store.clone(), "filter");
    let id = scope.define(Kind::Histogram, b"h").unwrap();
    values.iter().for_each(|&value| scope.record(id, value).unwrap());
    match store.metrics().remove(0) {
        Metric { value: Value::Histogram(histogram), .. } => histogram,
        other => panic!("{other:?}"),
    }
}

#[test]
fn histograms_have_powers_of_two() {
    let seen = histogram(Bounds::default(), &[0, 1, 2, 3, 4, 5, 1 << 35, (1 << 35) + 1, u64::MAX]);
    assert_eq!(seen.bounds, (0..36).map(|power| 1u64 << power).collect::<Vec<_>>());
    assert_eq!(seen.counts[..4], [2, 1, 2, 1]);
    assert_eq!(seen.counts[35..], [1, 2]);
    assert_eq!(seen.count(), 9);
    let last = seen.cumulative().last();
    assert_eq!(last, Some((None, 9)));
}

#[test]
fn histograms_have_the_bounds_that_were_given() {
    let bounds = Bounds::new(&[5, 10, 100]).unwrap();
    let seen = histogram(bounds, &[0, 5, 6, 10, 11, 100, 101, 1000]);
    assert_eq!(seen.counts, [2, 2, 2, 2]);
    assert_eq!(seen.cumulative().collect::<Vec<_>>(), [(Some(5), 2), (Some(10), 4), (Some(100), 6), (None, 8)]);
    assert_eq!(seen.sum, 1233);
    let most: Vec<u64> = (0..MOST_BOUNDS as u64).collect();
    assert_eq!(histogram(Bounds::new(&most).unwrap(), &most).counts.len(), MOST_BOUNDS + 1);
}

#[test]
fn bounds_grow() {
    for bad in [&[][..], &[1, 1], &[2, 1], &[0; MOST_BOUNDS + 1]] {
        assert_eq!(Bounds::new(bad), None);
    }
}

#[test]
fn other_bounds_make_another_histogram() {
    let memory = memory(SIZE);
    let with = |bounds: &[u64]| Store::open(memory.clone(), 0, 256, Bounds::new(bounds).unwrap()).unwrap();
    let (old, new) = (with(&[1, 2]), with(&[1, 3]));
    let record = |store: &Store<Plain>, value| {
        let scope = Scope::new(store.clone(), "filter");
        let id = scope.define(Kind::Histogram, b"h").unwrap();
        scope.record(id, value).unwrap();
    };
    record(&old, 2);
    record(&new, 3);
    record(&old, 2);
    let counts = |store: &Store<Plain>| match &store.metrics()[..] {
        [Metric { value: Value::Histogram(histogram), .. }] => histogram.counts.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((counts(&old), counts(&new)), (vec![0, 2, 0], vec![0, 1, 0]));
}

#[derive(Clone, Debug)]
enum Step {
    Define(u8),
    Increment(u8, i64),
    Record(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::Define),
        (any::<u8>(), any::<i64>()).prop_map(|(name, delta)| Step::Increment(name, delta)),
        (any::<u8>(), any::<u64>()).prop_map(|(name, value)| Step::Record(name, value)),
    ]
}

proptest! {
    /// Three workers do what they like with gauges: the store agrees with a plain map.
    #[test]
    fn gauges_are_as_in_a_map(steps in proptest::collection::vec((0..3usize, step()), 0..300)) {
        let memory = memory(SIZE);
        let scopes: Vec<_> = (0..3).map(|worker| scope(&memory, worker)).collect();
        let mut model = std::collections::BTreeMap::<u8, u64>::new();
        for (worker, step) in steps {
            let scope = &scopes[worker];
            let (Step::Define(name) | Step::Increment(name, _) | Step::Record(name, _)) = step;
            let id = scope.define(Kind::Gauge, format!("g{name}").as_bytes()).unwrap();
            let known = model.entry(name).or_default();
            match step {
                Step::Define(_) => {}
                Step::Increment(_, delta) => {
                    scope.increment(id, delta).unwrap();
                    *known = known.wrapping_add(delta as u64);
                }
                Step::Record(_, value) => {
                    scope.record(id, value).unwrap();
                    *known = value;
                }
            }
            prop_assert_eq!(scopes[(worker + 1) % 3].get(id), Ok(*known));
        }
        let mut seen: Vec<_> = store(&memory, 0).metrics().into_iter().map(|metric| (metric.name, metric.value)).collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let mut wanted: Vec<_> = model.into_iter().map(|(name, value)| (format!("g{name}"), Value::Gauge(value))).collect();
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(seen, wanted);
    }
}
