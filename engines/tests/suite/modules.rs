//! What recent toolchains emit.

use engines::{Config, WasmEngine};

use crate::host::{bytes, config, load, load_with, otherwise};

on_every_engine!(
    reference_types_as_rust_emits_them,
    bulk_memory_and_sign_extension,
    several_results_inside_a_guest,
    vectors,
    tail_calls,
    a_module_with_several_tables_and_a_large_one,
    a_name_section_may_be_missing_or_strange,
);

/// Since 1.82 Rust's `wasm32` targets have these on: indirect calls name their table, `table.fill` and friends occur.
fn reference_types_as_rust_emits_them<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (type $f (func (result i32))) (table $funcs (export "__indirect_function_table") 3 3 funcref)
             (table $externs 4 externref) (elem (table $funcs) (i32.const 1) func $one $two)
             (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
             (func (export "f") (param i32) (result i32) (call_indirect $funcs (type $f) (local.get 0)))
             (func (export "null") (result i32)
                (table.fill $externs (i32.const 0) (ref.null extern) (i32.const 4))
                (ref.is_null (table.get $externs (i32.const 3)))))"#,
    );
    let mut guest = loaded.start();
    assert_eq!(guest.call::<(u32,), u32>("f", (2,)).unwrap(), 2);
    assert_eq!(guest.call::<(), u32>("null", ()).unwrap(), 1);
}

fn bulk_memory_and_sign_extension<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (memory (export "memory") 2) (data $d "abcd")
             (func (export "f") (result i32)
                (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4)) (data.drop $d)
                (memory.copy (i32.const 100) (i32.const 0) (i32.const 4))
                (memory.fill (i32.const 101) (i32.const 0xff) (i32.const 1))
                (i32.extend8_s (i32.load8_u (i32.const 101))))
             (func (export "fill") (memory.fill (i32.const 0) (i32.const 1) (i32.const 131072))))"#,
    );
    let mut guest = loaded.start();
    assert_eq!(guest.call::<(), i32>("f", ()).unwrap(), -1);
    for _ in 0..100 {
        guest.call::<(), ()>("fill", ()).unwrap();
    }
}

fn several_results_inside_a_guest<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (func $two (result i32 i32) (i32.const 40) (i32.const 2))
             (func (export "f") (result i32) (call $two) i32.add))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("f", ()).unwrap(), 42);
}

fn vectors<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (func (export "f") (result i32)
             (i32x4.extract_lane 3 (i32x4.add (v128.const i32x4 1 2 3 40) (i32x4.splat (i32.const 2))))))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("f", ()).unwrap(), 42);
}

fn tail_calls<E: WasmEngine>() {
    let wat = r#"(module (func $f (export "f") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 42))))
        (return_call $f (i32.sub (local.get 0) (i32.const 1)))))"#;
    // wasmer has none (src/translator/code_translator.rs, line 2510, of wasmer-compiler-cranelift 7.3.0).
    if otherwise::<E>(&["wasmer"], "refuses them") {
        let error = E::new(&config()).unwrap().compile(&bytes(wat)).err().unwrap().to_string();
        assert!(error.contains("tail calls support is not enabled"), "{error}");
        return;
    }
    let loaded = load::<E>(wat);
    assert_eq!(loaded.start().call::<(u32,), u32>("f", (1_000_000,)).unwrap(), 42);
}

fn a_module_with_several_tables_and_a_large_one<E: WasmEngine>() {
    let loaded = load::<E>(
        r#"(module (table 50000 funcref) (table 1 externref) (table 1 funcref)
             (func (export "f") (result i32) (table.size 0)))"#,
    );
    assert_eq!(loaded.start().call::<(), u32>("f", ()).unwrap(), 50_000);
}

fn a_name_section_may_be_missing_or_strange<E: WasmEngine>() {
    let loaded =
        load_with::<E>(&Config { backtraces: true, ..config() }, r#"(module (func (export "f") unreachable))"#);
    let trap = loaded.start().call::<(), ()>("f", ()).unwrap_err();
    assert_eq!(trap.to_string(), "wasm trap: wasm `unreachable` instruction executed");
    assert!(trap.backtrace().is_none_or(|text| text.ends_with("<unknown>!<wasm function 0>")), "{trap:?}");
}

/// The compilers that translate in one pass.
#[cfg(any(feature = "wasmtime", feature = "wasmer-singlepass"))]
fn runs_them_too<E: WasmEngine>(compiler: &str) {
    let config = Config { compiler: compiler.into(), ..config() };
    let loaded = load_with::<E>(
        &config,
        r#"(module (import "env" "last" (func $last (result i32))) (import "env" "log" (func $log (param i32 i32)))
             (memory (export "memory") 1) (data (i32.const 16) "hello") (table 1 funcref)
             (func (export "malloc") (param i32) (result i32) (i32.const 64))
             (func (export "f") (result i32) (call $log (i32.const 16) (i32.const 5)) (i32.load8_u (call $last)))
             (func (export "loop") (loop $again (br $again))))"#,
    );
    let mut guest = loaded.start();
    assert_eq!(guest.call::<(), u32>("f", ()).unwrap(), u32::from(b'h'));

    let _ticker = loaded.engine.ticker(std::time::Duration::from_millis(20));
    engines::Instance::set_time_limit(&mut guest.instance, Some(std::time::Duration::from_millis(20)));
    assert_eq!(guest.call::<(), ()>("loop", ()).unwrap_err().kind(), engines::TrapKind::Deadline);
}

#[cfg(feature = "wasmtime")]
#[test]
fn winch_runs_them_too() {
    runs_them_too::<engines::Wasmtime>("winch");
}

#[cfg(feature = "wasmer-singlepass")]
#[test]
fn singlepass_runs_them_too() {
    runs_them_too::<engines::Wasmer>("singlepass");
}
