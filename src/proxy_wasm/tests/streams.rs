//! Stream operations, local responses, the log and the clock.

use std::time::Duration;

use super::guest::{guest, on_request_headers};
use super::{Engine, HEADERS, LIMIT, VmKind, on_every_engine, stream};
use crate::proxy_wasm::abi::{LogLevel, StreamType};
use crate::proxy_wasm::host::LocalResponse;

on_every_engine! {
    a_local_response_has_all_its_parts
    a_malformed_local_response_is_not_sent
    continuing_and_closing_reach_the_stream
    without_a_stream
    lines_carry_filter_and_root
    the_clock_runs
    a_tick_is_the_roots
    a_tick_of_one_request_is_not_armed
}

fn a_local_response_has_all_its_parts(engine: &Engine) {
    let guest = on_request_headers(
        r#"(i32.store (i32.const 600) (i32.const 1)) (i32.store (i32.const 604) (i32.const 1))
           (i32.store (i32.const 608) (i32.const 1)) (i32.store (i32.const 612) (i32.const 0x620041))
           (call $number (call $reply (i32.const 403) 'why' 'the\0body' (i32.const 600) (i32.const 16)
             (i32.const -1)))"#,
    );
    let stream = stream();
    assert_eq!(engine.run(&guest, stream), ["0"]);
    let expected = LocalResponse {
        status: 403,
        details: b"why".to_vec(),
        headers: vec![(b"A".to_vec(), b"b".to_vec())],
        body: b"the\0body".to_vec(),
        grpc_status: -1,
    };
    assert_eq!(stream.content().reply, Some(expected));
}

fn a_malformed_local_response_is_not_sent(engine: &Engine) {
    let guest = on_request_headers("(call $number (call $reply (i32.const 403) '' '' 'no map' (i32.const 5)))");
    let stream = stream();
    assert_eq!(engine.run(&guest, stream), ["4"]);
    assert_eq!(stream.content().reply, None);
}

fn continuing_and_closing_reach_the_stream(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $continue (i32.const 0))) (call $number (call $continue (i32.const 3)))
           (call $number (call $continue (i32.const 4))) (call $number (call $close (i32.const 1)))
           (call $number (call $close (i32.const -1))) (call $number (call $continue_request))
           (call $number (call $continue_response)) (call $number (call $clear_route_cache))"#,
    );
    let stream = stream();
    assert_eq!(engine.run(&guest, stream), ["0", "0", "2", "0", "2", "0", "0", "0"]);
    let content = stream.content();
    use StreamType::{Request, Response, Upstream};
    assert_eq!(content.continued, [Request, Upstream, Request, Response]);
    assert_eq!(content.closed, [Response]);
}

fn without_a_stream(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_tick") (param i32)
             (call $result (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
             (call $number (call $value (i32.const 0) 'a' (i32.const 0) (i32.const 4)))
             (call $number (call $add (i32.const 0) 'a' 'b'))
             (call $number (call $bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
             (call $number (call $reply (i32.const 403) '' '' '' (i32.const -1)))
             (call $number (call $continue (i32.const 0))))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["", "2", "2", "1", "2", "0"]);
}

fn lines_carry_filter_and_root(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $log (i32.const 5) 'bad'))
             (call $number (call $log (i32.const 6) 'never'))
             (drop (call $log_level (i32.const 8)))
             (call $number (i32.load (i32.const 8)))
             (i32.const 0))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $log_level (i32.const 8)))
             (call $number (i32.load (i32.const 8))))
           (func (export "_start") (call $say 'starting'))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    vm.tick(1, LIMIT).unwrap();
    let lines = std::mem::take(&mut server.seen().lines);
    let told: Vec<_> =
        lines.iter().map(|it| (it.level, it.filter.as_str(), it.root, it.on_stream, it.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (LogLevel::Info, "f", 0, false, "starting"),
            (LogLevel::Critical, "f", 1, true, "bad"),
            (LogLevel::Info, "f", 1, true, "2"),
            (LogLevel::Info, "f", 1, true, "2"),
            (LogLevel::Info, "f", 1, false, "3"),
        ]
    );
}

fn the_clock_runs(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $now (i32.const 8)))
           (call $number (i64.gt_u (i64.load (i32.const 8)) (i64.const 1600000000000000000)))
           (call $number (call $now (i32.const -4)))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["0", "1", "6"]);
}

const TICKER: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (call $number (call $set_tick (i32.const 250))) (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (call $number (call $set_tick (i32.const 0))) (i32.const 0))
"#;

fn a_tick_is_the_roots(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(TICKER));
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.seen().ticks, [(1, Some(Duration::from_millis(250))), (1, None)]);
    assert_eq!(server.take(), ["0", "0"]);
}

fn a_tick_of_one_request_is_not_armed(engine: &Engine) {
    let (_vm, server) = engine.vm_of_kind(&guest(TICKER), VmKind::Stream);
    assert_eq!(server.seen().ticks, []);
    assert_eq!(server.take(), ["0"]);
}
