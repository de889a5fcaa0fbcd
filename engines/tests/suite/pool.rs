//! wasmtime's pool, and life without it.

use engines::{Config, Instance, Plan, WasmEngine, Wasmtime};

use crate::{
    forks::{alone, fork},
    host::{Loaded, config, load, load_with},
};

const GUEST: &str = r#"(module (import "env" "last" (func $last (result i32))) (memory (export "memory") 1)
    (data (i32.const 0) "*")
    (func (export "malloc") (param i32) (result i32) (i32.const 64))
    (func (export "f") (result i32) (drop (call $last)) (i32.load8_u (i32.const 0)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "out") (drop (i32.load (i32.const 65536))))
    (func (export "loop") (loop $again (br $again)))
    (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    (func $r (export "recurse") (call $r)))"#;

#[test]
fn a_full_pool_makes_instances_on_demand() {
    let loaded = load::<Wasmtime>(GUEST);
    let mut held: Vec<_> = (0..8).map(|_| loaded.start()).collect();
    assert_eq!(loaded.engine.overflowed(), 0);

    let slot = loaded.plan.slot::<(), u32>("f").unwrap();
    for count in 1..4 {
        let mut guest = loaded.start();
        assert_eq!(loaded.engine.overflowed(), count);
        let f = guest.instance.bind(&slot);
        assert_eq!(guest.instance.call(&f, ()).unwrap(), 42);
        guest.call::<_, ()>("store", (0, 7)).unwrap();
        held.push(guest);
    }
    for guest in &mut held[..8] {
        assert_eq!(guest.call::<(), u32>("f", ()).unwrap(), 42);
    }
    held.clear();
    let _again = loaded.start();
    assert_eq!(loaded.engine.overflowed(), 3, "there is room again");
}

/// Every limit holds for an instance that is not in the pool.
fn limits_hold(loaded: &Loaded<Wasmtime>) {
    let mut guest = loaded.start();
    assert_eq!(guest.call::<_, u32>("grow", (16,)).unwrap(), u32::MAX);
    assert_eq!(guest.call::<_, u32>("grow", (15,)).unwrap(), 1);
    let trap = |name: &str| {
        let mut guest = loaded.start();
        guest.instance.set_time_limit(Some(std::time::Duration::from_millis(20)));
        guest.call::<(), ()>(name, ()).unwrap_err().to_string()
    };
    assert_eq!(trap("out"), "wasm trap: out of bounds memory access");
    assert_eq!(trap("recurse"), "wasm trap: call stack exhausted");
    let _ticker = loaded.engine.ticker(std::time::Duration::from_millis(20));
    assert_eq!(trap("loop"), "wasm trap: interrupt: call exceeded its time limit");
}

#[test]
fn limits_hold_outside_the_pool() {
    let loaded = load_with::<Wasmtime>(&Config { instances: 1, ..config() }, GUEST);
    let _held = loaded.start();
    limits_hold(&loaded);
    assert_eq!(loaded.engine.overflowed(), 4);
}

#[test]
fn an_engine_may_have_no_pool() {
    let loaded = load_with::<Wasmtime>(&Config { instances: 0, ..config() }, GUEST);
    limits_hold(&loaded);
    assert_eq!(loaded.engine.overflowed(), 4);
}

#[test]
fn a_start_section_can_use_the_host_outside_the_pool() {
    let wat = r#"(module (import "env" "log" (func $log (param i32 i32))) (import "env" "last" (func $last (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "hello")
        (func (export "malloc") (param i32) (result i32) (i32.const 64))
        (func $start (call $log (i32.const 16) (i32.const 5)) (call $log (call $last) (i32.const 5))) (start $start))"#;
    let loaded = load_with::<Wasmtime>(&Config { instances: 1, ..config() }, wat);
    let _held = loaded.start();
    assert_eq!(loaded.start().data().log, ["hello", "hello"]);
}

/// A thousand slots of the usual size, which reserves four tebibytes.
#[test]
fn the_default_pool_can_be_had() {
    let loaded = load_with::<Wasmtime>(&Config::default(), GUEST);
    let held: Vec<_> = (0..1000).map(|_| loaded.start()).collect();
    assert_eq!(loaded.engine.overflowed(), 0);
    drop(held);
}

#[test]
fn a_limit_on_address_space_makes_do_with_less() {
    alone(|| {
        // Room for a pool of reservations as small as the memory limit; and for no pool at all.
        for (bytes, overflow) in [(8 << 30, false), (1 << 30, true)] {
            fork(move || {
                let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
                // SAFETY: the structure is ours.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
                let config = Config { instances: 1000, memory_limit: 1 << 20, ..config() };
                let loaded = load_with::<Wasmtime>(&config, GUEST);
                let mut guest = loaded.start();
                assert_eq!(guest.call::<(), u32>("f", ()).unwrap(), 42);
                assert_eq!(guest.call::<_, u32>("grow", (15,)).unwrap(), 1);
                assert!(guest.call::<(), ()>("recurse", ()).is_err());
                assert_eq!(loaded.engine.overflowed() > 0, overflow);
            })
            .join();
        }
    });
}
