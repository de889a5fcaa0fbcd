//! Who else pays for a trap: those who hold a context in that instance, and nobody more.

use wasmx_t::{Connection, Engine, Nginx, Running};

wasmx_t::on_every_engine![
    without_isolation_those_who_hold_a_context_pay,
    each_of_them_pays_once,
    those_without_a_context_do_not_pay,
    another_module_does_not_pay,
    with_stream_isolation_nobody_else_pays,
    with_filter_isolation_nobody_else_pays,
    under_the_open_policy_held_requests_go_on,
    the_root_starts_again,
    all_workers_live_on,
];

const SCRIPT: &str = "configure: say configured
    request_headers: when x-hold say held; when x-hold pause; when x-boom trap unreachable
    done: say done {id}";

fn with(engine: Engine, settings: &str) -> Running {
    let nginx = Nginx::new(engine).file("html/file", "a file");
    nginx.script("/", SCRIPT, (settings, "root html;")).location("/plain", "return 200 plain;").start()
}

/// Requests that are held, all of them there.
fn hold(ng: &Running, count: usize) -> Vec<Connection> {
    let held = (0..count).map(|_| ng.request("GET", "/file").header("x-hold", "1").begin()).collect();
    ng.log().wait_for(count, "] held");
    held
}

fn boom(ng: &Running) {
    ng.request("GET", "/file").header("x-boom", "1").send().status(500);
}

fn without_isolation_those_who_hold_a_context_pay(engine: Engine) {
    let ng = with(engine, "proxy_wasm_isolation none;");
    let held = hold(&ng, 3);
    boom(&ng);
    for mut connection in held {
        connection.response().status(500);
    }
    ng.get("/file").status(200).body("a file");
}

fn each_of_them_pays_once(engine: Engine) {
    let ng = with(engine, "");
    let mut connection = ng.connect();
    connection.send("GET /file HTTP/1.1\r\nHost: localhost\r\nX-Hold: 1\r\n\r\n");
    ng.log().wait("] held");
    boom(&ng);
    connection.response().status(500);
    // One answer, and the connection is good for more or closed.
    let next = connection.get("/file").response();
    assert!(next.code().is_none_or(|code| code == 200), "{next}");
}

fn those_without_a_context_do_not_pay(engine: Engine) {
    let ng = with(engine, "");
    // It has begun and its filter has not: the header is not whole.
    let mut begun = ng.connect();
    begun.send("GET /file HTTP/1.1\r\nHost: localhost\r\n");
    let mut plain = ng.connect();
    plain.get("/plain").response().status(200);
    boom(&ng);
    begun.send("\r\n").response().status(200).body("a file");
    plain.get("/plain").response().status(200);
}

fn another_module_does_not_pay(engine: Engine) {
    let script = "request_headers: when x-hold say held; when x-hold pause; unless x-hold reply 200 {callback}; \
                  when x-release each continue 0";
    let nginx = Nginx::new(engine).wasm("other", wasmx_t::guest("script")).file("html/other", "other");
    let other = format!("proxy_wasm other '{script}'; root html;");
    let ng = nginx.location("/other", other).script("/", SCRIPT, "root html;").start();
    let mut held = ng.request("GET", "/other").header("x-hold", "1").begin();
    ng.log().wait("] held");
    boom(&ng);
    ng.request("GET", "/other").header("x-release", "1").send().status(200);
    held.response().status(200).body("other");
}

fn with_stream_isolation_nobody_else_pays(engine: Engine) {
    nobody_else_pays(&with(engine, "proxy_wasm_isolation stream;"));
}

fn with_filter_isolation_nobody_else_pays(engine: Engine) {
    nobody_else_pays(&with(engine, "proxy_wasm_isolation filter;"));
}

fn nobody_else_pays(ng: &Running) {
    let held = hold(ng, 3);
    boom(ng);
    ng.get("/file").status(200).body("a file");
    for connection in held {
        // It is held still: it ends, in order, when its client leaves.
        let before = ng.log().lines_with("] done ").len();
        connection.reset();
        ng.log().wait_for(before + 1, "] done ");
    }
}

fn under_the_open_policy_held_requests_go_on(engine: Engine) {
    let ng = with(engine, "proxy_wasm_failure_policy open;");
    let held = hold(&ng, 3);
    ng.request("GET", "/file").header("x-boom", "1").send().status(200).body("a file");
    for mut connection in held {
        connection.response().status(200).body("a file");
    }
}

fn the_root_starts_again(engine: Engine) {
    let ng = with(engine, "");
    ng.get("/file").status(200);
    let before = ng.log().lines_with("] configured").len();
    boom(&ng);
    ng.get("/file").status(200);
    ng.log().wait_for(before + 1, "] configured");
}

fn all_workers_live_on(engine: Engine) {
    let nginx = Nginx::new(engine).workers(2).file("html/file", "a file");
    let ng = nginx.script("/", SCRIPT, "root html;").start();
    let workers = ng.workers();
    for _ in 0..10 {
        boom(&ng);
        ng.get("/file").status(200).body("a file");
    }
    assert_eq!(ng.workers(), workers, "the workers live");
}
