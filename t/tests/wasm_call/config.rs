//! What `nginx -t` says of it.

use super::{nginx, raw};
use wasmx_t::{Engine, Nginx, filter};

wasmx_t::on_every_engine![
    it_stands_in_http_server_and_location,
    every_mistake_is_shown_in_one_run,
    it_wants_three_arguments,
    it_wants_a_wasm_block,
    functions_take_nothing,
    a_module_that_does_not_start_is_refused,
    a_module_that_is_named_by_both_must_be_a_filter,
    imports_are_checked,
];

const NOP: &str = "(func (export \"nop\"))";

fn it_stands_in_http_server_and_location(engine: Engine) {
    let test = nginx(engine, NOP)
        .http("wasm_call rewrite a nop;")
        .server("wasm_call access a nop;")
        .location("/", "wasm_call log a nop; wasm_call header_filter a nop;")
        .conf_test();
    test.accepts();
}

fn every_mistake_is_shown_in_one_run(engine: Engine) {
    let test = nginx(engine, NOP)
        .wat("filter", filter(""))
        .http("wasm_call '' a nop;")
        .server("wasm_call foo a nop;")
        .location("/1", "wasm_call post_read a nop;")
        .location("/2", "wasm_call log a '';")
        .location("/3", "wasm_call log a f;")
        .location("/4", "wasm_call log b nop;")
        .location("/5", "wasm_call log '' nop;")
        .location("/6", "proxy_wasm filter; wasm_call content filter g;")
        .location("/7", "wasm_call Log a nop;")
        .conf_test();
    test.refuses()
        .blames("wasm_call '' a nop", "invalid phase \"\"")
        .blames("wasm_call foo", "unknown phase \"foo\"")
        .blames("wasm_call post_read", "unsupported phase \"post_read\"")
        .blames("wasm_call log a ''", "invalid function name \"\"")
        .blames("wasm_call log a f", "no \"f\" function defined in \"a\" module")
        .blames("wasm_call log b", "no \"b\" module defined")
        .blames("wasm_call log '' nop", "invalid module name \"\"")
        .blames("wasm_call content filter g", "no \"g\" function defined in \"filter\" module")
        .blames("wasm_call Log", "unknown phase \"Log\"");
    assert_eq!(test.complaints(), 9, "{test}");
}

fn it_wants_three_arguments(engine: Engine) {
    for lines in ["wasm_call;", "wasm_call log;", "wasm_call log a;", "wasm_call log a nop nop;"] {
        let test = nginx(engine, NOP).location("/", lines).conf_test();
        test.refuses().complains("invalid number of arguments in \"wasm_call\" directive");
    }
}

fn it_wants_a_wasm_block(engine: Engine) {
    let test = Nginx::new(engine).no_wasm_block().location("/", "wasm_call log a nop;").conf_test();
    test.refuses().blames("wasm_call", "\"wasm_call\" directive is specified but config has no \"wasm\" section");
}

fn functions_take_nothing(engine: Engine) {
    let functions = "(func (export \"f\") (param i32)) (global (export \"g\") i32 (i32.const 0))";
    for function in ["f", "g", "memory"] {
        let test = nginx(engine, functions).location("/", format!("wasm_call log a {function};")).conf_test();
        test.refuses().complains(&format!("no \"{function}\" function defined in \"a\" module"));
    }
}

fn a_module_that_does_not_start_is_refused(engine: Engine) {
    let functions = "(func (export \"_initialize\") (unreachable)) (func (export \"nop\"))";
    let test = nginx(engine, functions).location("/", "wasm_call log a nop;").conf_test();
    test.refuses().blames("module a", "[wasm] failed initializing \"a\" module (start failure)");
    // One that nobody uses is not started.
    nginx(engine, functions).conf_test().accepts();
}

fn a_module_that_is_named_by_both_must_be_a_filter(engine: Engine) {
    let test = nginx(engine, NOP).location("/", "wasm_call log a nop;").location("/f", "proxy_wasm a;").conf_test();
    test.refuses().complains("failed loading \"a\" filter (unknown ABI version)");
}

fn imports_are_checked(engine: Engine) {
    let wrong = raw(NOP).replace("\"ngx_log\" (func $log (param i32 i32 i32))", "\"ngx_log\" (func $log (param i32))");
    let test = Nginx::new(engine).wat("a", wrong).location("/", "wasm_call log a nop;").conf_test();
    test.refuses()
        .says("failed importing \"env.ngx_log\": incompatible type (i32) -> (), should be (i32, i32, i32) -> ()")
        .blames("module a", "failed linking \"a\" module");
}
