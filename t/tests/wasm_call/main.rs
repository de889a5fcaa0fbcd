//! `wasm_call`, and the host functions of what it calls.

mod answers;
mod chains;
mod config;
mod failures;
mod instances;
mod phases;
mod said;
mod status;

use wasmx_t::{Engine, Nginx};

/// A module of raw functions, without anything of Proxy-Wasm. Text in single quotes becomes its address and its size.
fn raw(functions: &str) -> String {
    let mut module = String::from(
        r#"(module
  (import "env" "ngx_log" (func $log (param i32 i32 i32)))
  (import "env" "ngx_http_resp_get_status" (func $status (result i32)))
  (import "env" "ngx_http_resp_set_status" (func $set_status (param i32)))
  (import "env" "ngx_http_resp_say" (func $say (param i32 i32)))
  (import "env" "ngx_http_local_response" (func $answer (param i32 i32 i32 i32 i32)))
  (import "env" "ngx_http_discard_local_response" (func $discard))
  (memory (export "memory") 1)
"#,
    );
    let (mut at, mut texts) = (1024, String::new());
    for (index, part) in functions.split('\'').enumerate() {
        if index % 2 == 0 {
            module.push_str(part);
            continue;
        }
        module.push_str(&format!("(i32.const {at}) (i32.const {})", part.len()));
        texts.push_str(&format!("(data (i32.const {at}) \"{part}\")\n"));
        at += part.len();
    }
    module + &texts + ")"
}

/// A function that logs its name, at info.
fn teller(name: &str) -> String {
    format!("(func (export \"{name}\") (call $log (i32.const 7) 'in {name}'))\n")
}

/// A module `a` with these functions.
fn nginx(engine: Engine, functions: &str) -> Nginx {
    Nginx::new(engine).wat("a", raw(functions))
}

/// One with a function for each of these names, which logs it.
fn tellers(engine: Engine, names: &[&str]) -> Nginx {
    nginx(engine, &names.iter().map(|name| teller(name)).collect::<String>())
}
