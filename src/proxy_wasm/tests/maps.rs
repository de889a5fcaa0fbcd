//! Header maps.

use super::guest::{guest, on_request_headers};
use super::{Engine, on_every_engine, stream};

on_every_engine! {
    values_are_looked_up_without_case
    a_value_that_is_not_there_depends_on_the_version
    pairs_come_in_order_and_in_lower_case
    changes_reach_the_stream
    a_set_of_pairs_replaces_all_or_nothing
    maps_that_are_not_there
    an_empty_value_is_no_allocation
    a_stream_that_is_gone
    an_allocator_without_room
    an_allocator_that_moves_memory
    an_allocator_that_calls_back
}

fn values_are_looked_up_without_case(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $result (call $value (i32.const 0) 'x-ONE' (i32.const 0) (i32.const 4)))
           (call $result (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4)))
           (call $number (global.get $allocations))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["1", "2a", "2"]);
}

fn a_value_that_is_not_there_depends_on_the_version(engine: &Engine) {
    for (version, lines) in [("0_1_0", ["", "0"]), ("0_2_0", ["1", "0"]), ("0_2_1", ["1", "0"])] {
        let guest = guest(&format!(
            r#"(func (export "proxy_abi_version_{version}"))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $result (call $value (i32.const 0) 'none' (i32.const 0) (i32.const 4)))
                 (call $number (global.get $allocations))
                 (i32.const 0))"#
        ));
        assert_eq!(engine.run(&guest, stream()), lines, "{version}");
    }
}

fn pairs_come_in_order_and_in_lower_case(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $result (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
           (call $number (i32.load (i32.const 4)))
           (drop (call $map_size (i32.const 0) (i32.const 8)))
           (call $number (i32.load (i32.const 8)))
           (call $number (global.get $allocations))"#,
    );
    let lines = engine.run(&guest, stream());
    let texts = ":path\0/p?q\0x-one\x001\0two\x002a\0two\x002b\0";
    assert!(lines[0].starts_with("\x04\0\0\0\x05\0\0\0\x04\0\0\0\x05\0\0\0"), "{lines:?}");
    assert!(lines[0].ends_with(texts), "{lines:?}");
    let size = (4 + 4 * 8 + texts.len()).to_string();
    assert_eq!(lines[1..], [size.as_str(), size.as_str(), "1"]);
}

fn changes_reach_the_stream(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $add (i32.const 0) 'X-New' 'n'))
           (call $number (call $replace (i32.const 0) 'TWO' 'only'))
           (call $number (call $remove (i32.const 0) 'x-one'))
           (call $number (call $remove (i32.const 0) 'never'))
           (call $number (call $add (i32.const 2) 'r' ''))"#,
    );
    let stream = stream();
    assert_eq!(engine.run(&guest, stream), ["0"; 5]);
    let content = stream.content();
    let request: Vec<_> = content.request.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(request, [(":path", "/p?q"), ("X-New", "n"), ("TWO", "only")]);
    assert_eq!(content.response, [("r".to_owned(), String::new())]);
}

fn a_set_of_pairs_replaces_all_or_nothing(engine: &Engine) {
    let set = |map: &str| on_request_headers(&format!("(call $number (call $set_pairs (i32.const 0) {map}))"));
    let map = |size: u32| {
        format!(
            r"(i32.const 600) (i32.store (i32.const 600) (i32.const 1)) (i32.store (i32.const 604) (i32.const 1))
              (i32.store (i32.const 608) (i32.const 1)) (i32.store (i32.const 612) (i32.const 0x62_00_61))
              (i32.const {size})"
        )
    };
    for size in [15, 17] {
        let kept = stream();
        assert_eq!(engine.run(&set(&map(size)), kept), ["4"], "{size} bytes are not this map");
        assert_eq!(kept.content().request.len(), 4);
    }
    let one = stream();
    assert_eq!(engine.run(&set(&map(16)), one), ["0"]);
    assert_eq!(one.content().request, [("a".to_owned(), "b".to_owned())]);
    for empty in ["(i32.const 0) (i32.const 0)", "(i32.const 900) (i32.const 1)", "(i32.const 900) (i32.const 4)"] {
        let none = stream();
        assert_eq!(engine.run(&set(empty), none), ["0"]);
        assert!(none.content().request.is_empty());
    }
}

