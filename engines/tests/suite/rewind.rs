//! Guests that are put back to what they were.

use engines::{Config, Instance, WasmEngine};

use crate::{
    forks::{alone, fork},
    host::{Loaded, Running, bytes, config, load, load_with},
};

on_every_engine!(
    memory_and_variables_come_back,
    any_writes_are_undone,
    an_instance_can_be_put_back_again_and_again,
    host_data_stays,
    grown_memory_cannot_be_put_back,
    a_trapped_guest_cannot_be_put_back,
    a_guest_that_wrote_everywhere_is_not_put_back,
    too_much_to_remember_is_not_remembered,
    what_a_host_cannot_see_is_not_remembered,
    nothing_is_put_back_that_was_not_remembered,
    an_artefact_can_be_remembered_too,
    workers_remember_for_themselves,
    our_exports_are_not_shown,
    names_of_ours_are_refused,
);

const KIB: u32 = 1024;

const GUEST: &str = r#"(module
    (import "env" "log" (func $log (param i32 i32)))
    (memory (export "memory") 12)
    (global $stack (mut i32) (i32.const 1000))
    (global $big (mut i64) (i64.const -5))
    (global $fraction (mut f64) (f64.const 0.5))
    (table 2 funcref) (elem (i32.const 0) $store)
    (data (i32.const 16) "hello") (data (i32.const 70000) "deep")
    (func (export "log") (param i32 i32) (call $log (local.get 0) (local.get 1)))
    (func $store (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "trap") (unreachable))
    (func (export "count") (result i32)
        (global.set $big (i64.add (global.get $big) (i64.const 1)))
        (global.set $fraction (f64.mul (global.get $fraction) (f64.const 2)))
        (global.set $stack (i32.add (global.get $stack) (i32.const 1)))
        (i32.add (global.get $stack)
            (i32.add (i32.wrap_i64 (global.get $big)) (i32.trunc_f64_s (global.get $fraction)))))
    ;; A sum of all bytes, each times its place.
    (func (export "sum") (result i64) (local $at i32) (local $sum i64)
        (loop $next
            (local.set $sum (i64.add (local.get $sum)
                (i64.mul (i64.extend_i32_u (local.get $at)) (i64.load8_u (local.get $at)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 786432))))
        (local.get $sum)))"#;

/// More memory than the other tests need: some guests here are to use much of it.
fn big<E: WasmEngine>(wat: &str) -> Loaded<E> {
    load_with(&Config { memory_limit: 16 << 20, ..config() }, wat)
}

fn remembered<E: WasmEngine>(loaded: &Loaded<E>) -> Running<'_, E> {
    let mut guest = loaded.start();
    // Something has been written to before, as by a start.
    guest.call::<_, ()>("store", (20, 7)).unwrap();
    guest.call::<_, ()>("store", (500 * KIB, 9)).unwrap();
    assert_eq!(guest.call::<(), u32>("count", ()).unwrap(), 1001 - 4 + 1);
    assert!(guest.instance.remember());
    guest
}

fn memory_and_variables_come_back<E: WasmEngine>() {
    let loaded = load::<E>(GUEST);
    let mut guest = remembered(&loaded);
    for _ in 0..5 {
        for (at, was) in [(16, b'h'), (20, 7), (70_000, b'd'), (500 * KIB, 9), (500 * KIB + 1, 0), (300 * KIB, 0)] {
            assert_eq!(guest.call::<_, u32>("load", (at,)).unwrap(), u32::from(was), "{at}");
            guest.call::<_, ()>("store", (at, 99)).unwrap();
            assert_eq!(guest.call::<_, u32>("load", (at,)).unwrap(), 99);
        }
        assert_eq!(guest.call::<(), u32>("count", ()).unwrap(), 1002 - 3 + 2);
        assert_eq!(guest.call::<(), u32>("count", ()).unwrap(), 1003 - 2 + 4);
        assert!(guest.instance.rewind().is_some());
    }
}

fn any_writes_are_undone<E: WasmEngine>() {
    let loaded = load::<E>(GUEST);
    let mut guest = remembered(&loaded);
    let before = guest.call::<(), u64>("sum", ()).unwrap();
    assert!(guest.instance.rewind().is_some());
    let mut random = 1u32;
    let mut next = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    for round in 0..40 {
        for _ in 0..next(30) {
            let (at, len) = (next(760 * KIB), next(6 * KIB));
            guest.call::<_, ()>("fill", (at, next(256), len)).unwrap();
        }
        assert!(guest.instance.rewind().is_some(), "{round}");
        assert_eq!(guest.call::<(), u64>("sum", ()).unwrap(), before, "{round}");
    }
}

fn an_instance_can_be_put_back_again_and_again<E: WasmEngine>() {
    let loaded = load::<E>(GUEST);
    let mut guest = remembered(&loaded);
    let mut held = Vec::new();
    for _ in 0..2000 {
        guest.call::<_, ()>("fill", (100 * KIB, 1, 20 * KIB)).unwrap();
        held.push(guest.instance.rewind().unwrap());
    }
    assert_eq!(held[1], held[1999], "what is held does not grow");
    assert!((40 << 10..200 << 10).contains(&held[1999]), "{}", held[1999]);
}

