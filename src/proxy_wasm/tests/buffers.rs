//! Buffers.

use super::guest::{guest, on_request_headers};
use super::{Engine, on_every_engine, stream};

on_every_engine! {
    reading_is_clamped
    writing_prepends_appends_replaces_and_splices
    buffers_that_are_not_there
    a_body_that_shrinks_while_it_is_read
    configurations_are_buffers
    the_old_configuration_call_depends_on_the_callback
}

fn reading_is_clamped(engine: &Engine) {
    let table = [
        (0, 10, "0123456789"),
        (0, -1, "0123456789"),
        (4, 3, "456"),
        (8, 100, "89"),
        (9, -1, "9"),
        (3, 0, ""),
        (10, 1, ""),
        (11, 5, ""),
        (-1, -1, ""),
    ];
    for (start, size, text) in table {
        let guest = on_request_headers(&format!(
            r#"(i64.store (i32.const 0) (i64.const -1))
               (call $result (call $bytes (i32.const 0) (i32.const {start}) (i32.const {size})
                 (i32.const 0) (i32.const 4)))
               (call $number (global.get $allocations))
               (call $number (call $buffer_status (i32.const 0) (i32.const 8) (i32.const 12)))
               (call $number (i32.load (i32.const 8)))
               (call $number (i32.load (i32.const 12)))"#
        ));
        let allocations = if text.is_empty() { "0" } else { "1" };
        assert_eq!(engine.run(&guest, stream()), [text, allocations, "0", "10", "0"], "{start} {size}");
    }
}

fn writing_prepends_appends_replaces_and_splices(engine: &Engine) {
    let table = [
        (0, 0, "AB0123456789"),
        (10, 0, "0123456789AB"),
        (11, 7, "0123456789AB"),
        (-1, -1, "0123456789AB"),
        (0, 10, "AB"),
        (0, -1, "AB"),
        (0, 4, "AB456789"),
        (3, 0, "012AB3456789"),
        (3, 4, "012AB789"),
        (8, 100, "01234567AB"),
    ];
    for (start, size, text) in table {
        let set = format!("(call $number (call $set_bytes (i32.const 0) (i32.const {start}) (i32.const {size}) 'AB'))");
        let stream = stream();
        assert_eq!(engine.run(&on_request_headers(&set), stream), ["0"]);
        assert_eq!(stream.content().body.as_deref(), Some(text.as_bytes()), "{start} {size}");
    }
}

fn buffers_that_are_not_there(engine: &Engine) {
    // Read, measured, written.
    let table = [
        (1, ["1", "1", "1"]),
        (2, ["1", "1", "1"]),
        (3, ["1", "1", "1"]),
        (4, ["1", "1", "2"]),
        (5, ["1", "1", "2"]),
        (6, ["vm config", "0", "2"]),
        (7, ["plugin config", "0", "2"]),
        (8, ["1", "1", "2"]),
        (9, ["2", "2", "2"]),
        (-1, ["2", "2", "2"]),
    ];
    for (buffer, lines) in table {
        let guest = on_request_headers(&format!(
            r#"(call $result (call $bytes (i32.const {buffer}) (i32.const 0) (i32.const 99)
                 (i32.const 0) (i32.const 4)))
               (call $number (call $buffer_status (i32.const {buffer}) (i32.const 8) (i32.const 12)))
               (call $number (call $set_bytes (i32.const {buffer}) (i32.const 0) (i32.const 0) 'AB'))"#
        ));
        assert_eq!(engine.run(&guest, stream()), lines, "buffer {buffer}");
    }
}

fn a_body_that_shrinks_while_it_is_read(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32)
             (drop (call $set_bytes (i32.const 0) (i32.const 0) (i32.const -1) '')) (i32.const 2048))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $result (call $bytes (i32.const 0) (i32.const 2) (i32.const 3) (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["10"]);
}

fn configurations_are_buffers(engine: &Engine) {
    let read = |buffer: u32| {
        format!(
            "(call $result (call $bytes (i32.const {buffer}) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))"
        )
    };
    let guest = guest(&format!(
        r#"(func (export "proxy_on_vm_start") (param i32) (param $size i32) (result i32) {} (i32.const 1))
           (func (export "proxy_on_configure") (param i32) (param $size i32) (result i32) {} (i32.const 1))"#,
        read(6),
        read(7)
    ));
    let (_, server) = engine.vm(&guest);
    assert_eq!(server.take(), ["vm config", "plugin config"]);
}

fn the_old_configuration_call_depends_on_the_callback(engine: &Engine) {
    let read = "(call $result (call $configuration (i32.const 0) (i32.const 4)))";
    let guest = guest(&format!(
        r#"(func (export "proxy_abi_version_0_1_0"))
           (func (export "proxy_on_context_create") (param i32 i32) {read})
           (func (export "proxy_on_vm_start") (param i32 i32) (result i32) {read} (i32.const 1))
           (func (export "proxy_on_configure") (param i32 i32) (result i32) {read} (i32.const 1))
           (func (export "proxy_on_tick") (param i32) {read})"#
    ));
    let (mut vm, server) = engine.vm(&guest);
    vm.tick(1, None).unwrap();
    assert_eq!(server.take(), ["plugin config", "vm config", "plugin config", "vm config"]);
}