fn maps_that_are_not_there(engine: &Engine) {
    for (map, pairs, other) in [(3, "", "2"), (6, "", "2"), (8, "2", "2"), (-1, "2", "2")] {
        let guest = on_request_headers(&format!(
            r#"(call $result (call $pairs (i32.const {map}) (i32.const 0) (i32.const 4)))
               (call $number (call $map_size (i32.const {map}) (i32.const 8)))
               (call $number (call $value (i32.const {map}) 'a' (i32.const 0) (i32.const 4)))
               (call $number (call $add (i32.const {map}) 'a' 'b'))
               (call $number (call $replace (i32.const {map}) 'a' 'b'))
               (call $number (call $remove (i32.const {map}) 'a'))
               (call $number (call $set_pairs (i32.const {map}) ''))"#
        ));
        let lines = engine.run(&guest, stream());
        assert_eq!(lines, [pairs, other, other, other, other, other, other], "map {map}");
    }
}

fn an_empty_value_is_no_allocation(engine: &Engine) {
    let guest = on_request_headers(
        r#"(i64.store (i32.const 0) (i64.const -1))
           (drop (call $add (i32.const 0) 'e' ''))
           (call $number (call $value (i32.const 0) 'e' (i32.const 0) (i32.const 4)))
           (call $number (i32.load (i32.const 0)))
           (call $number (i32.load (i32.const 4)))
           (i64.store (i32.const 0) (i64.const -1))
           (call $number (call $pairs (i32.const 2) (i32.const 0) (i32.const 4)))
           (call $number (i32.load (i32.const 0)))
           (call $number (i32.load (i32.const 4)))
           (call $number (global.get $allocations))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["0"; 7]);
}

fn a_stream_that_is_gone(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $result (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
           (call $number (call $map_size (i32.const 0) (i32.const 8)))
           (call $number (call $value (i32.const 0) 'a' (i32.const 0) (i32.const 4)))
           (call $number (call $add (i32.const 0) 'a' 'b'))
           (call $number (call $bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
           (call $number (call $continue (i32.const 0)))
           (call $number (call $close (i32.const 0)))"#,
    );
    let stream = stream();
    stream.content().gone = true;
    assert_eq!(engine.run(&guest, stream), ["", "2", "1", "2", "1", "0", "0"]);
}

fn with_allocator(body: &str) -> Vec<u8> {
    guest(&format!(
        r#"(func (export "proxy_on_memory_allocate") (param $size i32) (result i32) {body})
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $result (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4)))
             (call $result (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
             (call $result (call $bytes (i32.const 0) (i32.const 2) (i32.const 3) (i32.const 0) (i32.const 4)))
             (i32.const 0))"#
    ))
}

fn an_allocator_without_room(engine: &Engine) {
    for body in ["(i32.const 0)", "(i32.const -1)", "(i32.const 131071)"] {
        let lines = engine.run(&with_allocator(body), stream());
        assert_eq!(lines, ["6", "6", "6"], "{body}");
    }
}

fn an_allocator_that_moves_memory(engine: &Engine) {
    let grow = "(i32.mul (memory.grow (i32.const 20)) (i32.const 65536))";
    let lines = engine.run(&with_allocator(grow), stream());
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("2a", "234"));
}

/// Whatever a guest does in its allocator, the worst is a status.
fn an_allocator_that_calls_back(engine: &Engine) {
    let add = "(drop (call $add (i32.const 0) 'x' 'y')) (i32.const 2048)";
    assert_eq!(engine.run(&with_allocator(add), stream()), ["2a", "10", "234"]);
    let nested = r#"(if (i32.lt_u (global.get $allocations) (i32.const 3)) (then
        (global.set $allocations (i32.add (global.get $allocations) (i32.const 1)))
        (drop (call $value (i32.const 0) ':path' (i32.const 16) (i32.const 20))))) (i32.const 2048)"#;
    let lines = engine.run(&with_allocator(nested), stream());
    assert_eq!(lines[0], "2a", "the outer value is not that of the inner call");
}