fn host_data_stays<E: WasmEngine>() {
    let loaded = load::<E>(GUEST);
    let mut guest = remembered(&loaded);
    guest.call::<_, ()>("log", (16, 4)).unwrap();
    assert!(guest.instance.rewind().is_some());
    assert_eq!(guest.data().log, ["hell"]);
}

fn grown_memory_cannot_be_put_back<E: WasmEngine>() {
    let loaded = load::<E>(GUEST);
    let mut guest = remembered(&loaded);
    assert_eq!(guest.call::<_, u32>("grow", (1,)).unwrap(), 12);
    assert_eq!(guest.instance.rewind(), None);
}

fn a_trapped_guest_cannot_be_put_back<E: WasmEngine>() {
    let loaded = load::<E>(GUEST);
    let mut guest = remembered(&loaded);
    assert!(guest.call::<(), ()>("trap", ()).is_err());
    assert_eq!(guest.instance.rewind(), None);
}

const ROOMY: &str = r#"(module (memory (export "memory") 200)
    (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2))))"#;

fn a_guest_that_wrote_everywhere_is_not_put_back<E: WasmEngine>() {
    let loaded = big::<E>(ROOMY);
    let mut guest = loaded.start();
    assert!(guest.instance.remember());
    guest.call::<_, ()>("fill", (0, 1, 512 * KIB)).unwrap();
    assert!(guest.instance.rewind().is_some());
    guest.call::<_, ()>("fill", (0, 1, 12 << 20)).unwrap();
    assert_eq!(guest.instance.rewind(), None);
}

fn too_much_to_remember_is_not_remembered<E: WasmEngine>() {
    let loaded = big::<E>(ROOMY);
    let mut guest = loaded.start();
    guest.call::<_, ()>("fill", (0, 1, 12 << 20)).unwrap();
    assert!(!guest.instance.remember());
}

fn what_a_host_cannot_see_is_not_remembered<E: WasmEngine>() {
    for wat in [
        "(module (memory 1) (memory 1))",
        "(module (memory 1) (global (mut funcref) (ref.null func)))",
        "(module (memory 1) (table 1 funcref) (func (table.set (i32.const 0) (ref.null func))))",
        "(module)",
    ] {
        assert!(!load::<E>(wat).start().instance.remember(), "{wat}");
    }
}

fn nothing_is_put_back_that_was_not_remembered<E: WasmEngine>() {
    assert_eq!(load::<E>(GUEST).start().instance.rewind(), None);
}

fn an_artefact_can_be_remembered_too<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let artefact = engine.serialize(&engine.compile(&bytes(GUEST)).unwrap()).unwrap();
    // SAFETY: it was made by this engine, this moment.
    let module = unsafe { engine.deserialize(&artefact) }.unwrap();
    let mut linker = engine.linker();
    crate::host::define(&mut linker);
    let plan = engine.plan(&linker, &module, crate::host::WIRING).unwrap();
    let loaded = Loaded { engine, plan };
    let mut guest = remembered(&loaded);
    guest.call::<_, ()>("store", (20, 99)).unwrap();
    assert!(guest.instance.rewind().is_some());
    assert_eq!(guest.call::<_, u32>("load", (20,)).unwrap(), 7);
}

/// What was open in the parent tells of the parent.
fn workers_remember_for_themselves<E: WasmEngine>() {
    alone(|| {
        let loaded = load::<E>(GUEST);
        memory_comes_back(&mut remembered(&loaded));
        fork(|| memory_comes_back(&mut remembered(&loaded))).join();
        memory_comes_back(&mut remembered(&loaded));
    });
}

fn memory_comes_back<E: WasmEngine>(guest: &mut Running<'_, E>) {
    for _ in 0..3 {
        guest.call::<_, ()>("fill", (0, 99, 700 * KIB)).unwrap();
        assert!(guest.instance.rewind().is_some());
        assert_eq!(guest.call::<_, u32>("load", (20,)).unwrap(), 7);
        assert_eq!(guest.call::<_, u32>("load", (400 * KIB,)).unwrap(), 0);
        assert_eq!(guest.call::<_, u32>("load", (70_000,)).unwrap(), u32::from(b'd'));
    }
}

fn our_exports_are_not_shown<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let module = engine.compile(&bytes(r#"(module (memory (export "memory") 1) (global (mut i32) (i32.const 0)))"#));
    let exports = engine.exports(&module.unwrap());
    assert_eq!(exports.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["memory"]);
}

fn names_of_ours_are_refused<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let wasm = bytes(r#"(module (memory (export "wasmx:memory") 1))"#);
    let error = engine.compile(&wasm).err().unwrap().to_string();
    assert!(error.contains(r#"the export "wasmx:memory" has a name that is reserved"#), "{error}");
}
