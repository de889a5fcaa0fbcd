//! Foreign functions.

use std::sync::Arc;

use super::guest::guest;
use super::{Engine, HEADERS, LIMIT, VmError, on_every_engine, stream};
use crate::proxy_wasm::foreign::MAX_PLAIN;

on_every_engine! {
    a_name_that_nobody_has
    what_was_compressed_is_uncompressed
    what_is_no_zlib_stream_is_refused
    a_bomb_is_refused
    too_much_is_not_compressed
    the_result_may_be_left_out
    places_for_results_are_checked
    there_is_no_route_cache
    an_answer_comes_later
    an_answer_for_nobody
}

/// A guest whose request headers callback runs `body`. `$call` has its result where `$show` looks for one; the host
/// cannot be given address 0 for it.
fn on_request_headers(body: &str) -> Vec<u8> {
    guest(&format!(
        r#"(func $call (param i32 i32 i32 i32) (result i32)
             (call $foreign (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 8) (i32.const 12))
             (i32.store (i32.const 0) (i32.load (i32.const 8)))
             (i32.store (i32.const 4) (i32.load (i32.const 12))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0))"#
    ))
}

/// Calls a function, and logs its status or its result.
fn foreign(name: &str, arguments: &str) -> String {
    format!("(call $result (call $call '{name}' {arguments}))")
}

fn a_name_that_nobody_has(engine: &Engine) {
    for name in ["", "compres", "compress2", "resolve_lua", "expr_create"] {
        assert_eq!(engine.run(&on_request_headers(&foreign(name, "''")), stream()), ["1"], "{name}");
    }
}

fn what_was_compressed_is_uncompressed(engine: &Engine) {
    for (text, size) in [("", 0), ("a", 1), ("abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc", 48)] {
        let guest = on_request_headers(&format!(
            r#"(drop (call $call 'compress' '{text}'))
               (call $number (i32.load8_u (i32.load (i32.const 0))))
               (call $number (i32.lt_u (i32.load (i32.const 4)) (i32.const 40)))
               (call $result (call $call 'uncompress' (i32.load (i32.const 0)) (i32.load (i32.const 4))))
               (call $number (i32.load (i32.const 4)))"#
        ));
        // 0x78: zlib with a window of 32 KiB.
        assert_eq!(engine.run(&guest, stream()), ["120", "1", text, &size.to_string()]);
    }
}

fn what_is_no_zlib_stream_is_refused(engine: &Engine) {
    for text in ["", "x", "no zlib stream at all"] {
        assert_eq!(engine.run(&on_request_headers(&foreign("uncompress", &format!("'{text}'"))), stream()), ["3"]);
    }
    let cut = on_request_headers(
        r#"(drop (call $call 'compress' 'some text'))
           (call $number (call $call 'uncompress' (i32.load (i32.const 0))
             (i32.sub (i32.load (i32.const 4)) (i32.const 5))))"#,
    );
    assert_eq!(engine.run(&cut, stream()), ["3"]);
}

/// A guest with `size` zeroed bytes at 131072.
fn with_much(size: usize, body: &str) -> Vec<u8> {
    let pages = size / 65536 + 1;
    on_request_headers(&format!("(drop (memory.grow (i32.const {pages}))) {body}"))
}

fn a_bomb_is_refused(engine: &Engine) {
    // What one byte too many compresses to is made by the host's own library: the guest gets it as text.
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; MAX_PLAIN + 1], 6);
    let bytes: String = bomb.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let guest = guest(&format!(
        r#"(data (i32.const 32768) "{bytes}")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $number (call $foreign 'uncompress' (i32.const 32768) (i32.const {}) (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
        bomb.len()
    ));
    let line = "the foreign function \"uncompress\" is refused: its input or output is too large";
    assert_eq!(engine.run(&guest, stream()), [line, "10"]);
}

fn too_much_is_not_compressed(engine: &Engine) {
    let compress = |size: usize| {
        let call = format!(
            "(call $number (call $foreign 'compress' (i32.const 131072) (i32.const {size}) (i32.const 0) (i32.const 4)))"
        );
        engine.run(&with_much(size, &call), stream())
    };
    assert_eq!(compress(MAX_PLAIN), ["0"]);
    assert_eq!(compress(MAX_PLAIN + 1).last().map(String::as_str), Some("10"));
}

fn the_result_may_be_left_out(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $foreign 'compress' 'text' (i32.const 0) (i32.const 0)))
           (call $number (global.get $allocations))
           (call $number (call $foreign 'clear_route_cache' '' (i32.const 8) (i32.const 12)))
           (call $number (i32.load (i32.const 8))) (call $number (i32.load (i32.const 12)))
           (call $number (global.get $allocations))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["0", "0", "0", "0", "0", "0"], "nothing is allocated for it");
}

fn places_for_results_are_checked(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $foreign 'compress' 'a' (i32.const -1) (i32.const 4)))
           (call $number (call $foreign 'compress' 'a' (i32.const 4) (i32.const 131070)))
           (call $number (call $foreign 'compress' (i32.const -8) (i32.const 16) (i32.const 0) (i32.const 4)))
           (call $number (call $foreign (i32.const -8) (i32.const 16) 'a' (i32.const 0) (i32.const 4)))"#,
    );
    // 0 as a place for the pointer means none.
    assert_eq!(engine.run(&guest, stream()), ["6", "6", "6", "6"]);
}

fn there_is_no_route_cache(engine: &Engine) {
    let guest =
        on_request_headers(&format!("(call $number (call $clear_route_cache)) {}", foreign("clear_route_cache", "''")));
    assert_eq!(engine.run(&guest, stream()), ["0", ""]);
}

const LATER: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (call $number (call $foreign 'later' 'question' (i32.const 8) (i32.const 12)))
      (call $number (call $bytes (i32.const 8) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
      (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
      (drop (call $foreign 'later' 'of a root' (i32.const 8) (i32.const 12))))
    (func (export "proxy_on_foreign_function") (param i32 i32 i32)
      (call $number (local.get 0)) (call $number (local.get 1)) (call $number (local.get 2))
      (call $result (call $bytes (i32.const 8) (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 4)))
      (call $number (call $set_bytes (i32.const 8) (i32.const 0) (i32.const 0) 'x'))
      (call $result (call $value (i32.const 0) 'x-one' (i32.const 0) (i32.const 4))))
"#;

fn an_answer_comes_later(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(LATER));
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "1"], "there is no such buffer yet");
    vm.tick(1, LIMIT).unwrap();
    let calls = std::mem::take(&mut server.seen().calls);
    assert_eq!(calls, [(context, true, b"question".to_vec()), (1, false, b"of a root".to_vec())]);

    vm.foreign_function(context, 7, Arc::from(*b"answer"), LIMIT).unwrap();
    assert_eq!(server.take(), [context.to_string().as_str(), "7", "6", "answer", "2", "1"]);
    vm.foreign_function(1, 9, Arc::from(*b""), LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "9", "0", "", "2", "2"], "a root has no headers");
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "1"], "the buffer is gone again");
}

fn an_answer_for_nobody(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(LATER));
    assert!(matches!(vm.foreign_function(77, 0, Arc::from(*b""), LIMIT), Err(VmError::NoContext)));
    let (mut deaf, _) = engine.vm(&guest(""));
    deaf.foreign_function(1, 0, Arc::from(*b"answer"), LIMIT).unwrap();
    assert!(vm.alive() && deaf.alive());
    assert_eq!(server.take(), [""; 0]);
}
