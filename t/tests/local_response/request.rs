//! In the callbacks of the request.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_filter_can_reply_before_the_upstream_is_asked,
    a_filter_can_reply_when_it_has_seen_the_body,
    the_action_after_it_is_ignored,
    a_second_one_is_harmless,
    the_filters_after_it_are_not_asked,
    the_connection_goes_on,
    a_body_that_was_not_read_is_skipped,
    a_tick_can_reply_to_a_paused_request,
    only_some_requests_are_answered,
    the_access_phase_can_reply,
    the_context_ends_as_always,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", script, up.pass()).start()
}

fn a_filter_can_reply_before_the_upstream_is_asked(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = with(engine, "request_headers: reply_with 403 content-type=text/plain,x-why=rules no%0A; pause", &up);
    ng.get("/")
        .status(403)
        .reason("Forbidden")
        .header("content-type", "text/plain")
        .header("x-why", "rules")
        .body("no\n");
    up.saw_nothing();
}

fn a_filter_can_reply_when_it_has_seen_the_body(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = with(engine, "request_body: body request 0 100; reply 422 I saw {it}", &up);
    ng.post("/", "hello").status(422).body("I saw hello");
    up.saw_nothing();
}

fn the_action_after_it_is_ignored(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = with(engine, "request_headers: reply 403 no", &up);
    ng.get("/").status(403).body("no");
    let ng = with(engine, "request_headers: reply 403 no; pause", &up);
    ng.get("/").status(403).body("no");
    up.saw_nothing();
}

fn a_second_one_is_harmless(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = with(engine, "request_headers: reply 403 first; reply 404 second", &up);
    let mut connection = ng.connect();
    for _ in 0..2 {
        let response = connection.get("/").response();
        assert!(response.text() == "first" || response.text() == "second", "{response}");
    }
    up.saw_nothing();
}

fn the_filters_after_it_are_not_asked(engine: Engine) {
    let second = "proxy_wasm script 'request_headers: say asked';";
    let ng = Nginx::new(engine).script("/", "request_headers: reply 403 no", (second, "return 200;")).start();
    ng.get("/").status(403);
    ng.log().lacks("asked");
}

fn the_connection_goes_on(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = with(engine, "request_headers: when x-stop reply 403 no", &up);
    let mut connection = ng.connect();
    for _ in 0..3 {
        connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Stop: 1\r\n\r\n").response().status(403).body("no");
        connection.get("/").response().status(200).body("up");
    }
    up.saw_times(3);
}

fn a_body_that_was_not_read_is_skipped(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = with(engine, "request_headers: when x-stop reply 403 no", &up);
    let mut connection = ng.connect();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Stop: 1\r\nContent-Length: 5\r\n\r\n";
    connection.send(format!("{head}hello")).response().status(403).body("no");
    connection.get("/").response().status(200).body("up");
}

fn a_tick_can_reply_to_a_paused_request(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = with(engine, "configure: tick 10; request_headers: pause; tick: each reply 202 later", &up);
    ng.get("/").status(202).body("later");
    up.saw_nothing();
}

fn only_some_requests_are_answered(engine: Engine) {
    let up = Upstream::new().ok("welcome");
    let ng = with(engine, "request_headers: unless authorization reply_with 401 www-authenticate=Basic who?", &up);
    ng.get("/").status(401).header("www-authenticate", "Basic").body("who?");
    up.saw_nothing();
    ng.request("GET", "/").header("authorization", "Basic me").send().status(200).body("welcome");
    up.saw_times(1);
}

fn the_access_phase_can_reply(engine: Engine) {
    let up = Upstream::new().ok("never");
    let lines = ("proxy_wasm_request_headers_in_access on;", up.pass());
    let ng = Nginx::new(engine).script("/", "request_headers: reply 403 no", lines).start();
    ng.get("/").status(403).body("no");
    up.saw_nothing();
}

fn the_context_ends_as_always(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "trace; request_headers: reply 403 no; log: get response :status", &up);
    ng.get("/").status(403);
    ng.log().wait("on delete #");
    ng.log().in_order(&["on done #", "on log #", r#"get response :status -> 0 "403""#, "on delete #"]);
}
