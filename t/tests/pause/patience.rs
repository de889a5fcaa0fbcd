//! How long something is held: no longer than `send_timeout`.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    a_request_that_nobody_lets_go_is_answered,
    a_response_that_nobody_lets_go_ends,
    a_response_that_goes_on_is_left_alone,
];

fn a_request_that_nobody_lets_go_is_answered(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = Nginx::new(engine).script("/", "request_headers: pause", ("send_timeout 100ms;", up.pass())).start();
    ng.get("/").status(504);
    ng.log().has("a filter held the request for longer than \"send_timeout\"");
    up.saw_nothing();
}

fn a_response_that_nobody_lets_go_ends(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = Nginx::new(engine).script("/", "response_headers: pause", ("send_timeout 100ms;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    let (bytes, _) = connection.rest();
    assert!(bytes.is_empty(), "nothing was let go: {}", String::from_utf8_lossy(&bytes));
    ng.log().wait("a filter held the response for longer than \"send_timeout\"");
}

fn a_response_that_goes_on_is_left_alone(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "configure: tick 50; tick: say beat; response_body: say piece {size}; collect";
    let lines = ("send_timeout 200ms; wasm_response_body_buffers 1 4; proxy_buffering off;", up.pass());
    let ng = Nginx::new(engine).script("/", script, lines).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("abc");
    ng.log().wait("piece 3");
    tap.send("defg");
    connection.until("abcdefg");
    // What was held has gone on: time passes, and the response is not given up.
    let log = ng.log().from_here();
    log.wait_for(7, "beat");
    tap.send("hijkl");
    drop(tap);
    let (bytes, _) = connection.rest();
    assert!(String::from_utf8_lossy(&bytes).contains("hijkl"));
    ng.log().lacks("longer than");
}
