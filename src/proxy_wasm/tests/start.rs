//! How a module becomes a running VM, and why it may not.

use engines::TrapKind;

use super::guest::guest;
use super::server::Server;
use super::{Engine, VmConfig, VmKind, filter, on_every_engine};
use crate::proxy_wasm::vm::{AbiError, StartError};

on_every_engine! {
    initialize_then_main_or_start
    there_is_no_context_during_start
    a_start_that_fails
    a_root_that_fails
    a_start_that_loops
    what_a_filter_must_export
    imports_that_the_host_lacks
    malloc_is_the_other_allocator
}

fn started(engine: &Engine, functions: &str) -> String {
    let (_, server) = engine.vm(&guest(functions));
    server.take().join(" ")
}

fn initialize_then_main_or_start(engine: &Engine) {
    let initialize = r#"(func (export "_initialize") (call $say 'initialize'))"#;
    let start = r#"(func (export "_start") (call $say 'start'))"#;
    let main = r#"(func (export "main") (param i32 i32) (result i32) (call $say 'main') (i32.const 1))"#;
    let main_plain = r#"(func (export "main") (result i32) (call $say 'main') (i32.const 0))"#;
    let main_void = r#"(func (export "__main_void") (result i32) (call $say 'main_void') (i32.const 0))"#;
    let table: &[(&[&str], &str)] = &[
        (&[], ""),
        (&[initialize], "initialize"),
        (&[start], "start"),
        (&[initialize, start], "initialize"),
        (&[initialize, main], "initialize main"),
        (&[initialize, main_plain], "initialize main"),
        (&[initialize, main_void], "initialize main_void"),
        (&[initialize, main, main_void, start], "initialize main"),
        (&[start, main], "start"),
        (&[main], ""),
    ];
    for (exports, lines) in table {
        assert_eq!(started(engine, &exports.concat()), *lines, "{exports:?}");
    }
}

