//! `proxy_wasm_failure_policy`.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    closed_answers_500_and_asks_nobody,
    closed_is_the_default,
    open_skips_the_filter,
    open_keeps_the_other_filters,
    open_goes_on_after_a_trap_in_the_body,
    open_lets_the_response_through,
    a_failure_is_one_line_in_the_log,
    a_failed_response_header_is_a_500,
    after_the_header_has_left_the_connection_is_reset,
];

const BOOM: &str = "request_headers: when x-boom trap unreachable; add request x-first 1";

fn closed_answers_500_and_asks_nobody(engine: Engine) {
    let up = Upstream::new().ok("up");
    let lines = ("proxy_wasm_failure_policy closed;", up.pass());
    let ng = Nginx::new(engine).script("/", BOOM, lines).start();
    ng.request("GET", "/").header("x-boom", "1").send().status(500);
    up.saw_nothing();
    ng.get("/").status(200).body("up");
}

fn closed_is_the_default(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = Nginx::new(engine).script("/", BOOM, up.pass()).start();
    ng.request("GET", "/").header("x-boom", "1").send().status(500);
    up.saw_nothing();
}

fn open_skips_the_filter(engine: Engine) {
    let up = Upstream::new().ok("up");
    let lines = ("proxy_wasm_failure_policy open;", up.pass());
    let ng = Nginx::new(engine).script("/", BOOM, lines).start();
    ng.request("POST", "/").header("x-boom", "1").body("hello").send().status(200).body("up");
    up.saw(|req| {
        req.no_header("x-first").body("hello");
    });
    ng.get("/").status(200);
    up.saw(|req| {
        req.header("x-first", "1");
    });
}

fn open_keeps_the_other_filters(engine: Engine) {
    let up = Upstream::new().ok("up");
    let second =
        "proxy_wasm other 'request_headers: add request x-second 1; response_headers: add response x-second 1';";
    let lines = (second, "proxy_wasm_failure_policy open;", up.pass());
    let nginx = Nginx::new(engine).wasm("other", wasmx_t::guest("script"));
    let ng = nginx.script("/", BOOM, lines).start();
    ng.request("GET", "/").header("x-boom", "1").send().status(200).header("x-second", "1");
    up.saw(|req| {
        req.no_header("x-first").header("x-second", "1");
    });
}

fn open_goes_on_after_a_trap_in_the_body(engine: Engine) {
    let up = Upstream::new().ok("up");
    let lines = ("proxy_wasm_failure_policy open;", up.pass());
    let ng = Nginx::new(engine).script("/", "request_body: trap unreachable", lines).start();
    ng.post("/", "hello").status(200).body("up");
    up.saw(|req| {
        req.body("hello");
    });
}

fn open_lets_the_response_through(engine: Engine) {
    let up = Upstream::new().ok("up");
    let open = "proxy_wasm_failure_policy open;";
    let ng = Nginx::new(engine)
        .script("/header", "response_headers: trap unreachable", (open, up.pass()))
        .script("/body", "response_body: trap unreachable", (open, up.pass()))
        .start();
    ng.get("/header").status(200).body("up");
    ng.get("/body").status(200).body("up");
}

fn a_failure_is_one_line_in_the_log(engine: Engine) {
    for policy in ["closed", "open"] {
        let lines = format!("proxy_wasm_failure_policy {policy}; return 200;");
        let ng = Nginx::new(engine).script("/", BOOM, lines).start();
        ng.request("GET", "/").header("x-boom", "1").send();
        ng.stop();
        // The trap itself, and what was made of it.
        let errors = ng.log().lines_with("[error]");
        assert_eq!(errors.iter().filter(|line| line.contains("unreachable")).count(), 1, "{policy}: {errors:#?}");
        assert!(errors.len() <= 2, "{policy}: {errors:#?}");
    }
}

fn a_failed_response_header_is_a_500(engine: Engine) {
    let up = Upstream::new().ok("secret");
    let ng = Nginx::new(engine).script("/", "response_headers: trap unreachable", up.pass()).start();
    let response = ng.get("/");
    response.status(500);
    assert!(!response.text().contains("secret"), "{response}");
}

fn after_the_header_has_left_the_connection_is_reset(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "response_body: count; nth 2 trap unreachable";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tap.send("first ");
    connection.until("first ");
    tap.send("second");
    let (rest, _) = connection.rest();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    // Neither the piece nor the end of the chunks: nobody can take this for the whole.
    assert!(!rest.contains("second") && !rest.ends_with("0\r\n\r\n"), "{rest:?}");
    drop(tap);
}
