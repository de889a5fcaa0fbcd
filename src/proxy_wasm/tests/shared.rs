//! Shared data and queues, over zones of plain memory.

use super::guest::{guest, on_request_headers};
use super::server::{Server, stream};
use super::{Engine, LIMIT, on_every_engine};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::vm::{VmError, VmKind};
use crate::shm::kv::{Eviction, Kv, Set};
use crate::shm::plain::Plain;
use crate::shm::queue::{Dequeued, Enqueued, Queues, Receiver};

on_every_engine! {
    values_are_read_and_written
    a_cas_must_match
    what_cannot_be_read_or_written
    queues_are_first_in_first_out
    what_is_wrong_with_a_queue
    a_root_hears_of_its_queue
    nothing_is_registered_without_a_context
}

/// Two zones that the hosts of a test share.
pub struct Shared {
    data: Plain,
    queues: Plain,
    /// The roots that registered, each with its queue.
    pub receivers: Vec<(u32, u32)>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { data: Plain::new(16 * 4096), queues: Plain::new(4 * 4096), receivers: Vec::new() }
    }
}

impl Shared {
    fn data(&mut self) -> Kv<'_, Plain> {
        Kv::open(&mut self.data, Eviction::None).unwrap()
    }

    fn queues(&mut self) -> Queues<'_, Plain> {
        Queues::open(&mut self.queues, 4).unwrap()
    }

    pub fn value(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        self.data().get(key, out).ok_or(Status::NotFound)
    }

    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>, cas: u32) -> Result<(), Status> {
        match self.data().set(key, value, cas) {
            Set::Done => Ok(()),
            Set::CasMismatch => Err(Status::CasMismatch),
            Set::Full => Err(Status::InternalFailure),
        }
    }

    pub fn register(&mut self, root: u32, name: &[u8]) -> Result<u32, Status> {
        let receiver = Receiver { place: 0, process: 1 };
        let queue = 1 + self.queues().register(name, Some(receiver)).map_err(|_| Status::InternalFailure)?.index;
        self.receivers.push((root, queue));
        Ok(queue)
    }

    pub fn resolve(&mut self, name: &[u8]) -> Result<u32, Status> {
        self.queues().find(name).map(|index| index + 1).ok_or(Status::NotFound)
    }

    pub fn enqueue(&mut self, queue: u32, item: &[u8]) -> Result<(), Status> {
        match self.queues().enqueue(queue.wrapping_sub(1), item) {
            Enqueued::Done(_) => Ok(()),
            Enqueued::Full => Err(Status::InternalFailure),
            Enqueued::Unknown => Err(Status::NotFound),
        }
    }

    pub fn dequeue(&mut self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        match self.queues().dequeue(queue.wrapping_sub(1), out) {
            Dequeued::Done => Ok(()),
            Dequeued::Empty => Err(Status::Empty),
            Dequeued::Unknown => Err(Status::NotFound),
        }
    }
}

fn values_are_read_and_written(engine: &Engine) {
    let lines = engine.run(
        &on_request_headers(
            "(call $number (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8)))
             (call $number (call $set_data 'key' 'value' (i32.const 0)))
             (call $result (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8)))
             (call $number (call $get_data 'ke' (i32.const 0) (i32.const 4) (i32.const 8)))
             (call $number (call $set_data 'key' (i32.const 9) (i32.const 0) (i32.const 0)))
             (call $result (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8)))
             (call $number (call $set_data 'key' (i32.const 0) (i32.const 0) (i32.const 0)))
             (call $number (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8)))
             (call $number (call $set_data 'key' (i32.const 0) (i32.const 0) (i32.const 0)))
             (call $number (global.get $allocations))",
        ),
        stream(),
    );
    assert_eq!(lines.join(" "), "1 0 value 1 0  0 1 0 1");
}

fn a_cas_must_match(engine: &Engine) {
    let lines = engine.run(
        &on_request_headers(
            "(call $number (call $set_data 'key' 'one' (i32.const 5)))
             (call $number (call $set_data 'key' 'one' (i32.const 0)))
             (drop (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8)))
             (if (i32.eqz (i32.load (i32.const 8))) (then (call $say 'cas is 0')))
             (call $number (call $set_data 'key' 'two' (i32.load (i32.const 8))))
             (call $number (call $set_data 'key' 'three' (i32.load (i32.const 8))))
             (call $number (call $set_data 'key' (i32.const 0) (i32.const 0) (i32.load (i32.const 8))))
             (call $result (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8)))",
        ),
        stream(),
    );
    assert_eq!(lines.join(" "), "8 0 0 8 8 two");
}

fn what_cannot_be_read_or_written(engine: &Engine) {
    let lines = engine.run(
        &on_request_headers(
            "(call $number (call $set_data 'key' (i32.const 0) (i32.const 100000) (i32.const 0)))
             (call $number (call $set_data 'key' (i32.const 131070) (i32.const 3) (i32.const 0)))
             (call $number (call $set_data (i32.const 131070) (i32.const 3) 'v' (i32.const 0)))
             (call $number (call $get_data 'key' (i32.const 131070) (i32.const 4) (i32.const 8)))
             (call $number (call $get_data 'key' (i32.const 0) (i32.const 131070) (i32.const 8)))
             (call $number (call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 131070)))",
        ),
        stream(),
    );
    assert_eq!(lines.join(" "), "10 6 6 6 6 6");
}

