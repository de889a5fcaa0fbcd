//! Every kind of trouble in every callback: the worker lives, and the next request is served by a fresh instance.

use wasmx_t::{Engine, Nginx, Running};

wasmx_t::on_every_engine![
    unreachable_code,
    a_panic,
    a_loop,
    a_recursion_without_end,
    memory_without_end,
    a_pointer_to_nowhere,
    an_exit,
    a_division_by_zero,
    trouble_in_a_tick,
];

/// The callbacks in which a request can still be refused.
const EARLY: [&str; 4] = ["create", "request_headers", "request_body", "response_headers"];
/// Those after which there is nothing left to refuse.
const LATE: [&str; 3] = ["done", "log", "delete"];

/// One location for each callback: with the header `X-Boom`, the trouble comes in it.
fn with(engine: Engine, trouble: &str) -> Running {
    let limits = "proxy_wasm_time_limit 50ms;\nproxy_wasm_memory_limit 8m;\nproxy_wasm_failure_policy closed;";
    let mut nginx = Nginx::new(engine).wasm_directive(limits).allow("panicked at");
    for callback in EARLY.iter().chain(&LATE).chain(&["response_body"]) {
        let script = format!("{callback}: when x-boom trap {trouble}\nconfigure: say configured for {callback}");
        nginx = nginx.script(&format!("/{callback}"), &script, "root html;");
        nginx = nginx.file(&format!("html/{callback}"), "a file");
    }
    nginx.start()
}

fn everywhere(engine: Engine, trouble: &str) {
    let ng = with(engine, trouble);
    let workers = ng.workers();
    let boom = |path: &str| ng.request("POST", path).header("x-boom", "1").body("hello").send();
    for callback in EARLY {
        let response = boom(&format!("/{callback}"));
        assert_eq!(response.code(), Some(500), "{trouble} in {callback}\n{response}");
        recovers(&ng, callback);
    }
    let response = ng.request("GET", "/response_body").header("x-boom", "1").send();
    assert!(response.code() != Some(200) || response.text() != "a file", "{trouble} in response_body\n{response}");
    recovers(&ng, "response_body");
    for callback in LATE {
        ng.request("GET", &format!("/{callback}")).header("x-boom", "1").send().status(200).body("a file");
        recovers(&ng, callback);
    }
    assert_eq!(ng.workers(), workers, "the worker lives");
}

fn recovers(ng: &Running, callback: &str) {
    for _ in 0..2 {
        ng.get(&format!("/{callback}")).status(200).body("a file");
    }
}

fn unreachable_code(engine: Engine) {
    everywhere(engine, "unreachable");
}

fn a_panic(engine: Engine) {
    everywhere(engine, "panic");
}

fn a_loop(engine: Engine) {
    everywhere(engine, "loop");
}

fn a_recursion_without_end(engine: Engine) {
    everywhere(engine, "recursion");
}

fn memory_without_end(engine: Engine) {
    everywhere(engine, "memory");
}

fn a_pointer_to_nowhere(engine: Engine) {
    everywhere(engine, "pointer");
}

fn an_exit(engine: Engine) {
    everywhere(engine, "exit");
}

fn a_division_by_zero(engine: Engine) {
    let text = wasmx_t::filter(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (i32.div_u (i32.const 1) (i32.const 0)))"#,
    );
    let ng = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200;").start();
    ng.get("/").status(500);
    ng.get("/").status(500);
}

fn trouble_in_a_tick(engine: Engine) {
    for trouble in ["unreachable", "panic", "loop", "recursion", "memory", "pointer", "exit"] {
        let script = format!("configure: tick 10; tick: say ticks; trap {trouble}; request_headers: reply 200 fine");
        let ng = Nginx::new(engine)
            .wasm_directive("proxy_wasm_time_limit 50ms;\nproxy_wasm_memory_limit 8m;")
            .script("/", &script, "")
            .allow("panicked at")
            .start();
        let workers = ng.workers();
        ng.log().wait_for(2, "ticks");
        ng.get("/").status(200).body("fine");
        assert_eq!(ng.workers(), workers, "{trouble} in a tick: the worker lives");
    }
}
