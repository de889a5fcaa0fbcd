//! Against queues of the standard library, on plain memory.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::super::dying::Dying;
use super::super::plain::Plain;
use super::*;

const ME: Receiver = Receiver { place: 1, process: 100 };
const OTHER: Receiver = Receiver { place: 2, process: 200 };

fn open<S: Slab>(zone: &mut S) -> Queues<'_, S> {
    Queues::open(zone, 4).expect("the zone is large enough")
}

fn take<S: Slab>(queues: &mut Queues<'_, S>, index: u32) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    match queues.dequeue(index, &mut out) {
        Dequeued::Done => Some(out.strip_prefix(b"before").expect("it is appended").to_vec()),
        Dequeued::Empty | Dequeued::Unknown => None,
    }
}

#[derive(Clone, Debug)]
enum Op {
    Register(u8),
    Enqueue(u8, usize),
    Dequeue(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        1 => (0u8..6).prop_map(Op::Register),
        4 => (0u8..6, prop_oneof![0usize..100, 0usize..6000]).prop_map(|(queue, len)| Op::Enqueue(queue, len)),
        3 => (0u8..6).prop_map(Op::Dequeue),
    ];
    prop::collection::vec(op, 1..200)
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn they_are_first_in_first_out(ops in ops(), pages in 2usize..40) {
        let mut zone = Plain::new(pages * 4096);
        let mut model: Vec<(u8, VecDeque<Vec<u8>>)> = Vec::new();
        for (step, op) in ops.iter().enumerate() {
            let mut queues = open(&mut zone);
            match op {
                Op::Register(name) => {
                    let known = model.iter().position(|(known, _)| known == name);
                    match (queues.register(&[*name], None), known) {
                        (Ok(found), Some(known)) => prop_assert_eq!(found.index as usize, known),
                        (Ok(found), None) => {
                            prop_assert_eq!(found.index as usize, model.len());
                            model.push((*name, VecDeque::new()));
                        }
                        (Err(NoRoom), known) => prop_assert!(known.is_none()),
                    }
                }
                Op::Enqueue(queue, len) => {
                    let item = vec![step as u8; *len];
                    match (queues.enqueue((*queue).into(), &item), model.get_mut(usize::from(*queue))) {
                        (Enqueued::Done(None), Some((_, known))) => known.push_back(item),
                        (Enqueued::Full, Some(_)) | (Enqueued::Unknown, None) => {}
                        (other, _) => prop_assert!(false, "{other:?}"),
                    }
                }
                Op::Dequeue(queue) => {
                    let known = model.get_mut(usize::from(*queue)).and_then(|(_, items)| items.pop_front());
                    prop_assert_eq!(take(&mut queues, (*queue).into()), known);
                }
            }
            for (index, (name, items)) in model.iter().enumerate() {
                prop_assert_eq!(queues.find(&[*name]), Some(index as u32));
                prop_assert_eq!(queues.count(index as u32), items.len() as u64);
            }
        }
    }
}

#[test]
fn a_receiver_is_told_of_each() {
    let mut zone = Plain::new(4 * 4096);
    let mut queues = open(&mut zone);
    assert_eq!(queues.register(b"q", Some(OTHER)), Ok(Registered { index: 0, waiting: false }));
    assert_eq!(queues.register(b"q", Some(ME)), Ok(Registered { index: 0, waiting: false }), "the last one counts");
    assert_eq!(queues.enqueue(0, b"1"), Enqueued::Done(Some(ME)));
    assert_eq!(queues.enqueue(0, b"2"), Enqueued::Done(Some(ME)), "the first may not have been told");
    assert_eq!(queues.untold(0, OTHER), 0);
    assert_eq!(queues.untold(0, ME), 2);
    assert_eq!(queues.untold(0, ME), 0);
    assert_eq!(queues.enqueue(0, b"3"), Enqueued::Done(Some(ME)));
    assert_eq!(take(&mut queues, 0), Some(b"1".to_vec()));
    assert_eq!(queues.register(b"q", Some(OTHER)), Ok(Registered { index: 0, waiting: true }));
    assert_eq!(queues.untold(0, ME), 0);
    assert_eq!(queues.untold(0, OTHER), 2, "what the other has not taken");
}

