//! The roots of an instance that lives as long as a request.

use wasmx_t::{Engine, Nginx, guest};

wasmx_t::on_every_engine![
    they_are_configured_and_not_started,
    a_tick_from_them_is_answered_and_never_comes,
    a_trap_costs_the_request,
    they_end_with_the_request,
];

fn they_are_configured_and_not_started(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_with("script", guest("script"), "'vm_start: say started'")
        .location("/", "proxy_wasm_isolation stream; proxy_wasm script 'configure: say configured'; return 200;")
        .location("/free", "return 200;")
        .start();
    // The worker has started.
    ng.get("/free").status(200);
    let log = ng.log().from_here();
    ng.get("/").status(200);
    log.has("configured").lacks("started");
}

fn a_tick_from_them_is_answered_and_never_comes(engine: Engine) {
    let script = "request_headers: tick 1; tick: say ticked";
    let other = "configure: tick 10; tick: say other";
    let ng = Nginx::new(engine)
        .script("/", script, "proxy_wasm_isolation stream; return 200;")
        .script("/other", other, "")
        .start();
    ng.get("/").status(200);
    ng.log().has("tick 1 -> 0");
    ng.log().from_here().wait_for(5, "other");
    ng.log().lacks("ticked");
}

fn a_trap_costs_the_request(engine: Engine) {
    let script = "request_headers: when x-boom trap unreachable; count; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "proxy_wasm_isolation stream;").start();
    let workers = ng.workers();
    for _ in 0..3 {
        ng.request("GET", "/").header("x-boom", "1").send().status(500);
        ng.get("/").status(200).body("1");
    }
    assert_eq!(ng.workers(), workers, "the worker lives");
}

fn they_end_with_the_request(engine: Engine) {
    let script = "request_headers: keep 1000000; count; reply 200 {it}";
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_memory_limit 8m;\ninstances 2;")
        .script("/", script, "proxy_wasm_isolation filter;")
        .start();
    // Far more than would fit at once.
    for _ in 0..50 {
        ng.get("/").status(200).body("1");
    }
}
