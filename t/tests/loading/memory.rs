//! The guest's memory for results.

use wasmx_t::{Engine, Nginx, Running, filter};

wasmx_t::on_every_engine![
    a_result_is_one_allocation_of_its_size,
    nothing_is_asked_for_an_empty_result,
    proxy_on_memory_allocate_comes_before_malloc,
    an_allocation_may_grow_the_memory,
    a_bad_allocation_is_an_invalid_memory_access,
];

const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32)
    global.get $heap
    global.get $heap local.get 0 i32.add global.set $heap)"#;

/// Replies with `200 + calls of malloc × 10 + status` to a request for the value of a header; what malloc was last
/// asked for must be `size`.
fn text(header: &str, size: usize) -> String {
    let length = header.len();
    filter(&format!(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (data (i32.const 16) "{header}")
  (global $calls (mut i32) (i32.const 0))
  (global $asked (mut i32) (i32.const 0))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $status i32)
    (global.set $calls (i32.const 0))
    (i32.store (i32.const 44) (i32.const 77))
    (local.set $status (call $get (i32.const 0) (i32.const 16) (i32.const {length}) (i32.const 40) (i32.const 44)))
    (if (i32.ne (global.get $asked) (i32.const {size})) (then unreachable))
    (if (i32.ne (i32.load (i32.const 44)) (i32.const {size})) (then unreachable))
    (drop (call $reply
      (i32.add (i32.add (i32.const 200) (i32.mul (global.get $calls) (i32.const 10))) (local.get $status))
      (i32.const 0) (i32.const 0) (i32.load (i32.const 40)) (i32.load (i32.const 44)) (i32.const 0) (i32.const 0)
      (i32.const -1)))
    (i32.const 0))"#
    ))
    .replace(
        MALLOC,
        r#"(func $malloc (export "malloc") (param i32) (result i32)
    (global.set $asked (local.get 0))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    global.get $heap
    global.get $heap local.get 0 i32.add global.set $heap)"#,
    )
}

fn start(engine: Engine, text: &str) -> Running {
    Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 404;").start()
}

fn a_result_is_one_allocation_of_its_size(engine: Engine) {
    let ng = start(engine, &text("x-given", 5));
    for _ in 0..3 {
        ng.request("GET", "/").header("x-given", "hello").send().status(210).body("hello");
    }
}

fn nothing_is_asked_for_an_empty_result(engine: Engine) {
    let ng = start(engine, &text("x-given", 0));
    ng.request("GET", "/").header("x-given", "").send().status(200).body("");
}

fn proxy_on_memory_allocate_comes_before_malloc(engine: Engine) {
    let both = text("x-given", 5).replace(
        r#"(func $malloc (export "malloc")"#,
        r#"(func (export "malloc") (param i32) (result i32) unreachable)
  (func (export "proxy_on_memory_allocate")"#,
    );
    start(engine, &both).request("GET", "/").header("x-given", "hello").send().status(210).body("hello");
    let only = text("x-given", 5).replace(r#"(export "malloc")"#, r#"(export "proxy_on_memory_allocate")"#);
    start(engine, &only).request("GET", "/").header("x-given", "hello").send().status(210).body("hello");
}

fn an_allocation_may_grow_the_memory(engine: Engine) {
    // Each result lies in a page that was not there before, which moves the memory if it must.
    let growing = text("x-given", 5).replace(
        "    global.get $heap\n    global.get $heap local.get 0 i32.add global.set $heap)",
        "    (i32.mul (memory.grow (i32.const 7)) (i32.const 65536)))",
    );
    let ng = start(engine, &growing);
    for _ in 0..20 {
        ng.request("GET", "/").header("x-given", "hello").send().status(210).body("hello");
    }
}

fn a_bad_allocation_is_an_invalid_memory_access(engine: Engine) {
    // The size is not written then, and the reply has no body.
    let bad = text("x-given", 5)
        .replace("(if (i32.ne (i32.load (i32.const 44)) (i32.const 5)) (then unreachable))", "")
        .replace(
            "    global.get $heap\n    global.get $heap local.get 0 i32.add global.set $heap)",
            "    (i32.const -1))",
        )
        .replace("(i32.load (i32.const 40)) (i32.load (i32.const 44))", "(i32.const 0) (i32.const 0)");
    start(engine, &bad).request("GET", "/").header("x-given", "hello").send().status(216).body("");
}