#[test]
fn what_is_not_there_is_unknown() {
    let mut zone = Plain::new(4 * 4096);
    let mut queues = open(&mut zone);
    assert_eq!(queues.find(b"q"), None);
    for index in [0, 1, 4, u32::MAX] {
        assert_eq!(queues.enqueue(index, b"x"), Enqueued::Unknown);
        assert_eq!(queues.dequeue(index, &mut Vec::new()), Dequeued::Unknown);
        assert_eq!((queues.untold(index, ME), queues.count(index)), (0, 0));
    }
}

#[test]
fn a_directory_has_an_end() {
    let mut zone = Plain::new(40 * 4096);
    let mut queues = open(&mut zone);
    (0..4).for_each(|name| assert!(queues.register(&[name], None).is_ok()));
    assert_eq!(queues.register(b"fifth", None), Err(NoRoom));
    assert_eq!(queues.register(&[2], Some(ME)), Ok(Registered { index: 2, waiting: false }));
}

#[test]
fn a_worker_killed_at_any_write_leaves_queues_to_use() {
    let mut emptied = 0;
    for writes in 0.. {
        let mut zone = Dying::new(Plain::new(4 * 4096));
        open(&mut zone).register(b"one", Some(ME)).expect("room");
        open(&mut zone).register(b"two", Some(OTHER)).expect("room");
        (0..9u8).for_each(|item| _ = open(&mut zone).enqueue(u32::from(item) % 2, &[item; 300]));
        let ended = zone.live_for(writes, |zone| {
            let mut queues = open(zone);
            take(&mut queues, 0);
            queues.enqueue(1, &[9; 2000]);
            (0..5).for_each(|_| drop(take(&mut queues, 1)));
            queues.enqueue(1, b"again");
            queues.register(b"three", None).expect("room");
        });
        let mut queues = open(&mut zone);
        emptied += usize::from(queues.was_emptied());
        assert!(!(ended && queues.was_emptied()));
        assert_eq!((queues.find(b"one"), queues.find(b"two")), (Some(0), Some(1)), "queues keep their numbers");
        while take(&mut queues, 0).is_some() || take(&mut queues, 1).is_some() {}
        assert_eq!((queues.untold(0, OTHER), queues.untold(1, ME)), (0, 0), "and their receivers");
        queues.untold(0, ME);
        assert_eq!(queues.enqueue(0, b"new"), Enqueued::Done(Some(ME)));
        assert_eq!(take(&mut queues, 0), Some(b"new".to_vec()));
        assert_eq!(queues.register(b"three", Some(ME)).map(|done| done.index), Ok(2));
        if ended {
            break;
        }
    }
    assert!(emptied > 20, "it did not come to it: {emptied}");
}

#[test]
fn a_zone_for_one_queue_has_one() {
    let mut zone = Plain::new(2 * 4096);
    let mut queues = Queues::open(&mut zone, 1).expect("the zone is large enough");
    assert_eq!(queues.find(b"q"), None);
    assert_eq!(queues.register(b"q", Some(ME)), Ok(Registered { index: 0, waiting: false }));
    assert_eq!(queues.register(b"other", None), Err(NoRoom));
    assert_eq!((queues.find(b"q"), queues.find(b"other")), (Some(0), None));
    assert_eq!(queues.enqueue(0, &[7; 500]), Enqueued::Done(Some(ME)));
    queues.slab.set_dirty(true);
    let mut queues = Queues::open(&mut zone, 1).expect("as above");
    assert!(queues.was_emptied());
    assert_eq!((queues.find(b"q"), queues.count(0)), (Some(0), 0));
    assert_eq!(queues.enqueue(0, &[7; 500]), Enqueued::Done(Some(ME)));
    assert_eq!(take(&mut queues, 0), Some(vec![7; 500]));
}

#[test]
fn a_full_queue_takes_again_when_something_was_taken() {
    let mut zone = Plain::new(3 * 4096);
    let mut queues = open(&mut zone);
    queues.register(b"q", None).expect("room");
    let mut count = 0;
    while queues.enqueue(0, &[count; 1000]) == Enqueued::Done(None) {
        count += 1;
    }
    assert_eq!(queues.enqueue(0, &[0; 1000]), Enqueued::Full);
    assert_eq!(queues.enqueue(0, &vec![0; 1 << 20]), Enqueued::Full);
    assert_eq!(take(&mut queues, 0), Some(vec![0; 1000]));
    assert_eq!(queues.enqueue(0, &[count; 1000]), Enqueued::Done(None));
    assert_eq!(queues.count(0), u64::from(count));
}
