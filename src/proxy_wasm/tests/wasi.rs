//! WASI preview 1, and what toolchains import beside it.

use engines::TrapKind;

use super::guest::{guest, on_request_headers};
use super::{Engine, HEADERS, LIMIT, VmError, on_every_engine, stream};
use crate::proxy_wasm::abi::LogLevel;

on_every_engine! {
    lines_go_to_the_log
    a_scattered_write_is_one_text
    writes_that_are_wrong
    long_writes_are_partial
    clocks
    random_bytes
    the_environment
    there_are_no_arguments
    standard_streams_are_devices
    waiting_returns_at_once
    the_other_functions_refuse
    an_exit_is_a_trap
    an_abort_is_logged
}

fn import(name: &str, params: &str) -> String {
    format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param {params}) (result i32)))\n")
}

/// A guest that writes each text, to standard output or error, and then returns.
fn writer(body: &str) -> Vec<u8> {
    let import = import("fd_write", "i32 i32 i32 i32");
    guest(&format!(
        r#"{import}
           (func $write (param $fd i32) (param $data i32) (param $size i32)
             (i32.store (i32.const 600) (local.get $data)) (i32.store (i32.const 604) (local.get $size))
             (if (call $fd_write (local.get $fd) (i32.const 600) (i32.const 1) (i32.const 608)) (then (unreachable)))
             (if (i32.ne (i32.load (i32.const 608)) (local.get $size)) (then (unreachable))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0))"#
    ))
}

