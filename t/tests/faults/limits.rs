//! The limits on time and memory.

use std::time::{Duration, Instant};

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    a_loop_ends_at_the_time_limit,
    the_time_limit_is_that_of_the_location,
    a_limit_of_zero_is_none,
    each_callback_has_the_time_to_itself,
    memory_ends_at_the_limit,
    memory_within_the_limit_is_given,
    many_instances_are_made_and_dropped,
    more_instances_than_are_pooled_are_made,
];

fn a_loop_ends_at_the_time_limit(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_time_limit 300ms;")
        .script("/", "request_headers: trap loop", "return 200;")
        .start();
    let begun = Instant::now();
    ng.get("/").status(500);
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(200) && taken < Duration::from_secs(5), "{taken:?}");
}

fn the_time_limit_is_that_of_the_location(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_time_limit 1h;")
        .http("proxy_wasm_time_limit 1h;")
        .script("/", "request_headers: trap loop", "proxy_wasm_time_limit 50ms; return 200;")
        .start();
    ng.get("/").status(500);
}

fn a_limit_of_zero_is_none(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_time_limit 0;")
        .script("/", "request_headers: reply 200 fine", "")
        .start();
    ng.get("/").status(200).body("fine");
}

fn each_callback_has_the_time_to_itself(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_time_limit 200ms;")
        .script("/", "request_headers: spin 120; request_body: spin 120; response_headers: spin 120", "root html;")
        .file("html/file", "a file")
        .start();
    for _ in 0..3 {
        ng.request("GET", "/file").send().status(200).body("a file");
    }
}

fn memory_ends_at_the_limit(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_memory_limit 4m;")
        .script("/", "request_headers: keep 1000000; reply 200 kept", "")
        .start();
    let kept = (0..20).take_while(|_| ng.get("/").code() == Some(200)).count();
    assert!((1..5).contains(&kept), "{kept} MB fitted into 4 MB");
    // What failed is gone, with its memory.
    ng.get("/").status(200).body("kept");
}

fn memory_within_the_limit_is_given(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_memory_limit 64m;")
        .script("/", "request_headers: keep 1000000; reply 200 kept", "")
        .start();
    for _ in 0..40 {
        ng.get("/").status(200);
    }
}

fn many_instances_are_made_and_dropped(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("instances 4;")
        .script("/", "request_headers: count; reply 200 {it}", "proxy_wasm_isolation stream;")
        .start();
    for _ in 0..200 {
        ng.get("/").status(200).body("1");
    }
}

fn more_instances_than_are_pooled_are_made(engine: Engine) {
    let script = "request_headers: when x-hold say held; when x-hold pause; unless x-hold reply 200 fine";
    let ng =
        Nginx::new(engine).wasm_directive("instances 3;").script("/", script, "proxy_wasm_isolation stream;").start();
    let held: Vec<_> = (0..12).map(|_| ng.request("GET", "/").header("x-hold", "1").begin()).collect();
    ng.log().wait_for(12, "] held");
    ng.get("/").status(200).body("fine");
    for connection in held {
        connection.reset();
    }
}
