//! Limits of memory, and whose it is.

use engines::{Config, WasmEngine};

use crate::host::{config, load, load_with};

on_every_engine!(
    growth_ends_at_the_limit,
    a_limit_is_rounded_down_to_pages,
    a_module_that_begins_above_the_limit_does_not_run,
    tables_are_bounded,
    memories_of_one_instance_together_are_bounded_each,
    an_instance_never_sees_what_another_left,
    instances_of_several_modules_take_turns,
);

const GROW: &str = r#"(module (memory (export "memory") 1)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

const REFUSED: u32 = u32::MAX;

fn growth_ends_at_the_limit<E: WasmEngine>() {
    // A megabyte is sixteen pages.
    let loaded = load::<E>(GROW);
    let mut guest = loaded.start();
    assert_eq!(guest.call::<_, u32>("grow", (14,)).unwrap(), 1);
    assert_eq!(guest.call::<_, u32>("grow", (2,)).unwrap(), REFUSED);
    assert_eq!(guest.call::<_, u32>("grow", (1,)).unwrap(), 15);
    assert_eq!(guest.call::<_, u32>("grow", (1,)).unwrap(), REFUSED);
    guest.call::<_, ()>("store", ((1 << 20) - 4, 7)).unwrap();
    assert!(guest.call::<_, ()>("store", ((1 << 20) - 3, 7)).is_err());
}

fn a_limit_is_rounded_down_to_pages<E: WasmEngine>() {
    let loaded = load_with::<E>(&Config { memory_limit: (2 << 16) + 1, ..config() }, GROW);
    let mut guest = loaded.start();
    assert_eq!(guest.call::<_, u32>("grow", (1,)).unwrap(), 1);
    assert_eq!(guest.call::<_, u32>("grow", (1,)).unwrap(), REFUSED);
}

fn a_module_that_begins_above_the_limit_does_not_run<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let wasm = crate::host::bytes("(module (memory 17))");
    // When it is found out is the engine's own affair.
    let Ok(module) = engine.compile(&wasm) else { return };
    let plan = engine.plan(&engine.linker::<()>(), &module, crate::host::WIRING).unwrap();
    assert!(engine.instantiate(&plan, (), None).is_err());
}

fn tables_are_bounded<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (table 1 funcref)
             (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#,
    );
    let mut guest = loaded.start();
    assert_eq!(guest.call::<_, u32>("grow", (10_000,)).unwrap(), 1);
    assert_eq!(guest.call::<_, u32>("grow", (1_000_000,)).unwrap(), REFUSED);
    let grown = (0..100).take_while(|_| guest.call::<_, u32>("grow", (10_000,)).unwrap() != REFUSED).count();
    assert!(grown < 20, "{grown}");
}

fn memories_of_one_instance_together_are_bounded_each<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (memory 1) (memory $other 1)
             (func (export "grow") (param i32) (result i32) (memory.grow $other (local.get 0))))"#,
    );
    let mut guest = loaded.start();
    assert_eq!(guest.call::<_, u32>("grow", (16,)).unwrap(), REFUSED);
    assert_eq!(guest.call::<_, u32>("grow", (15,)).unwrap(), 1);
}

/// More instances than slots, one after the other: each finds its memory as the module describes it.
fn an_instance_never_sees_what_another_left<E: WasmEngine>() {
    let with_data = GROW.replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") 3) (data (i32.const 65540) \"\\01\\02\\03\\04\")",
    );
    let loaded = load::<E>(&with_data);
    for round in 1..20 {
        let mut guest = loaded.start();
        for at in [0, 4096, 65_536, 131_072, 196_604] {
            assert_eq!(guest.call::<_, u32>("load", (at,)).unwrap(), 0);
            guest.call::<_, ()>("store", (at, round)).unwrap();
        }
        assert_eq!(guest.call::<_, u32>("load", (65_540,)).unwrap(), 0x0403_0201);
        guest.call::<_, ()>("store", (65_540, round)).unwrap();
        assert_eq!(guest.call::<_, u32>("grow", (1,)).unwrap(), 3, "and as small as it was");
        assert_eq!(guest.call::<_, u32>("load", (196_608,)).unwrap(), 0);
        guest.call::<_, ()>("store", (196_608, round)).unwrap();
    }
}

fn instances_of_several_modules_take_turns<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let plans: Vec<_> = (0..3u32)
        .map(|n| {
            let data = GROW.replacen(
                "(memory (export \"memory\") 1)",
                &format!("(memory (export \"memory\") 1) (data (i32.const {}) \"x\")", 8 * n),
                1,
            );
            crate::host::plan(&engine, &data)
        })
        .collect();
    for _ in 0..10 {
        for (n, plan) in plans.iter().enumerate() {
            let instance = engine.instantiate(plan, Default::default(), None).unwrap();
            let mut guest = crate::host::Running::<E> { instance, plan };
            for at in 0..4u32 {
                let expected = if at as usize == n { u32::from(b'x') } else { 0 };
                assert_eq!(guest.call::<_, u32>("load", (8 * at,)).unwrap(), expected);
                guest.call::<_, ()>("store", (8 * at, 99)).unwrap();
            }
        }
    }
}
