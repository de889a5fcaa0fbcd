//! Imports and exports.

use engines::{Caller, ExternType, HostFunction, Linker, Trap, ValType, WasmEngine};

use crate::host::{Host, WIRING, bytes, config, define};

on_every_engine!(
    every_import_that_is_wrong_is_named,
    an_import_may_come_twice,
    the_last_definition_counts,
    one_body_may_go_by_two_module_names,
    imports_and_exports_are_listed,
);

fn every_import_that_is_wrong_is_named<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let module = engine.compile(&bytes(
        r#"(module (import "env" "nothing" (func (param i32))) (import "env" "refuse" (func))
             (import "env" "quit" (func (param i64 f32) (result i32))) (import "other" "refuse" (func))
             (import "env" "log" (memory 1)) (import "env" "memory" (memory 1)) (import "env" "table" (table 1 funcref))
             (import "env" "base" (global i32)))"#,
    ));
    let mut linker = engine.linker::<Host>();
    define(&mut linker);
    let errors = engine.plan(&linker, &module.unwrap(), WIRING).err().unwrap();
    let mut lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"failed importing "env.base": missing host global"#,
            r#"failed importing "env.log": incompatible type memory, should be (i32, i32) -> ()"#,
            r#"failed importing "env.memory": missing host memory"#,
            r#"failed importing "env.nothing": missing host function"#,
            r#"failed importing "env.quit": incompatible type (i64, f32) -> i32, should be (i32) -> ()"#,
            r#"failed importing "env.table": missing host table"#,
            r#"failed importing "other.refuse": missing host function"#,
        ]
    );
}

fn an_import_may_come_twice<E: WasmEngine>() {
    let loaded = crate::host::load::<E>(
        r#"(module (import "env" "echo_u32" (func $a (param i32) (result i32)))
             (import "env" "echo_u32" (func $b (param i32) (result i32)))
             (func (export "f") (result i32) (i32.add (call $a (i32.const 1)) (call $b (i32.const 2)))))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("f", ()).unwrap(), 3);
}

/// Two functions of one name.
struct Answer<const N: u32>;

impl<const N: u32> HostFunction<Host> for Answer<N> {
    const NAME: &'static str = "answer";
    type Args = ();
    type Ret = u32;

    fn call(_: &mut impl Caller<Host>, (): ()) -> Result<u32, Trap> {
        Ok(N)
    }
}

/// What the module, linked against this, answers.
fn answer<E: WasmEngine>(wat: &str, define: impl FnOnce(&mut E::Linker<Host>)) -> u32 {
    let engine = E::new(&config()).unwrap();
    let mut linker = engine.linker();
    define(&mut linker);
    let plan = engine.plan(&linker, &engine.compile(&bytes(wat)).unwrap(), WIRING).unwrap();
    let instance = engine.instantiate(&plan, Host::default(), None).unwrap();
    crate::host::Running::<E> { instance, plan: &plan }.call("f", ()).unwrap()
}

fn the_last_definition_counts<E: WasmEngine>() {
    let wat = r#"(module (import "env" "answer" (func $a (result i32))) (export "f" (func $a)))"#;
    let given = answer::<E>(wat, |linker| {
        linker.define::<Answer<1>>("env");
        linker.define::<Answer<2>>("env");
    });
    assert_eq!(given, 2);
}

fn one_body_may_go_by_two_module_names<E: WasmEngine>() {
    let wat = r#"(module (import "old" "answer" (func $a (result i32))) (import "new" "answer" (func $b (result i32)))
        (func (export "f") (result i32) (i32.add (call $a) (call $b))))"#;
    let given = answer::<E>(wat, |linker| {
        linker.define::<Answer<1>>("old");
        linker.define::<Answer<2>>("new");
    });
    assert_eq!(given, 3);
}

fn imports_and_exports_are_listed<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let wat = r#"(module (import "env" "f" (func $f (param i32 i64) (result f32))) (import "env" "g" (global externref))
        (memory (export "memory") 1) (export "again" (func $f)) (table (export "table") 1 funcref)
        (global (export "global") i32 (i32.const 1)) (func (export "refs") (param funcref externref v128))
        (func $start) (start $start))"#;
    let module = engine.compile(&bytes(wat)).unwrap();
    let imports: Vec<_> =
        engine.imports(&module).iter().map(|it| format!("{}.{}: {}", it.module, it.name, it.ty)).collect();
    assert_eq!(imports, ["env.f: (i32, i64) -> f32", "env.g: global"]);

    let mut exports = engine.exports(&module);
    exports.sort_by(|a, b| a.name.cmp(&b.name));
    let lines: Vec<_> = exports.iter().map(|it| format!("{}: {}", it.name, it.ty)).collect();
    let refs = "refs: (funcref, externref, v128) -> ()";
    assert_eq!(lines, ["again: (i32, i64) -> f32", "global: global", "memory: memory", refs, "table: table"]);
    let ExternType::Func(ty) = &exports[0].ty else { panic!("a function") };
    assert_eq!((&ty.params[..], &ty.results[..]), (&[ValType::I32, ValType::I64][..], &[ValType::F32][..]));
}
