//! A worker is killed while it defines a metric.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::super::{Kind, Memory, Plain, Value};
use super::{memory, scope, store};

fn words(memory: &Plain) -> Vec<u64> {
    memory.words().iter().map(|word| word.load(Relaxed)).collect()
}

fn copy(words: &[u64]) -> Plain {
    Plain::copy_of(&words.iter().map(|word| AtomicU64::new(*word)).collect::<Vec<_>>())
}

fn values(memory: &Plain) -> Vec<(String, Value)> {
    store(memory, 0).metrics().into_iter().map(|metric| (metric.name, metric.value)).collect()
}

proptest! {
    /// Whichever of the words of a new metric were written when its worker was killed: what was there stays as it is, and
    /// the store goes on.
    #[test]
    fn nothing_is_lost(count in 0..40usize, kind in 0..3u32, written in proptest::collection::vec(any::<bool>(), 64)) {
        let before = memory(64 << 10);
        let kinds = [Kind::Counter, Kind::Gauge];
        for n in 0..count {
            let id = scope(&before, 0).define(kinds[n % 2], format!("name {n}").as_bytes()).unwrap();
            scope(&before, n).increment(id, n as i64).unwrap();
        }
        let kind = Kind::from_abi(kind).unwrap();
        let after = copy(&words(&before));
        scope(&after, 0).define(kind, b"the one").unwrap();

        let (old, new) = (words(&before), words(&after));
        let changed: Vec<_> = (0..old.len()).filter(|&at| old[at] != new[at]).collect();
        // The first word of its entry makes it be there; the count follows.
        let commit = changed.iter().copied().find(|&at| {
            let mut one = old.clone();
            changed.iter().filter(|&&other| other != at).for_each(|&other| one[other] = new[other]);
            values(&copy(&one)).len() == count
        });
        let commit = commit.expect("one word decides");
        let mut torn = old.clone();
        for (nth, &at) in changed.iter().enumerate().filter(|(_, at)| **at != commit) {
            // The count comes last of all.
            if written[nth % written.len()] && at != 6 {
                torn[at] = new[at];
            }
        }
        let torn = copy(&torn);
        prop_assert_eq!(values(&torn), values(&before));

        let worker = scope(&torn, 1);
        let mut ids = vec![];
        for name in ["another", "the one", "a third"] {
            let id = worker.define(kind, name.as_bytes()).unwrap();
            worker.record(id, 5).unwrap();
            ids.push(id);
        }
        prop_assert_eq!(worker.define(kind, b"the one"), Ok(ids[1]));
        let now = values(&torn);
        prop_assert_eq!(&now[..count], &values(&before)[..]);
        prop_assert_eq!(now.len(), count + 3);
        for (_, value) in &now[count..] {
            match value {
                Value::Counter(value) | Value::Gauge(value) => prop_assert_eq!(*value, 5),
                Value::Histogram(histogram) => prop_assert_eq!((histogram.sum, histogram.count()), (5, 1)),
            }
        }
    }
}

#[test]
fn a_count_that_was_not_written_is_made_good() {
    let memory = memory(64 << 10);
    let id = scope(&memory, 0).define(Kind::Counter, b"a").unwrap();
    memory.words()[6].store(0, Relaxed);
    assert_ne!(scope(&memory, 0).define(Kind::Counter, b"b"), Ok(id));
    assert_eq!(values(&memory).len(), 2);
}
