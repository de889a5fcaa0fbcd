//! Calls in both directions.

use engines::{Args, Instance, Plan, Ret, WasmEngine};

use crate::host::{Running, load};

on_every_engine!(
    numbers_of_every_kind_cross_both_ways,
    thirteen_parameters_cross_both_ways,
    a_host_function_sees_memory_and_data,
    memory_may_grow_while_the_host_asks_for_some,
    a_guest_without_memory_has_none_to_show,
    a_guest_without_an_allocator_has_nothing_to_give,
    the_first_allocator_of_the_list_is_taken,
    an_allocator_of_another_type_is_none,
    a_slot_needs_the_right_name_and_type,
    a_start_section_can_use_the_host,
    a_function_can_be_called_many_times,
);

fn numbers_of_every_kind_cross_both_ways<E: WasmEngine>() {
    fn echo<E: WasmEngine, R: Ret + PartialEq + std::fmt::Debug>(guest: &mut Running<E>, name: &str, values: &[R])
    where
        (R,): Args,
    {
        for value in values {
            assert_eq!(guest.call::<(R,), R>(name, (*value,)).unwrap(), *value, "{name}");
        }
    }
    let of = |name: &str, ty: &str| {
        format!(
            r#"(import "env" "echo_{name}" (func ${name} (param {ty}) (result {ty})))
               (func (export "{name}") (param {ty}) (result {ty}) (call ${name} (local.get 0)))"#
        )
    };
    // Imports first: the text format wants them so.
    let (mut imports, mut funcs) = (String::new(), String::new());
    for (name, ty) in [("i32", "i32"), ("u32", "i32"), ("i64", "i64"), ("u64", "i64"), ("f32", "f32"), ("f64", "f64")] {
        let text = of(name, ty);
        let (import, func) = text.split_once('\n').unwrap();
        imports += import;
        funcs += func;
    }
    let loaded = load::<E>(&format!("(module {imports} {funcs})"));
    let guest = &mut loaded.start();
    echo(guest, "i32", &[0, -1, i32::MIN, i32::MAX]);
    echo(guest, "u32", &[0, 1, u32::MAX]);
    echo(guest, "i64", &[0, -1, i64::MIN, i64::MAX]);
    echo(guest, "u64", &[0, 1, u64::MAX]);
    echo(guest, "f32", &[0.0, -1.5, f32::MAX, f32::INFINITY]);
    echo(guest, "f64", &[0.0, -1.5, f64::MIN_POSITIVE, f64::NEG_INFINITY]);
}

fn thirteen_parameters_cross_both_ways<E: WasmEngine>() {
    let params = "(param i32 i32 i32 i32 i32 i32 i64 i32 i32 f32 i32 i32 i32) (result i64)";
    let locals: String = (0..13).map(|i| format!("(local.get {i})")).collect();
    let loaded = load::<E>(&format!(
        r#"(module (import "env" "thirteen" (func $host {params}))
             (func (export "pass") {params} (call $host {locals})))"#
    ));
    let sum: u64 = loaded.start().call("pass", (1, 2, 3, 4, 5, 6, 1u64 << 40, 7, 8, 2.5f32, 9, 0, -1)).unwrap();
    assert_eq!(sum, 1_234_567_890 + (1 << 40) + 2 - 1);
}

fn a_host_function_sees_memory_and_data<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "log" (func $log (param i32 i32)))
             (memory (export "memory") 1) (data (i32.const 16) "hello")
             (func (export "go") (param i32 i32) (call $log (local.get 0) (local.get 1))))"#,
    );
    let mut guest = loaded.start();
    guest.call::<_, ()>("go", (16, 5)).unwrap();
    guest.call::<_, ()>("go", (65_536, 1)).unwrap();
    assert_eq!(guest.data().log, ["hello", "out of bounds"]);
    assert_eq!(guest.instance.memory_size(), 65_536);
}

fn memory_may_grow_while_the_host_asks_for_some<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "last" (func $last (result i32)))
             (memory (export "memory") 1)
             (func (export "allocate") (param i32) (result i32) (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
             (func (export "go") (result i32) (i32.load8_u (call $last))))"#,
    );
    let mut guest = loaded.start();
    guest.data().log.push("x".into());
    for pages in 2..5 {
        assert_eq!(guest.call::<(), u32>("go", ()).unwrap(), u32::from(b'x'));
        assert_eq!(guest.instance.memory_size(), pages * 65_536);
    }
}

fn a_guest_without_memory_has_none_to_show<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "memory_len" (func $len (result i32)))
             (func (export "go") (result i32) (call $len)))"#,
    );
    let mut guest = loaded.start();
    assert_eq!(guest.call::<(), u32>("go", ()).unwrap(), 0);
    assert_eq!(guest.instance.memory_size(), 0);
}

fn a_guest_without_an_allocator_has_nothing_to_give<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "alloc" (func $alloc (param i32) (result i32)))
             (func (export "go") (result i32) (call $alloc (i32.const 8))))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("go", ()).unwrap(), 0);
}

fn the_first_allocator_of_the_list_is_taken<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "alloc" (func $alloc (param i32) (result i32)))
             (func (export "malloc") (param i32) (result i32) (i32.const 2))
             (func (export "allocate") (param i32) (result i32) (i32.const 1))
             (func (export "go") (result i32) (call $alloc (i32.const 8))))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("go", ()).unwrap(), 1);
}

fn an_allocator_of_another_type_is_none<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "alloc" (func $alloc (param i32) (result i32)))
             (func (export "allocate") (param i64) (result i32) (i32.const 1))
             (func (export "malloc") (param i32) (result i32) (i32.const 2))
             (func (export "go") (result i32) (call $alloc (i32.const 8))))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("go", ()).unwrap(), 2);
}

fn a_slot_needs_the_right_name_and_type<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (memory (export "memory") 1) (func (export "f") (param i32) (result i64) (i64.const 1)))"#,
    );
    let plan = &loaded.plan;
    assert!(plan.slot::<(u32,), u64>("f").is_some());
    assert!(plan.slot::<(i32,), i64>("f").is_some());
    assert!(plan.slot::<(u32,), u32>("f").is_none());
    assert!(plan.slot::<(u32,), ()>("f").is_none());
    assert!(plan.slot::<(), u64>("f").is_none());
    assert!(plan.slot::<(), ()>("memory").is_none());
    assert!(plan.slot::<(), ()>("g").is_none());
}

fn a_start_section_can_use_the_host<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (import "env" "log" (func $log (param i32 i32))) (import "env" "last" (func $last (result i32)))
             (memory (export "memory") 1) (data (i32.const 16) "hello")
             (func (export "allocate") (param i32) (result i32) (i32.const 64))
             (func $start (call $log (i32.const 16) (i32.const 5)) (drop (call $last)) (call $log (i32.const 64) (i32.const 4)))
             (start $start))"#,
    );
    assert_eq!(loaded.start().data().log, ["hello", "hell"]);
}

fn a_function_can_be_called_many_times<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (global $n (mut i32) (i32.const 0))
             (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#,
    );
    let mut guest = loaded.start();
    let next = guest.instance.bind(&loaded.plan.slot::<(), u32>("next").unwrap());
    for expected in 1..100_000 {
        assert_eq!(guest.instance.call(&next, ()).unwrap(), expected);
    }
}
