//! Against a map of the standard library, on plain memory.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult};

use super::super::dying::Dying;
use super::super::plain::Plain;
use super::*;

const EVICTIONS: [Eviction; 3] = [Eviction::None, Eviction::Lru, Eviction::Slru];

fn open<S: Slab>(zone: &mut S, eviction: Eviction) -> Kv<'_, S> {
    Kv::open(zone, eviction).expect("the zone is large enough")
}

fn set(zone: &mut Plain, eviction: Eviction, key: &[u8], value: &[u8]) -> Set {
    open(zone, eviction).set(key, Some(value), 0)
}

fn get(zone: &mut Plain, eviction: Eviction, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    let cas = open(zone, eviction).get(key, &mut out)?;
    assert_ne!(cas, 0);
    Some(out.strip_prefix(b"before").expect("it is appended").to_vec())
}

/// Every entry is in one chain and in the queue of its class, and nothing else is.
fn audit<S: Slab>(kv: &Kv<'_, S>) {
    let table = At::new(kv.slab.word(TABLE)).unwrap();
    let mut chained = Vec::new();
    for chain in 0..kv.slab.word(CHAINS) as usize {
        let mut next = At::new(kv.slab.u64(table, chain * 8).unwrap());
        while let Some(at) = next {
            assert_eq!(kv.chain(kv.slab.u32(at, HASH).unwrap()), Ok((table, chain * 8)));
            chained.push(at);
            next = At::new(kv.slab.u64(at, CHAIN).unwrap());
        }
    }
    let mut queued = Vec::new();
    for class in 0..CLASSES {
        let (mut next, mut newer) = (At::new(kv.slab.word(first(class))), None);
        while let Some(at) = next {
            assert_eq!(kv.class(kv.slab.u64(at, ROOM).unwrap()), class);
            assert_eq!(At::new(kv.slab.u64(at, NEWER).unwrap()), newer);
            queued.push(at);
            (newer, next) = (Some(at), At::new(kv.slab.u64(at, OLDER).unwrap()));
        }
        assert_eq!(At::new(kv.slab.word(last(class))), newer);
    }
    chained.sort();
    queued.sort();
    assert_eq!(chained, queued);
    assert_eq!(chained.len() as u64, kv.entries());
    assert!(!kv.slab.is_dirty());
}

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    /// The cas: 0, that of the key, or another.
    Set(u8, Option<usize>, u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let size = prop_oneof![4 => 0usize..200, 2 => 0usize..3000, 1 => 0usize..20_000];
    let set = (0u8..24, proptest::option::weighted(0.8, size), 0u8..4);
    let op = prop_oneof![1 => (0u8..24).prop_map(Op::Get), 3 => set.prop_map(|(key, len, cas)| Op::Set(key, len, cas))];
    prop::collection::vec(op, 1..120)
}

/// Keys of one to many bytes, some the beginning of others.
fn name(key: u8) -> Vec<u8> {
    vec![b'k'; usize::from(key) * (usize::from(key) + 3) / 4]
}

/// The bytes of the pages that the table leaves.
fn room(pages: usize) -> usize {
    let table = 1 << (pages * 4096 / TABLE_SHARE).ilog2();
    pages * 4096 - usize::next_multiple_of(table, 4096)
}

