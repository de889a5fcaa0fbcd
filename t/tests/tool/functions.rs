//! What `wasmx inspect` tells of modules for `wasm_call`.

use wasmx_t::{Engine, Nginx, filter};

use crate::inspect::{json, texts};
use crate::{Folder, wasmx};

wasmx_t::on_every_engine![nginx_agrees];

/// With every raw host function, and functions that `wasm_call` can call, and others.
const MODULE: &str = r#"(module
  (import "env" "ngx_log" (func (param i32 i32 i32)))
  (import "env" "ngx_http_resp_get_status" (func $status (result i32)))
  (import "env" "ngx_http_resp_set_status" (func (param i32)))
  (import "env" "ngx_http_resp_say" (func $say (param i32 i32)))
  (import "env" "ngx_http_local_response" (func (param i32 i32 i32 i32 i32)))
  (import "env" "ngx_http_discard_local_response" (func))
  (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "said")
  (func (export "say") (call $say (i32.const 0) (i32.const 4)))
  (func (export "check") (result i32) (call $status))
  (func (export "takes") (param i32))
  (func (export "_initialize")))"#;

#[test]
fn they_are_told_with_what_they_import() {
    let folder = Folder::new();
    let file = folder.file("a.wat", MODULE);
    let run = wasmx(&["inspect", &file]).ends_with(0).says("a.wat: functions for wasm_call\n");
    let run = run.says("functions   check, say\n").says("7, all met").says("ngx_http_resp_say");
    run.says("none: no export proxy_abi_version_");
    let all = json(&file, 0);
    let module = &all["module"];
    assert_eq!((&all["fit"], &module["for"], &module["reason"]), (&true.into(), &"wasm_call".into(), &().into()));
    assert_eq!(texts(&module["functions"]), ["check", "say"]);
    assert!(module["imports"].as_array().expect("imports").iter().all(|it| it["met"] == true), "{all}");
}

#[test]
fn what_is_not_met_is_told() {
    let folder = Folder::new();
    let strange = MODULE.replace("ngx_http_discard_local_response\" (func)", "ngx_http_no_such\" (func)");
    let strange = strange.replace("set_status\" (func (param i32))", "set_status\" (func (param i64))");
    let file = folder.file("a.wat", strange);
    let run = wasmx(&["inspect", &file]).ends_with(1).says("a.wat: not fit for wasm_call\n");
    let run = run.says("7, of which 2 not met:").says("env.ngx_http_no_such: missing host function");
    run.says("env.ngx_http_resp_set_status: incompatible type (i64) -> (), should be (i32) -> ()");
    assert_eq!(json(&file, 1)["module"]["for"], "wasm_call");
}

#[test]
fn one_may_ask_for_what_a_module_is() {
    let folder = Folder::new();
    let (raw, plain) = (folder.file("raw.wat", MODULE), folder.file("plain.wat", filter("")));
    let both = folder.file("both.wat", filter("(func (export \"f\"))"));
    for (file, purpose, code) in [
        (&raw, "proxy_wasm", 1),
        (&raw, "wasm_call", 0),
        (&plain, "proxy_wasm", 0),
        (&plain, "wasm_call", 1),
        (&both, "proxy_wasm", 0),
        (&both, "wasm_call", 0),
    ] {
        wasmx(&["inspect", file, "--for", purpose]).ends_with(code);
    }
    wasmx(&["inspect", &raw, "--for=proxy_wasm"])
        .ends_with(1)
        .says("not fit to be a filter")
        .says("unknown ABI version");
    wasmx(&["inspect", &plain, "--for=wasm_call"]).ends_with(1).says("no function that takes nothing");
    // What has both is a filter, which tells of its functions too.
    assert_eq!(json(&both, 0)["module"]["for"], "proxy_wasm");
    assert_eq!(texts(&json(&both, 0)["module"]["functions"]), ["f"]);
    wasmx(&["inspect", &raw, "--for=else"]).ends_with(2).says("it is proxy_wasm or wasm_call");
}

/// What is told is what nginx does.
fn nginx_agrees(engine: Engine) {
    for function in ["check", "say"] {
        let call = format!("wasm_call content a {function};");
        Nginx::new(engine).wat("a", MODULE).location("/", call).conf_test().accepts();
    }
    let nginx = Nginx::new(engine).wat("a", MODULE).location("/", "wasm_call content a takes;");
    nginx.conf_test().complains("no \"takes\" function defined in \"a\" module");
}
