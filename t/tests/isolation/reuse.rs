//! Instances that serve one request after the other, and are put back to what they were in between.

use wasmx_t::{Engine, Nginx, Running, Upstream, filter};

wasmx_t::on_every_engine![
    an_instance_serves_one_request_after_the_other,
    nothing_of_a_request_is_seen_by_the_next,
    a_filter_that_cannot_be_put_back_has_a_fresh_instance,
    requests_at_the_same_time_have_instances_of_their_own,
    memory_that_grew_is_gone_with_its_request,
    what_was_configured_stays,
    each_location_has_its_own,
    subrequests_have_their_own,
    many_requests_hold_no_more_memory,
];

/// Answers with what it finds in three places of its memory and in a variable, and leaves the request's path there.
const LEAKY: &str = r#"
    (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (global $served (mut i32) (i32.const 65))
    (table $t 2 funcref)
    (data (i32.const 16) ":path") (data (i32.const 1024) "____+____+____+")
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (i32.store8 (i32.const 1039) (global.get $served))
        (global.set $served (i32.add (global.get $served) (i32.const 1)))
        (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 16) (i32.const 0)
            (i32.const 0) (i32.const -1)))
        (drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 8) (i32.const 12)))
        (memory.copy (i32.const 1024) (i32.load (i32.const 8)) (i32.const 4))
        (memory.copy (i32.const 1029) (i32.load (i32.const 8)) (i32.const 4))
        (memory.fill (i32.const 8000) (i32.const 1) (i32.const 40000))
        ADDED
        (i32.const 1))"#;

fn leaky(engine: Engine, added: &str) -> Running {
    let text = filter(&LEAKY.replace("ADDED", added));
    Nginx::new(engine).wat("a", text).location("/", "proxy_wasm_isolation stream; proxy_wasm a;").start()
}

fn an_instance_serves_one_request_after_the_other(engine: Engine) {
    let text = filter(
        r#"(data (i32.const 16) "configured")
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $log (i32.const 2) (i32.const 16) (i32.const 10))) (i32.const 1))"#,
    );
    let directives = "proxy_wasm_isolation stream; proxy_wasm a; return 200;";
    let ng = Nginx::new(engine).wat("a", text).location("/", directives).start();
    ng.get("/").status(200);
    let once = ng.log().lines_with("configured").len();
    for _ in 0..10 {
        ng.get("/").status(200);
    }
    assert_eq!(ng.log().lines_with("configured").len(), once, "each request starts an instance");
}

fn nothing_of_a_request_is_seen_by_the_next(engine: Engine) {
    let ng = leaky(engine, "");
    for path in ["/one", "/two", "/three", "/four", "/five"] {
        ng.get(path).status(200).body("____+____+____+A");
    }
}

fn a_filter_that_cannot_be_put_back_has_a_fresh_instance(engine: Engine) {
    // It changes a table, which no host can look into.
    let ng = leaky(engine, "(table.set $t (i32.const 0) (ref.null func))");
    for path in ["/one", "/two", "/three"] {
        ng.get(path).status(200).body("____+____+____+A");
    }
}

fn requests_at_the_same_time_have_instances_of_their_own(engine: Engine) {
    let script =
        "request_headers: count; request_body: count; count; count; response_headers: count; add response x-count {it}";
    let up = Upstream::new();
    let ng = Nginx::new(engine).script("/", script, ("proxy_wasm_isolation stream;", up.pass())).start();
    for _ in 0..3 {
        let mut held: Vec<_> = (0..5).map(|_| ng.request("POST", "/").header("Content-Length", "5").begin()).collect();
        for connection in &mut held {
            connection.send("hel");
        }
        for connection in &mut held {
            connection.send("lo");
            connection.response().status(200).header("x-count", "5");
        }
    }
}

fn memory_that_grew_is_gone_with_its_request(engine: Engine) {
    let script = "request_headers: keep 3000000; keep 3000000; count; reply 200 {it}";
    let ng = Nginx::new(engine)
        .wasm_directive("proxy_wasm_memory_limit 8m;")
        .script("/", script, "proxy_wasm_isolation stream;")
        .start();
    for _ in 0..20 {
        ng.get("/").status(200).body("1");
    }
}

fn what_was_configured_stays(engine: Engine) {
    let script = "configure: count; count; request_headers: count; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "proxy_wasm_isolation stream;").start();
    for _ in 0..4 {
        ng.get("/").status(200).body("3");
    }
}

fn each_location_has_its_own(engine: Engine) {
    let script =
        |n: u32| format!("configure: {}request_headers: count; reply 200 {{it}}", "count; ".repeat(n as usize));
    let ng = Nginx::new(engine)
        .script("/1", &script(1), "proxy_wasm_isolation stream;")
        .script("/2", &script(2), "proxy_wasm_isolation filter;")
        .script("/3", &script(3), "proxy_wasm_isolation stream;")
        .start();
    for _ in 0..3 {
        ng.get("/1").body("2");
        ng.get("/2").body("3");
        ng.get("/3").body("4");
    }
}

fn subrequests_have_their_own(engine: Engine) {
    let script = "request_headers: count; response_headers: count; add response x-count {it}";
    let ng = Nginx::new(engine)
        .script("/", script, "proxy_wasm_isolation stream; auth_request /auth; return 200;")
        .script("/auth", script, "proxy_wasm_isolation stream; return 204;")
        .start();
    for _ in 0..3 {
        ng.get("/").header("x-count", "2");
    }
}

fn many_requests_hold_no_more_memory(engine: Engine) {
    let script = "request_headers: keep 100000; count; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "proxy_wasm_isolation stream;").start();
    let serve = |times: u32| {
        let mut connection = ng.connect();
        for _ in 0..times {
            connection.get("/").response().status(200).body("1");
        }
    };
    serve(200);
    let before = ng.resident_kib();
    serve(900);
    let after = ng.resident_kib();
    assert!(after < before + 2048, "{before} KiB, then {after} KiB");
}