fn lines_go_to_the_log(engine: &Engine) {
    let guest = writer(
        r#"(call $write (i32.const 1) 'one\ntwo\n')
           (call $write (i32.const 2) 'err')
           (call $write (i32.const 1) 'three')
           (call $write (i32.const 2) 'or\n')
           (call $write (i32.const 1) '\nrest')"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    let lines = std::mem::take(&mut server.seen().lines);
    assert!(lines.iter().all(|line| line.filter == "f" && line.root == 1 && line.on_stream));
    let told: Vec<_> = lines.iter().map(|line| (line.level, line.message.as_str())).collect();
    let (info, error) = (LogLevel::Info, LogLevel::Error);
    assert_eq!(told, [(info, "one"), (info, "two"), (error, "error"), (info, "three"), (info, "rest")]);
}

fn a_scattered_write_is_one_text(engine: &Engine) {
    let import = import("fd_write", "i32 i32 i32 i32");
    let guest = guest(&format!(
        r#"{import}
           (func $range (param $at i32) (param $data i32) (param $size i32)
             (i32.store (local.get $at) (local.get $data)) (i32.store offset=4 (local.get $at) (local.get $size)))
           (func (export "_start")
             (call $range (i32.const 600) 'a ') (call $range (i32.const 608) '') (call $range (i32.const 616) 'line\n!')
             (call $number (call $fd_write (i32.const 1) (i32.const 600) (i32.const 3) (i32.const 632)))
             (call $number (i32.load (i32.const 632))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take(), ["a line", "0", "8", "!"]);
}

fn writes_that_are_wrong(engine: &Engine) {
    let import = import("fd_write", "i32 i32 i32 i32");
    let table = [
        ("0 0 0 0", "8"),
        ("3 0 0 0", "8"),
        ("-1 0 0 0", "8"),
        ("1 0 0 -1", "21"),
        ("1 -1 1 0", "21"),
        ("1 131068 1 0", "21"),
        ("1 600 2 0", "21"),
        ("1 600 -1 0", "21"),
        ("1 -8 0 0", "0"),
    ];
    for (args, errno) in table {
        let args: String = args.split(' ').map(|arg| format!("(i32.const {arg})")).collect();
        let guest = guest(&format!(
            r#"{import}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (i32.store (i32.const 600) (i32.const 1024)) (i32.store (i32.const 604) (i32.const 4))
                 (i32.store (i32.const 608) (i32.const 1)) (i32.store (i32.const 612) (i32.const -1))
                 (i32.store (i32.const 1024) (i32.const 0x0a41_0a41))
                 (call $number (call $fd_write {args})) (i32.const 0))"#
        ));
        assert_eq!(engine.run(&guest, stream()), [errno], "{args}: nothing is logged");
    }
}

fn long_writes_are_partial(engine: &Engine) {
    let import = import("fd_write", "i32 i32 i32 i32");
    let guest = guest(&format!(
        r#"{import}
           (func (export "_start")
             (i32.store (i32.const 604) (i32.const 131072))
             (call $number (call $fd_write (i32.const 1) (i32.const 600) (i32.const 1) (i32.const 608)))
             (call $number (i32.load (i32.const 608))))"#
    ));
    let lines = engine.vm(&guest).1.take();
    assert_eq!(lines[lines.len() - 2..], ["0", "65536"]);
}

fn clocks(engine: &Engine) {
    let imports = [import("clock_time_get", "i32 i64 i32"), import("clock_res_get", "i32 i32")].concat();
    let guest = guest(&format!(
        r#"{imports}
           (func (export "_start")
             (call $number (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 8)))
             (call $number (i64.gt_u (i64.load (i32.const 8)) (i64.const 1600000000000000000)))
             (call $number (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 8)))
             (call $number (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 16)))
             (call $number (i64.ge_u (i64.load (i32.const 16)) (i64.load (i32.const 8))))
             (call $number (i64.ne (i64.load (i32.const 8)) (i64.const 0)))
             (call $number (call $clock_time_get (i32.const 2) (i64.const 1) (i32.const 8)))
             (call $number (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 131065)))
             (call $number (call $clock_res_get (i32.const 1) (i32.const 8)))
             (call $number (call $clock_res_get (i32.const 3) (i32.const 8))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take().join(" "), "0 1 0 0 1 1 58 21 0 58");
}

fn random_bytes(engine: &Engine) {
    let import = import("random_get", "i32 i32");
    let guest = guest(&format!(
        r#"{import}
           (func (export "_start")
             (call $number (call $random_get (i32.const 600) (i32.const 16)))
             (call $number (i64.ne (i64.load (i32.const 600)) (i64.load (i32.const 608))))
             (call $number (call $random_get (i32.const 65536) (i32.const 65536)))
             (call $number (call $random_get (i32.const 0) (i32.const 65537)))
             (call $number (call $random_get (i32.const 131072) (i32.const 0)))
             (call $number (call $random_get (i32.const 131072) (i32.const 1))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take().join(" "), "0 1 0 28 0 21");
}

fn the_environment(engine: &Engine) {
    let imports = [import("environ_sizes_get", "i32 i32"), import("environ_get", "i32 i32")].concat();
    let guest = guest(&format!(
        r#"{imports}
           (func (export "_start")
             (call $number (call $environ_sizes_get (i32.const 8) (i32.const 12)))
             (call $number (i32.load (i32.const 8)))
             (call $number (i32.load (i32.const 12)))
             (call $number (call $environ_get (i32.const 600) (i32.const 700)))
             (call $say (i32.const 700) (i32.load (i32.const 12)))
             (call $number (i32.load (i32.const 604)))
             (call $number (call $environ_get (i32.const 600) (i32.const 131065)))
             (call $number (call $environ_get (i32.const -1) (i32.const 700)))
             (call $number (call $environ_sizes_get (i32.const -1) (i32.const 12))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take(), ["0", "2", "15", "0", "A=1\0NAME=value\0", "704", "21", "21", "21"]);
}

fn there_are_no_arguments(engine: &Engine) {
    let imports = [import("args_sizes_get", "i32 i32"), import("args_get", "i32 i32")].concat();
    let guest = guest(&format!(
        r#"{imports}
           (func (export "_start")
             (i64.store (i32.const 8) (i64.const -1))
             (call $number (call $args_sizes_get (i32.const 8) (i32.const 12)))
             (call $number (i64.eqz (i64.load (i32.const 8))))
             (call $number (call $args_get (i32.const 0) (i32.const 0))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take().join(" "), "0 1 0");
}

fn standard_streams_are_devices(engine: &Engine) {
    let import = import("fd_fdstat_get", "i32 i32");
    let guest = guest(&format!(
        r#"{import}
           (func (export "_start")
             (call $number (call $fd_fdstat_get (i32.const 1) (i32.const 600)))
             (call $number (i32.load8_u (i32.const 600)))
             (call $number (i32.load (i32.const 608)))
             (call $number (call $fd_fdstat_get (i32.const 0) (i32.const 600)))
             (call $number (call $fd_fdstat_get (i32.const 3) (i32.const 600)))
             (call $number (call $fd_fdstat_get (i32.const 2) (i32.const 131049))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take().join(" "), "0 2 64 0 8 21");
}

fn waiting_returns_at_once(engine: &Engine) {
    let poll = import("poll_oneoff", "i32 i32 i32 i32");
    let guest = guest(&format!(
        r#"{poll}
           (import "wasi_unstable" "sched_yield" (func $sched_yield (result i32)))
           (func (export "_start")
             (i32.store (i32.const 8) (i32.const 7))
             (call $number (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
             (call $number (i32.load (i32.const 8)))
             (call $number (call $sched_yield)))"#
    ));
    assert_eq!(engine.vm(&guest).1.take().join(" "), "0 0 0");
}

fn the_other_functions_refuse(engine: &Engine) {
    let imports = [import("fd_prestat_get", "i32 i32"), import("sock_shutdown", "i32 i32")].concat();
    let guest = guest(&format!(
        r#"{imports}
           (func (export "_start")
             (call $number (call $fd_prestat_get (i32.const 3) (i32.const 0)))
             (call $number (call $sock_shutdown (i32.const 3) (i32.const 0))))"#
    ));
    assert_eq!(engine.vm(&guest).1.take().join(" "), "8 52");
}

fn an_exit_is_a_trap(engine: &Engine) {
    let guest = guest(
        r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $exit (i32.const 3)) (i32.const 0))"#,
    );
    let (mut vm, _) = engine.vm(&guest);
    let context = vm.open(1, stream());
    let Err(VmError::Trap(trap)) = vm.call(context, HEADERS, LIMIT) else { panic!("it traps") };
    assert_eq!(trap.kind(), TrapKind::Exit(3));
}

fn an_abort_is_logged(engine: &Engine) {
    let guest = guest(
        r#"(import "env" "abort" (func $abort (param i32 i32 i32 i32)))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (i32.store (i32.const 600) (i32.const 6))
             (i64.store (i32.const 604) (i64.const 0x20ac_0068_006f))
             (i32.store (i32.const 700) (i32.const -1))
             (call $abort (i32.const 604) (i32.const 704) (i32.const 7) (i32.const 9)) (i32.const 0))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    let context = vm.open(1, stream());
    assert!(matches!(vm.call(context, HEADERS, LIMIT), Err(VmError::Trap(_))));
    let lines = server.take();
    assert!(lines[0].starts_with("abort: oh€ at "), "{lines:?}");
    assert!(lines[0].ends_with(":7:9"), "{lines:?}");
    let wild = on_request_headers("(call $say 'unused')");
    assert_eq!(engine.run(&wild, stream()), ["unused"]);
}
