//! Ends that are no returns.

use engines::{Config, Trap, TrapKind, WasmEngine};

use crate::host::{Host, Running, WIRING, config, load, load_with, otherwise};

on_every_engine!(
    traps_read_the_same_on_every_engine,
    a_trap_has_no_backtrace_unless_asked_for,
    a_backtrace_names_functions,
    a_backtrace_has_files_and_lines,
    an_instance_is_dead_after_a_trap,
    a_refusal_of_the_host_keeps_its_words,
    an_exit_keeps_its_code,
    a_panic_is_a_trap_and_the_process_lives,
    kinds_survive_a_nested_call,
    a_trap_that_the_host_ignores_leaves_the_instance_dead,
    a_trap_in_the_start_section_is_reported,
    endless_recursion_is_a_trap,
    deep_recursion_through_the_host_is_a_trap,
);

/// Each export is a way to end.
const WAYS: &str = r#"(module
    (import "env" "refuse" (func $refuse)) (import "env" "quit" (func $quit (param i32)))
    (import "env" "blow_up" (func $blow_up (result i32))) (import "env" "alloc" (func $alloc (param i32) (result i32)))
    (import "env" "alloc_and_go_on" (func $alloc_and_go_on (param i32) (result i32)))
    (memory (export "memory") 1) (table 2 2 funcref) (type $nothing (func)) (elem (i32.const 0) $refuse)
    (func $inner unreachable) (func $outer (call $inner)) (export "unreachable" (func $outer))
    (func (export "load") (drop (i32.load (i32.const 65533))))
    (func (export "divide") (drop (i32.div_u (i32.const 1) (i32.const 0))))
    (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
    (func (export "convert") (drop (i32.trunc_f32_s (f32.const nan))))
    (func (export "null") (call_indirect (type $nothing) (i32.const 1)))
    (func (export "element") (call_indirect (type $nothing) (i32.const 2)))
    (func (export "type") (call_indirect (param i32) (i32.const 7) (i32.const 0)))
    (func (export "refuse") (call $refuse))
    (func (export "quit") (call $quit (i32.const 42)))
    (func (export "blow_up") (drop (call $blow_up)))
    (func $allocate (export "allocate") (param i32) (result i32)
        (if (i32.eq (local.get 0) (i32.const 1)) (then unreachable))
        (if (i32.eq (local.get 0) (i32.const 2)) (then (call $refuse)))
        (if (i32.eq (local.get 0) (i32.const 3)) (then (call $quit (i32.const 3))))
        (if (i32.eq (local.get 0) (i32.const 4)) (then (drop (call $blow_up))))
        (i32.const 8))
    (func (export "nested") (param i32) (drop (call $alloc (local.get 0))))
    (func (export "ignored") (param i32) (result i32) (call $alloc_and_go_on (local.get 0)))
    (func (export "fine") (result i32) (i32.const 1)))"#;

/// How the export ends, in an instance of its own.
fn end<E: WasmEngine>(name: &str) -> Trap {
    load::<E>(WAYS).start().call::<(), ()>(name, ()).unwrap_err()
}

fn traps_read_the_same_on_every_engine<E: WasmEngine>() {
    let texts = [
        ("unreachable", "wasm `unreachable` instruction executed"),
        ("load", "out of bounds memory access"),
        ("divide", "integer divide by zero"),
        ("overflow", "integer overflow"),
        ("convert", "invalid conversion to integer"),
        ("null", "uninitialized element"),
        ("element", "undefined element: out of bounds table access"),
        ("type", "indirect call type mismatch"),
    ];
    for (name, text) in texts {
        let trap = end::<E>(name);
        assert_eq!(trap.kind(), TrapKind::Guest, "{name}");
        assert_eq!(trap.to_string(), format!("wasm trap: {text}"));
    }
}

fn a_trap_has_no_backtrace_unless_asked_for<E: WasmEngine>() {
    assert_eq!(end::<E>("unreachable").backtrace(), None);
    assert_eq!(end::<E>("refuse").backtrace(), None);
}

fn a_backtrace_names_functions<E: WasmEngine>() {
    let loaded = load_with::<E>(&Config { backtraces: true, ..config() }, WAYS);
    let trap = loaded.start().call::<(), ()>("unreachable", ()).unwrap_err();
    assert_eq!(trap.to_string(), "wasm trap: wasm `unreachable` instruction executed");
    // wasmi keeps no track of frames.
    if otherwise::<E>(&["wasmi"], "has no backtrace") {
        assert_eq!(trap.backtrace(), None);
    } else {
        let lines: Vec<_> = trap.backtrace().unwrap().lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].trim_start().starts_with("0: ") && lines[0].ends_with("!inner"), "{lines:?}");
        assert!(lines[1].trim_start().starts_with("1: ") && lines[1].ends_with("!outer"), "{lines:?}");

        let nested = loaded.start().call::<(u32,), ()>("nested", (2,)).unwrap_err();
        assert!(nested.backtrace().unwrap().contains("!allocate"), "{nested:?}");
    }
}

