//! Properties.

use super::guest::{guest, on_request_headers};
use super::{Engine, LIMIT, on_every_engine, stream};
use crate::proxy_wasm::host::PropertyFormat;
use crate::proxy_wasm::vm::Callback;

on_every_engine! {
    paths_are_joined_by_dots
    a_filter_knows_itself
    values_can_be_kept_for_a_context
    roots_have_no_stream
    the_format_is_the_streams
    setting_and_unsetting
    what_nobody_knows_is_kept
    too_much_is_not_kept
    headers_are_maps
    trailers_are_a_map
}

fn paths_are_joined_by_dots(engine: &Engine) {
    for path in [r"request\0path", r"request\0path\0", "request.path", r"request.path\0"] {
        let guest =
            on_request_headers(&format!("(call $result (call $property '{path}' (i32.const 0) (i32.const 4)))"));
        assert_eq!(engine.run(&guest, stream()), ["/p"], "{path}");
    }
    for path in ["", r"\0", "request", r"request\0path\0\0", r"request\0\0path"] {
        let guest =
            on_request_headers(&format!("(call $result (call $property '{path}' (i32.const 0) (i32.const 4)))"));
        assert_eq!(engine.run(&guest, stream()), ["1"], "{path}");
    }
    let guest = on_request_headers("(call $result (call $property 'empty' (i32.const 0) (i32.const 4)))");
    assert_eq!(engine.run(&guest, stream()), [""]);
}

const WHO: &str = r#"
    (call $result (call $property 'plugin_name' (i32.const 0) (i32.const 4)))
    (call $result (call $property 'plugin_root_id\0' (i32.const 0) (i32.const 4)))
    (call $result (call $property 'plugin_vm_id' (i32.const 0) (i32.const 4)))
    (call $number (call $set_property 'plugin_name' 'x'))
"#;

fn a_filter_knows_itself(engine: &Engine) {
    assert_eq!(engine.run(&on_request_headers(WHO), stream()), ["f", "my root", "main", "1"]);
    let guest = guest(&format!(r#"(func (export "proxy_on_context_create") (param i32 i32) {WHO})"#));
    assert_eq!(engine.vm(&guest).1.take(), ["f", "my root", "main", "1"], "also while its root is created");
}

fn values_can_be_kept_for_a_context(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $result (call $property 'wasmx\0seen' (i32.const 0) (i32.const 4)))
             (call $number (call $set_property 'wasmx\0seen\0' 'first'))
             (call $result (call $property 'wasmx.seen' (i32.const 0) (i32.const 4)))
             (i32.const 0))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
             (call $result (call $property 'wasmx.seen' (i32.const 0) (i32.const 4)))
             (call $number (call $set_property 'wasmx.seen' ''))
             (call $result (call $property 'wasmx.seen' (i32.const 0) (i32.const 4)))
             (call $number (call $set_property 'wasmx.seen' (i32.const 0) (i32.const 0)))
             (call $result (call $property 'wasmx.seen' (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    let (one, other) = (vm.open(1, stream()), vm.open(1, stream()));
    vm.call(one, super::HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "0", "first"]);
    vm.call(other, super::HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "0", "first"], "another context does not see it");
    vm.call(one, Callback::RequestBody { size: 0, end_of_stream: true }, LIMIT).unwrap();
    assert_eq!(server.take(), ["first", "0", "", "0", "1"]);
}

fn roots_have_no_stream(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_tick") (param i32)
             (call $number (call $property 'request.path' (i32.const 0) (i32.const 4)))
             (call $number (call $set_property 'request.path' 'x'))
             (call $number (call $set_property 'wasmx.a' 'kept'))
             (call $result (call $property 'wasmx.a' (i32.const 0) (i32.const 4))))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "1", "0", "kept"]);
}

fn the_format_is_the_streams(engine: &Engine) {
    let stream = stream();
    stream.content().format = PropertyFormat::Envoy;
    let guest = on_request_headers("(call $result (call $property 'request.path' (i32.const 0) (i32.const 4)))");
    assert_eq!(engine.run(&guest, stream), ["envoy"]);
}

fn setting_and_unsetting(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $set_property 'ngx\0a' '1'))
           (call $number (call $set_property 'request\0path' (i32.const 0) (i32.const 0)))"#,
    );
    let stream = stream();
    assert_eq!(engine.run(&guest, stream), ["0", "0"]);
    let content = stream.content();
    assert_eq!(content.properties.get("ngx.a").map(String::as_str), Some("1"));
    assert_eq!(content.properties.get("request.path"), None);
}

fn what_nobody_knows_is_kept(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $property 'my\0state' (i32.const 0) (i32.const 4)))
           (call $number (call $set_property 'my\0state' 'kept'))
           (call $result (call $property 'my\0state\0' (i32.const 0) (i32.const 4)))
           (call $number (call $property 'state' (i32.const 0) (i32.const 4)))
           (call $number (call $set_property 'my\0state' (i32.const 0) (i32.const 0)))
           (call $number (call $property 'my\0state' (i32.const 0) (i32.const 4)))"#,
    );
    let stream = stream();
    assert_eq!(engine.run(&guest, stream), ["1", "0", "kept", "1", "0", "1"]);
    assert!(!stream.content().properties.contains_key("my.state"), "not the server's");
}

fn too_much_is_not_kept(engine: &Engine) {
    let guest = on_request_headers(
        r#"(drop (memory.grow (i32.const 32)))
           (call $number (call $set_property 'a' (i32.const 65536) (i32.const 0x100000)))
           (call $number (call $set_property 'a' (i32.const 65536) (i32.const 0x100000)))
           (call $number (call $set_property 'a' 'little'))
           (call $result (call $property 'a' (i32.const 0) (i32.const 4)))"#,
    );
    let line = "cannot keep a property: this context keeps too much already";
    assert_eq!(engine.run(&guest, stream()), [line, "10", "10", "0", "little"]);
}

/// What a property gives; a status when it gives none.
fn property(engine: &Engine, stream: super::TestStream, path: &str) -> Vec<String> {
    let call = format!("(call $result (call $property '{path}' (i32.const 0) (i32.const 4)))");
    engine.run(&on_request_headers(&call), stream)
}

fn headers_are_maps(engine: &Engine) {
    assert_eq!(property(engine, stream(), r"request\0headers\0two"), ["2a,2b"]);
    assert_eq!(property(engine, stream(), "request.headers.TWO"), ["2a,2b"]);
    assert_eq!(property(engine, stream(), "request.headers.none"), ["1"]);
    assert_eq!(property(engine, stream(), "request.headers_bytes"), ["25"]);
    assert_eq!(property(engine, stream(), "response.headers"), [""], "an empty map");
    let whole = property(engine, stream(), "request.headers").concat();
    assert!(whole.starts_with('\u{4}') && whole.ends_with("two\x002a\x00two\x002b\x00"), "{whole:?}");
}

fn trailers_are_a_map(engine: &Engine) {
    assert_eq!(property(engine, stream(), "response.trailers"), ["1"]);
    assert_eq!(property(engine, stream(), "response.trailers.grpc-status"), ["1"]);
    let stream = stream();
    stream.content().trailers = Some(vec![("grpc-status".into(), "0".into())]);
    assert_eq!(property(engine, stream, "response.trailers.grpc-status"), ["0"]);
    assert!(property(engine, stream, "response.trailers").concat().ends_with("grpc-status\x000\x00"));
}
