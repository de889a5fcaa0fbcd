//! Which instance a function runs in.

use super::{nginx, raw};
use wasmx_t::{Engine, Nginx, filter};

wasmx_t::on_every_engine![
    none_is_the_workers_own,
    stream_and_filter_are_one_for_a_request,
    nothing_of_a_request_is_left_for_the_next,
    a_filter_of_the_same_module_shares_it,
    a_module_may_be_named_by_both,
    two_modules_are_two,
    a_reload_brings_the_new_functions,
    memory_is_optional,
    start_runs_before_any_function,
];

/// `count` says how often it was called.
const COUNT: &str = "(global $n (mut i32) (i32.const 48)) (func (export \"count\")
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.store8 (i32.const 0) (global.get $n))
    (call $say (i32.const 0) (i32.const 1)))";
const TWICE: &str = "wasm_call content a count; wasm_call content a count;";

fn none_is_the_workers_own(engine: Engine) {
    let ng = nginx(engine, COUNT).location("/", TWICE).start();
    ng.get("/").body("1\n2\n");
    ng.get("/").body("3\n4\n");
}

fn stream_and_filter_are_one_for_a_request(engine: Engine) {
    for isolation in ["stream", "filter"] {
        let lines = (TWICE, format!("proxy_wasm_isolation {isolation};"));
        let ng = nginx(engine, COUNT).location("/", lines).location("/none", TWICE).start();
        for _ in 0..3 {
            ng.get("/").body("1\n2\n");
        }
        ng.get("/none").body("1\n2\n");
    }
}

fn nothing_of_a_request_is_left_for_the_next(engine: Engine) {
    let keep = "(func (export \"keep\") (call $say (i32.const 2048) (i32.const 4))
        (i32.store (i32.const 2048) (i32.const 0x74666f6c)))";
    let ng = nginx(engine, keep).location("/", "wasm_call content a keep; proxy_wasm_isolation stream;").start();
    for _ in 0..5 {
        ng.get("/").status(200).body("\0\0\0\0\n");
    }
}

/// A filter that counts in its request headers, and says the number from a raw function.
fn both() -> String {
    filter(
        r#"(import "env" "ngx_http_resp_say" (func $say (param i32 i32)))
  (global $n (mut i32) (i32.const 48))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.const 0))
  (func (export "count") (i32.store8 (i32.const 0) (global.get $n)) (call $say (i32.const 0) (i32.const 1)))"#,
    )
}

fn a_filter_of_the_same_module_shares_it(engine: Engine) {
    // Of both filters' callbacks the function sees those that ran in its instance.
    for (isolation, first, second) in [("none", "2\n", "4\n"), ("stream", "2\n", "2\n"), ("filter", "0\n", "0\n")] {
        let lines = format!("proxy_wasm a; proxy_wasm a; wasm_call content a count; proxy_wasm_isolation {isolation};");
        let ng = Nginx::new(engine).wat("a", both()).location("/", lines).start();
        ng.get("/").status(200).body(first);
        ng.get("/").status(200).body(second);
    }
}

fn a_module_may_be_named_by_both(engine: Engine) {
    let ng = Nginx::new(engine)
        .wat("a", both())
        .location("/filter", "proxy_wasm a; return 200 filtered;")
        .location("/call", "wasm_call content a count;")
        .start();
    ng.get("/call").body("0\n");
    ng.get("/filter").body("filtered");
    ng.get("/call").body("1\n");
}

fn two_modules_are_two(engine: Engine) {
    let calls = "wasm_call content a count; wasm_call content b count; wasm_call content a count;";
    let ng = nginx(engine, COUNT).wat("b", raw(COUNT)).location("/", calls).start();
    ng.get("/").body("1\n1\n2\n");
}

fn a_reload_brings_the_new_functions(engine: Engine) {
    let ng =
        nginx(engine, "(func (export \"old\") (call $say 'old'))").location("/", "wasm_call content a old;").start();
    ng.get("/").body("old\n");
    ng.write("a.wat", raw("(func (export \"new\") (call $say 'new'))"));
    ng.edit(|config| config.replace("content a old", "content a new"));
    ng.reload();
    ng.get("/").body("new\n");
}

fn memory_is_optional(engine: Engine) {
    let module = r#"(module (import "env" "ngx_http_resp_say" (func $say (param i32 i32)))
        (func (export "nothing") (call $say (i32.const 0) (i32.const 0)))
        (func (export "one") (call $say (i32.const 0) (i32.const 1))))"#;
    let ng = Nginx::new(engine)
        .wat("a", module)
        .location("/nothing", "wasm_call content a nothing;")
        .location("/one", "wasm_call content a one;")
        .start();
    ng.get("/nothing").status(200).body("");
    ng.get("/one").status(500);
    ng.log().has("ngx_http_resp_say: out of bounds memory access");
}

fn start_runs_before_any_function(engine: Engine) {
    let started = "(func (export \"_initialize\") (i32.store8 (i32.const 0) (i32.const 105)))
        (func (export \"f\") (call $say (i32.const 0) (i32.const 1)))";
    for isolation in ["none", "stream"] {
        let lines = format!("wasm_call content a f; proxy_wasm_isolation {isolation};");
        let ng = nginx(engine, started).location("/", lines).start();
        ng.get("/").body("i\n");
    }
}