fn a_backtrace_has_files_and_lines<E: WasmEngine>() {
    let text = "(module\n (func $inner\n  unreachable)\n (func (export \"f\")\n  call $inner))";
    let wasm = wat::Parser::new().generate_dwarf(wat::GenerateDwarf::Lines).parse_str(Some("guest.wat".as_ref()), text);
    let engine = E::new(&Config { backtraces: true, ..config() }).unwrap();
    let compiled = engine.compile(&wasm.unwrap()).unwrap();
    let artefact = engine.serialize(&compiled).unwrap();
    // SAFETY: it came from `serialize` this moment.
    let kept = unsafe { engine.deserialize(&artefact) }.unwrap();
    for module in [compiled, kept] {
        let plan = engine.plan(&engine.linker(), &module, WIRING).unwrap();
        let instance = engine.instantiate(&plan, Host::default(), None).unwrap();
        let trap = Running::<E> { instance, plan: &plan }.call::<(), ()>("f", ()).unwrap_err();
        if otherwise::<E>(&["wasmi"], "has no backtrace") {
            assert_eq!(trap.backtrace(), None);
        } else {
            let lines: Vec<_> = trap.backtrace().unwrap().lines().collect();
            assert!(lines[0].ends_with("guest.wat:3") && lines[1].ends_with("guest.wat:5"), "{lines:?}");
        }
    }
}

fn an_instance_is_dead_after_a_trap<E: WasmEngine>() {
    let loaded = load::<E>(WAYS);
    let mut guest = loaded.start();
    assert_eq!(guest.call::<(), u32>("fine", ()).unwrap(), 1);
    guest.call::<(), ()>("load", ()).unwrap_err();
    let dead = guest.call::<(), u32>("fine", ()).unwrap_err();
    assert_eq!((dead.kind(), dead.to_string().as_str()), (TrapKind::Host, "instance cannot be used after a trap"));
    assert_eq!(loaded.start().call::<(), u32>("fine", ()).unwrap(), 1, "another one lives");
}

fn a_refusal_of_the_host_keeps_its_words<E: WasmEngine>() {
    let trap = end::<E>("refuse");
    assert_eq!((trap.kind(), trap.to_string().as_str()), (TrapKind::Host, "the host says no"));
}

fn an_exit_keeps_its_code<E: WasmEngine>() {
    assert_eq!(end::<E>("quit").kind(), TrapKind::Exit(42));
}

fn a_panic_is_a_trap_and_the_process_lives<E: WasmEngine>() {
    let loaded = load::<E>(WAYS);
    let mut guest = loaded.start();
    let trap = guest.call::<(), ()>("blow_up", ()).unwrap_err();
    let text = "panic in a host function: a bug of ours";
    assert_eq!((trap.kind(), trap.to_string().as_str()), (TrapKind::Panic, text));
    guest.call::<(), u32>("fine", ()).unwrap_err();
    assert_eq!(loaded.start().call::<(), u32>("fine", ()).unwrap(), 1);
}

fn kinds_survive_a_nested_call<E: WasmEngine>() {
    let loaded = load::<E>(WAYS);
    let kinds = [TrapKind::Guest, TrapKind::Host, TrapKind::Exit(3), TrapKind::Panic];
    for (way, kind) in (1..).zip(kinds) {
        let trap = loaded.start().call::<(u32,), ()>("nested", (way,)).unwrap_err();
        assert_eq!(trap.kind(), kind, "{trap}");
    }
    loaded.start().call::<(u32,), ()>("nested", (0,)).unwrap();
}

fn a_trap_that_the_host_ignores_leaves_the_instance_dead<E: WasmEngine>() {
    let loaded = load::<E>(WAYS);
    let mut guest = loaded.start();
    assert_eq!(guest.call::<(u32,), u32>("ignored", (1,)).unwrap(), 77);
    assert_eq!(guest.call::<(), u32>("fine", ()).unwrap_err().kind(), TrapKind::Host);
}

fn a_trap_in_the_start_section_is_reported<E: WasmEngine>() {
    let loaded = load::<E>("(module (func $start unreachable) (start $start))");
    let trap = loaded.try_start(None).err().unwrap();
    assert_eq!(trap.to_string(), "wasm trap: wasm `unreachable` instruction executed");

    let quits = r#"(module (import "env" "quit" (func $quit (param i32))) (func $start (call $quit (i32.const 0))) (start $start))"#;
    assert_eq!(load::<E>(quits).try_start(None).err().unwrap().kind(), TrapKind::Exit(0));
}

fn endless_recursion_is_a_trap<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (func $f (export "f") (param i64) (result i64) (i64.add (i64.const 1) (call $f (local.get 0)))))"#,
    );
    let trap = loaded.start().call::<(u64,), u64>("f", (1,)).unwrap_err();
    assert_eq!((trap.kind(), trap.to_string().as_str()), (TrapKind::Guest, "wasm trap: call stack exhausted"));
}

/// The host's own stack is used up here as well.
fn deep_recursion_through_the_host_is_a_trap<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "alloc" (func $alloc (param i32) (result i32)))
             (func $f (export "allocate") (param i32) (result i32) (call $alloc (local.get 0)))
             (func (export "f") (drop (call $alloc (i32.const 0)))))"#,
    );
    let trap = loaded.start().call::<(), ()>("f", ()).unwrap_err();
    assert_eq!(trap.to_string(), "wasm trap: call stack exhausted");
}