fn there_is_no_context_during_start(engine: &Engine) {
    let lines = started(
        engine,
        r#"(func (export "_start")
             (call $number (call $effective (i32.const 1)))
             (call $number (call $done))
             (call $number (call $set_tick (i32.const 1)))
             (call $result (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
             (call $number (call $value (i32.const 0) 'a' (i32.const 0) (i32.const 4)))
             (call $number (call $add (i32.const 0) 'a' 'b'))
             (call $number (call $bytes (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
             (call $number (call $property 'plugin_root_id' (i32.const 0) (i32.const 4)))
             (call $number (call $property 'wasmx.a' (i32.const 0) (i32.const 4)))
             (call $number (call $reply (i32.const 403) '' '' '' (i32.const -1))))"#,
    );
    assert_eq!(lines, "2 1 2  2 2 1 1 1 2");
}

fn fails(engine: &Engine, functions: &str) -> StartError {
    let program = engine.program(&guest(functions));
    match program.start(Server::default().host(), VmKind::Root) {
        Err(error) => error,
        Ok(mut vm) => vm.add_root(filter()).expect_err("the root fails"),
    }
}

fn a_start_that_fails(engine: &Engine) {
    for export in ["_initialize", "_start"] {
        let error = fails(engine, &format!(r#"(func (export "{export}") (unreachable))"#));
        assert_eq!(error.to_string(), "start failure");
        assert_eq!(error.trap().map(engines::Trap::kind), Some(TrapKind::Guest));
    }
    let error = fails(engine, r#"(func $f (unreachable)) (start $f)"#);
    assert_eq!(error.to_string(), "start failure");
}

fn a_root_that_fails(engine: &Engine) {
    let table = [
        ("proxy_on_context_create", "(param i32 i32) (unreachable)", true, "on_context_create failure"),
        ("proxy_on_vm_start", "(param i32 i32) (result i32) (unreachable)", true, "on_vm_start failure"),
        ("proxy_on_vm_start", "(param i32 i32) (result i32) (i32.const 0)", false, "on_vm_start failure"),
        ("proxy_on_configure", "(param i32 i32) (result i32) (unreachable)", true, "on_configure failure"),
        ("proxy_on_configure", "(param i32 i32) (result i32) (i32.const 0)", false, "on_configure failure"),
    ];
    for (export, function, traps, text) in table {
        let error = fails(engine, &format!(r#"(func (export "{export}") {function})"#));
        assert_eq!((error.to_string().as_str(), error.trap().is_some()), (text, traps), "{export} {function}");
    }
    let wasm = guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 5))) (i32.const 0))"#,
    );
    let server = Server::default();
    let mut vm = engine.program(&wasm).start(server.host(), VmKind::Root).unwrap();
    assert!(vm.add_root(filter()).is_err());
    assert_eq!(server.seen().ticks.last(), Some(&(1, None)), "a filter that failed has no tick");
    assert!(vm.alive(), "other roots go on");
}

fn a_start_that_loops(engine: &Engine) {
    let wasm = guest(r#"(func (export "_start") (loop $for (br $for)))"#);
    let config = VmConfig {
        name: "f".into(),
        config: vec![],
        start_limit: Some(std::time::Duration::from_millis(50)),
        done_patience: crate::proxy_wasm::vm::DONE_PATIENCE,
        functions: vec![],
    };
    let program = (engine.load)(&wasm, config).unwrap();
    let error = program.start(Server::default().host(), VmKind::Root).err().expect("it is stopped");
    assert_eq!(error.trap().map(engines::Trap::kind), Some(TrapKind::Deadline));
}

fn what_a_filter_must_export(engine: &Engine) {
    let check = |wat: &str| {
        let program = engine.program(&wat::parse_str(wat).unwrap());
        program.check_abi().map_err(|error: AbiError| error.to_string())
    };
    let version = r#"(func (export "proxy_abi_version_0_2_1"))"#;
    let malloc = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
    let create = r#"(func (export "proxy_on_context_create") (param i32 i32))"#;
    assert_eq!(check(&format!("(module {version} {malloc} {create})")), Ok(()));
    let table = [
        (format!("(module {malloc} {create})"), r#"failed loading "f" filter (unknown ABI version)"#),
        (
            r#"(module (func (export "proxy_abi_version_0_3_0")))"#.to_owned(),
            r#"failed loading "f" filter (incompatible ABI version)"#,
        ),
        (format!("(module {version} {create})"), r#""f" filter missing malloc (incompatible SDK interface)"#),
        (
            format!("(module {version} {malloc})"),
            r#""f" filter missing one of: proxy_on_context_create (incompatible SDK interface)"#,
        ),
    ];
    for (wat, text) in table {
        assert_eq!(check(&wat), Err(text.to_owned()), "{wat}");
    }
}

fn imports_that_the_host_lacks(engine: &Engine) {
    let wat = r#"(module (import "env" "nothing" (func)) (import "env" "proxy_log" (func (param i32))))"#;
    let config = VmConfig {
        name: "f".into(),
        config: vec![],
        start_limit: None,
        done_patience: crate::proxy_wasm::vm::DONE_PATIENCE,
        functions: vec![],
    };
    let errors = (engine.load)(&wat::parse_str(wat).unwrap(), config).err().expect("it does not link");
    let mut lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"failed importing "env.nothing": missing host function"#,
            r#"failed importing "env.proxy_log": incompatible type (i32) -> (), should be (i32, i32, i32) -> i32"#
        ]
    );
}

fn malloc_is_the_other_allocator(engine: &Engine) {
    let lines = started(
        engine,
        r#"(func (export "malloc") (param i32) (result i32) (call $say 'malloc') (i32.const 4096))
           (func (export "other_proxy_on_memory_allocate"))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (call $result (call $bytes (i32.const 7) (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 4)))
             (i32.const 1))"#,
    );
    assert_eq!(lines, "malloc plugin config");
}