fn queues_are_first_in_first_out(engine: &Engine) {
    let lines = engine.run(
        &on_request_headers(
            "(call $number (call $resolve (i32.const 0) (i32.const 0) 'q' (i32.const 8)))
             (call $number (call $register 'q' (i32.const 8)))
             (call $number (i32.load (i32.const 8)))
             (call $number (call $register 'q' (i32.const 12)))
             (call $number (i32.eq (i32.load (i32.const 8)) (i32.load (i32.const 12))))
             (call $number (call $resolve 'main' 'q' (i32.const 12)))
             (call $number (call $dequeue (i32.load (i32.const 8)) (i32.const 0) (i32.const 4)))
             (call $number (call $enqueue (i32.load (i32.const 12)) 'first'))
             (call $number (call $enqueue (i32.load (i32.const 12)) (i32.const 0) (i32.const 0)))
             (call $number (call $enqueue (i32.load (i32.const 12)) 'third'))
             (call $result (call $dequeue (i32.load (i32.const 8)) (i32.const 0) (i32.const 4)))
             (call $result (call $dequeue (i32.load (i32.const 8)) (i32.const 0) (i32.const 4)))
             (call $result (call $dequeue (i32.load (i32.const 8)) (i32.const 0) (i32.const 4)))
             (call $number (call $dequeue (i32.load (i32.const 8)) (i32.const 0) (i32.const 4)))",
        ),
        stream(),
    );
    assert_eq!(lines.join(" "), "1 0 1 0 1 0 7 0 0 0 first  third 7");
}

fn what_is_wrong_with_a_queue(engine: &Engine) {
    let lines = engine.run(
        &on_request_headers(
            "(call $number (call $register 'q' (i32.const 8)))
             (call $number (call $resolve 'another vm' 'q' (i32.const 8)))
             (call $number (call $resolve 'main' 'nobodys' (i32.const 8)))
             (call $number (call $enqueue (i32.const 77) 'x'))
             (call $number (call $enqueue (i32.const 0) 'x'))
             (call $number (call $dequeue (i32.const 77) (i32.const 0) (i32.const 4)))
             (call $number (call $enqueue (i32.load (i32.const 8)) (i32.const 0) (i32.const 60000)))
             (call $number (call $enqueue (i32.load (i32.const 8)) (i32.const 131070) (i32.const 3)))
             (call $number (call $register 'q' (i32.const 131070)))
             (call $number (call $resolve 'main' 'q' (i32.const 131070)))
             (call $number (call $dequeue (i32.load (i32.const 8)) (i32.const 0) (i32.const 131070)))",
        ),
        stream(),
    );
    assert_eq!(lines.join(" "), "0 1 1 1 1 1 10 6 6 6 6");
}

fn a_root_hears_of_its_queue(engine: &Engine) {
    let wasm = guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register 'q' (i32.const 8))) (i32.const 1))
           (func (export "proxy_on_queue_ready") (param $root i32) (param $queue i32)
             (call $number (local.get $root))
             (call $result (call $dequeue (local.get $queue) (i32.const 0) (i32.const 4))))"#,
    );
    let (mut vm, server) = engine.vm(&wasm);
    assert_eq!(server.seen().shared.receivers, [(1, 1)]);
    server.seen().shared.enqueue(1, b"item").unwrap();
    vm.queue_ready(1, 1, LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "item"]);
    vm.queue_ready(1, 1, LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "7"]);
    assert!(matches!(vm.queue_ready(2, 1, LIMIT), Err(VmError::NoContext)));
    let (mut silent, _) = engine.vm(&guest(""));
    silent.queue_ready(1, 1, LIMIT).expect("a callback that is not there");
}

fn nothing_is_registered_without_a_context(engine: &Engine) {
    let wasm = guest(r#"(func (export "_start") (call $number (call $register 'q' (i32.const 8))))"#);
    let server = Server::default();
    engine.program(&wasm).start(server.host(), VmKind::Root).map(drop).unwrap();
    assert_eq!(server.take(), ["2"]);
    assert_eq!(server.seen().shared.receivers, []);
}

/// Time per call of the function, with what the loop around it takes.
#[cfg(feature = "wasmtime")]
fn nanoseconds(engine: &Engine, call: &str) -> f64 {
    const CALLS: u32 = 200_000;
    let wasm = on_request_headers(&format!(
        "(local $left i32)
         (drop (call $set_data 'key' (i32.const 4096) (i32.const 100) (i32.const 0)))
         (local.set $left (i32.const {CALLS}))
         (loop $again
           (global.set $heap (i32.const 65536))
           (drop {call})
           (local.set $left (i32.sub (local.get $left) (i32.const 1)))
           (br_if $again (local.get $left)))"
    ));
    let (mut vm, _) = engine.vm(&wasm);
    let times = (0..5).map(|_| {
        let context = vm.open(1, stream());
        let begun = std::time::Instant::now();
        vm.call(context, super::HEADERS, LIMIT).expect("the callback returns");
        begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
    });
    times.fold(f64::INFINITY, f64::min)
}

#[cfg(feature = "wasmtime")]
#[test]
fn a_value_of_100_bytes_costs_little() {
    let engine = Engine::new::<engines::Wasmtime>();
    let get = nanoseconds(&engine, "(call $get_data 'key' (i32.const 0) (i32.const 4) (i32.const 8))");
    let set = nanoseconds(&engine, "(call $set_data 'key' (i32.const 4096) (i32.const 100) (i32.const 0))");
    let time = nanoseconds(&engine, "(call $now (i32.const 8))");
    println!("get of 100 bytes: {get:.0} ns, set: {set:.0} ns; the time of day: {time:.0} ns");
    assert!(get < 40.0 * time, "{get} ns, where the time of day takes {time} ns");
}