fn compare(ops: &[Op], pages: usize, eviction: Eviction) -> TestCaseResult {
    let mut zone = Plain::new(pages * 4096);
    let mut model: HashMap<u8, (Vec<u8>, u32)> = HashMap::new();
    for (step, op) in ops.iter().enumerate() {
        let mut kv = open(&mut zone, eviction);
        match op {
            Op::Get(key) => {
                let mut out = Vec::new();
                let found = kv.get(&name(*key), &mut out).map(|cas| (out, cas));
                if found.is_some() || eviction == Eviction::None {
                    prop_assert_eq!(found.as_ref(), model.get(key));
                } else {
                    model.remove(key);
                }
            }
            Op::Set(key, len, cas) => {
                let mut out = Vec::new();
                let before = kv.get(&name(*key), &mut out);
                if before.is_none() && eviction != Eviction::None {
                    model.remove(key);
                }
                let wanted = match cas {
                    0 | 1 => 0,
                    2 => before.unwrap_or(7),
                    _ => before.map_or(9, |cas| cas + 1),
                };
                let value = len.map(|len| vec![step as u8; len]);
                let fits = wanted == 0 || before == Some(wanted);
                match kv.set(&name(*key), value.as_deref(), wanted) {
                    Set::CasMismatch => prop_assert!(!fits),
                    Set::Full => {
                        let size = HEADER + name(*key).len() + len.unwrap_or(0);
                        prop_assert!(fits && (eviction == Eviction::None || size > room(pages)));
                        let mut out = Vec::new();
                        prop_assert_eq!(kv.get(&name(*key), &mut out), before, "what was there stays");
                    }
                    Set::Done => {
                        prop_assert!(fits);
                        prop_assert!(len.is_none_or(|len| HEADER + name(*key).len() + len <= room(pages)));
                        let mut out = Vec::new();
                        let cas = kv.get(&name(*key), &mut out);
                        prop_assert_eq!(cas.map(|_| out), value.clone());
                        prop_assert!(cas.is_none() || cas != before, "each write has a cas of its own");
                        match (value, cas) {
                            (Some(value), Some(cas)) => _ = model.insert(*key, (value, cas)),
                            _ => _ = model.remove(key),
                        }
                    }
                }
            }
        }
        audit(&kv);
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn it_is_a_map(ops in ops(), pages in 3usize..200, eviction in prop::sample::select(&EVICTIONS[..])) {
        compare(&ops, pages, eviction)?;
    }
}

#[test]
fn a_worker_killed_at_any_write_leaves_a_zone_to_use() {
    let value = |round: usize| vec![round as u8; round * 37 % 3000];
    let mut emptied = 0;
    for eviction in EVICTIONS {
        for writes in 0.. {
            let mut zone = Dying::new(Plain::new(6 * 4096));
            for round in 0..40 {
                open(&mut zone, eviction).set(&name(round as u8 % 20), Some(&value(round)), 0);
            }
            let ended = zone.live_for(writes, |zone| {
                let mut kv = open(zone, eviction);
                kv.get(&name(3), &mut Vec::new());
                kv.set(&name(19), Some(&[1; 10]), 0);
                kv.set(&name(21), Some(&[2; 5000]), 0);
                kv.set(&name(19), None, 0);
            });
            let mut kv = open(&mut zone, eviction);
            audit(&kv);
            emptied += usize::from(kv.was_emptied());
            assert!(!(ended && kv.was_emptied()));
            for key in 0..20u8 {
                let mut out = Vec::new();
                if kv.get(&name(key), &mut out).is_some() && key != 19 {
                    let sets = [value(key.into()), value(usize::from(key) + 20)];
                    assert!(sets.contains(&out), "a torn value of {key}");
                }
            }
            let done = kv.set(b"a", Some(b"1"), 0);
            assert!(done == Set::Done || eviction == Eviction::None && !kv.was_emptied());
            audit(&kv);
            if ended {
                break;
            }
        }
    }
    assert!(emptied > 50, "it did not come to it: {emptied}");
}

#[test]
fn what_gives_way_is_what_was_not_used() {
    for eviction in [Eviction::Lru, Eviction::Slru] {
        let mut zone = Plain::new(9 * 4096);
        for key in 0..8u8 {
            assert_eq!(set(&mut zone, eviction, &[key], &[key; 4000]), Set::Done);
        }
        assert!(get(&mut zone, eviction, &[0]).is_some() && get(&mut zone, eviction, &[2]).is_some());
        assert_eq!(set(&mut zone, eviction, b"new", &[9; 8000]), Set::Done);
        let left: Vec<u8> = (0..8).filter(|key| get(&mut zone, eviction, &[*key]).is_some()).collect();
        assert!(left.contains(&0) && left.contains(&2) && !left.contains(&1) && !left.contains(&3), "{left:?}");
        assert_eq!(get(&mut zone, eviction, b"new"), Some(vec![9; 8000]));
    }
}

#[test]
fn by_size_small_values_do_not_give_way_for_large_ones_in_vain() {
    let mut zone = Plain::new(12 * 4096);
    for key in 0..100u8 {
        set(&mut zone, Eviction::Slru, &[key], b"small");
    }
    for round in 0..100u32 {
        assert_eq!(set(&mut zone, Eviction::Slru, &round.to_ne_bytes(), &[0; 4000]), Set::Done);
    }
    assert!((0..100u8).all(|key| get(&mut zone, Eviction::Slru, &[key]).is_some()));
    assert!(open(&mut zone, Eviction::Slru).evicted() >= 90);
}

#[test]
fn a_full_zone_without_eviction_keeps_what_it_has() {
    let mut zone = Plain::new(4 * 4096);
    let mut kept = 0u32;
    while set(&mut zone, Eviction::None, &kept.to_ne_bytes(), &[7; 900]) == Set::Done {
        kept += 1;
    }
    assert_eq!(kept, 12, "three pages of four");
    assert!((0..kept).all(|key| get(&mut zone, Eviction::None, &key.to_ne_bytes()) == Some(vec![7; 900])));
    assert_eq!(set(&mut zone, Eviction::None, &[0; 4], &[8; 901]), Set::Done, "its own place is there");
    assert_eq!(set(&mut zone, Eviction::None, &[0; 4], &[8; 2000]), Set::Full);
    assert_eq!(set(&mut zone, Eviction::None, &[0; 4], b"8"), Set::Done, "a smaller one always fits");
    assert_eq!(get(&mut zone, Eviction::None, &[0; 4]), Some(b"8".to_vec()));
}

#[test]
fn a_value_may_be_as_large_as_the_zone() {
    for eviction in EVICTIONS {
        let mut zone = Plain::new(256 * 4096);
        let most = (256 - 8) * 4096 - HEADER - 1;
        assert_eq!(set(&mut zone, eviction, b"k", &vec![1; most + 1]), Set::Full);
        assert_eq!(set(&mut zone, eviction, b"other", b""), Set::Done);
        assert_eq!(set(&mut zone, eviction, b"k", &vec![1; most + 1]), Set::Full);
        assert_eq!(get(&mut zone, eviction, b"other"), Some(vec![]), "nothing gave way in vain");
        assert_eq!(open(&mut zone, eviction).set(b"other", None, 0), Set::Done);
        assert_eq!(set(&mut zone, eviction, b"k", &vec![1; most]), Set::Done);
        assert_eq!(get(&mut zone, eviction, b"k"), Some(vec![1; most]));
    }
}

#[test]
fn a_policy_may_change_while_the_zone_is_in_use() {
    let mut zone = Plain::new(16 * 4096);
    for round in 0..3000u32 {
        let eviction = EVICTIONS[round as usize % 3];
        let done = set(&mut zone, eviction, &round.to_ne_bytes(), &vec![round as u8; round as usize % 700]);
        assert!(done == Set::Done || eviction == Eviction::None);
        get(&mut zone, eviction, &(round / 2).to_ne_bytes());
    }
    audit(&open(&mut zone, Eviction::Lru));
    assert!(!open(&mut zone, Eviction::Lru).was_emptied());
}

#[test]
fn what_another_version_has_left_is_not_read() {
    let mut zone = Plain::new(4 * 4096);
    set(&mut zone, Eviction::Lru, b"k", b"v");
    zone.set_word(FORMAT, zone.word(FORMAT) + 1);
    assert_eq!(get(&mut zone, Eviction::Lru, b"k"), None);
    assert_eq!(set(&mut zone, Eviction::Lru, b"k", b"v"), Set::Done);
}

#[test]
fn damage_costs_the_contents_and_nothing_else() {
    let whole = {
        let mut zone = Plain::new(5 * 4096);
        (0..60u32).for_each(|key| _ = set(&mut zone, Eviction::Lru, &key.to_ne_bytes(), &[1; 100]));
        zone
    };
    for word in TABLE..WORDS {
        for value in [0, 1, 8, u64::MAX, 4097, 9000] {
            let mut zone = whole.clone();
            if word == CAS || word == CLOCK || word == EVICTED {
                continue;
            }
            zone.set_word(word, value);
            let mut kv = open(&mut zone, Eviction::Lru);
            for key in 0..60u32 {
                kv.get(&key.to_ne_bytes(), &mut Vec::new());
            }
            kv.slab.set_dirty(true);
            let mut kv = open(&mut zone, Eviction::Lru);
            assert_eq!(kv.set(b"k", Some(b"v"), 0), Set::Done);
            audit(&kv);
        }
    }
}

#[test]
fn keys_are_spread_by_a_secret() {
    let mut one = Plain::new(64 * 4096);
    let mut other = Plain::new(64 * 4096);
    let (one, other) = (open(&mut one, Eviction::Lru), open(&mut other, Eviction::Lru));
    let same = (0..1000u32).filter(|key| {
        let key = key.to_ne_bytes();
        one.chain(one.hash(&key)).unwrap().1 == other.chain(other.hash(&key)).unwrap().1
    });
    assert!(same.count() < 30, "each zone has a seed of its own");
}

/// Numbers that are the same in every run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn ten_million_random_sets_stay_within_the_zone() {
    const SETS: usize = 10_000_000;
    for eviction in [Eviction::Lru, Eviction::Slru] {
        let mut zone = Plain::new(1 << 20);
        let mut state = 1;
        for _ in 0..SETS / 2 {
            let key = (random(&mut state) % 100_000).to_ne_bytes();
            let len = (random(&mut state) % 64) * (random(&mut state) % 64);
            assert_eq!(set(&mut zone, eviction, &key, &[5; 4096][..len as usize]), Set::Done);
        }
        let kv = open(&mut zone, eviction);
        audit(&kv);
        assert!(kv.entries() > 100 && kv.entries() < (1 << 20) / 64, "{}", kv.entries());
        assert!(kv.evicted() > SETS as u64 / 4, "{}", kv.evicted());
    }
}
