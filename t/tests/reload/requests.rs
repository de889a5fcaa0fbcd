//! Requests, filters and workers across a reload.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    a_request_ends_with_the_filter_it_began_with,
    filters_are_started_anew,
    filters_come_and_go,
    an_engine_is_changed,
    ticks_of_old_workers_stop,
    isolation_is_changed,
];

fn a_request_ends_with_the_filter_it_began_with(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "response_body: say a piece; at_end write response 100 0  by the old";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let before = ng.workers();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("begun");
    connection.until("begun");
    ng.edit(|conf| conf.replace("by the old", "by the new"));
    ng.hangup();
    ng.log().wait("gracefully shutting down");
    drop(tap);
    let (rest, in_order) = connection.rest();
    assert!(in_order && String::from_utf8_lossy(&rest).contains("by the old"), "{rest:?}");
    ng.await_replacement(&before);
}

fn filters_are_started_anew(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: count; reply 200 {it}", "").start();
    ng.get("/").body("1");
    ng.get("/").body("2");
    ng.reload();
    ng.get("/").body("1");
}

fn filters_come_and_go(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: reply 200 filtered", "return 200 plain;").start();
    ng.get("/").body("filtered");
    ng.edit(|conf| conf.replace("proxy_wasm script", "#proxy_wasm script"));
    ng.reload();
    ng.get("/").body("plain");
    ng.edit(|conf| conf.replace("#proxy_wasm script", "proxy_wasm script"));
    ng.reload();
    ng.get("/").body("filtered");
}

fn an_engine_is_changed(engine: Engine) {
    let Some(other) = engine.other() else { return };
    let ng = Nginx::new(engine).script("/", "request_headers: count; reply 200 {it}", "").start();
    ng.get("/").body("1");
    ng.edit(|conf| conf.replace(&format!("engine {engine}"), &format!("engine {other}")));
    ng.reload();
    ng.get("/").body("1");
    ng.log().has(&format!("[wasm] using {other} with compiler"));
}

fn ticks_of_old_workers_stop(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "configure: tick 5; tick: say old tick", "return 200;").start();
    ng.log().wait("old tick");
    ng.edit(|conf| conf.replace("old tick", "new tick"));
    ng.reload();
    let log = ng.log().from_here();
    log.wait_for(5, "new tick");
    log.lacks("old tick");
}

fn isolation_is_changed(engine: Engine) {
    let script = "request_headers: count; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "proxy_wasm_isolation none;").start();
    ng.get("/").body("1");
    ng.get("/").body("2");
    ng.edit(|conf| conf.replace("isolation none", "isolation stream"));
    ng.reload();
    ng.get("/").body("1");
    ng.get("/").body("1");
}
