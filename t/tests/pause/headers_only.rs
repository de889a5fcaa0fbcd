//! `proxy_wasm_allow_on_headers_stop_iteration on`: a pause in a header callback holds the header only.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    by_default_the_body_waits_with_the_header,
    the_body_callback_goes_on_while_the_header_is_held,
    headers_are_decided_on_after_the_body,
    a_reply_after_the_body_was_seen,
    a_response_header_is_decided_on_after_its_body,
    the_setting_is_inherited,
];

const ALLOW: &str = "proxy_wasm_allow_on_headers_stop_iteration on;";

fn by_default_the_body_waits_with_the_header(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = "configure: tick 10
                  request_headers: say held; pause
                  request_body: say body
                  tick: each continue 0";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.post("/", "hello").status(200).body("late");
    ng.log().in_order(&["held", "continue 0 -> 0", "body"]);
}

fn the_body_callback_goes_on_while_the_header_is_held(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = "request_headers: say held; pause
                  request_body: say body {size} {end}; continue 0";
    let ng = Nginx::new(engine).script("/", script, (ALLOW, up.pass())).start();
    ng.post("/", "hello").status(200).body("late");
    ng.log().in_order(&["held", "body 5 true", "continue 0 -> 0"]);
    up.saw_times(1).saw(|req| {
        req.body("hello");
    });
}

fn headers_are_decided_on_after_the_body(engine: Engine) {
    let up = Upstream::new();
    let script = "request_headers: pause
                  request_body: body request 0 100; add request x-body {it}; replace request :path /{it}; continue 0";
    let ng = Nginx::new(engine).script("/", script, (ALLOW, up.pass())).start();
    ng.post("/", "hello").status(200);
    up.saw(|req| {
        req.header("x-body", "hello");
        assert_eq!(req.target(), "/hello");
    });
}

fn a_reply_after_the_body_was_seen(engine: Engine) {
    let up = Upstream::new();
    let script = "request_headers: pause; request_body: body request 0 100; reply 422 {it}";
    let ng = Nginx::new(engine).script("/", script, (ALLOW, up.pass())).start();
    ng.post("/", "hello").status(422).body("hello");
    up.saw_nothing();
}

fn a_response_header_is_decided_on_after_its_body(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "response_headers: pause
                  response_body: collect; at_end body response 0 100; at_end replace response :status 203; \
                  at_end add response x-body {it}; at_end continue 1";
    let ng = Nginx::new(engine).script("/", script, (ALLOW, up.pass())).start();
    ng.get("/").status(203).header("x-body", "hello").body("hello");
}

fn the_setting_is_inherited(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = "request_headers: pause; request_body: continue 0";
    let ng = Nginx::new(engine).http(ALLOW).script("/", script, up.pass()).start();
    ng.post("/", "hello").status(200).body("late");
}
