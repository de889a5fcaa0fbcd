//! Response bodies.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_body_is_replaced,
    a_body_gets_an_end,
    a_body_gets_a_beginning,
    a_body_is_spliced,
    a_body_is_emptied,
    the_length_is_right_or_left_out,
    a_body_that_is_not_changed_arrives,
    pieces_are_seen_as_they_come,
    two_filters_change_one_body_in_order,
    a_head_request_has_no_body,
    a_response_without_a_body_has_none,
    the_client_is_sent_nothing_twice,
    an_old_client_gets_a_changed_body,
    the_header_callback_knows_whether_a_body_comes,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", &format!("response_body: {script}"), up.pass()).start()
}

/// What the client gets of `hello`: from nginx itself, and proxied. As its length is known, it comes with its end in both.
fn becomes(engine: Engine, script: &str, expected: &str) {
    let up = Upstream::new().ok("hello");
    let ng = Nginx::new(engine)
        .script("/own", &format!("response_body: {script}"), "return 200 hello;")
        .script("/proxied", &format!("response_body: {script}"), up.pass())
        .start();
    ng.get("/own").status(200).body(expected);
    ng.get("/proxied").status(200).body(expected);
}

fn a_body_is_replaced(engine: Engine) {
    becomes(engine, "write response 0 5 new text", "new text");
    becomes(engine, "write response 0 0xffffffff new", "new");
}

fn a_body_gets_an_end(engine: Engine) {
    becomes(engine, "write response 5 0 , world", "hello, world");
    becomes(engine, "write response 100 1 , world", "hello, world");
}

fn a_body_gets_a_beginning(engine: Engine) {
    becomes(engine, "write response 0 0 oh%20", "oh hello");
}

fn a_body_is_spliced(engine: Engine) {
    becomes(engine, "write response 1 3 ipp", "hippo");
    becomes(engine, "write response 1 0 XX", "hXXello");
    becomes(engine, "write response 4 100 !", "hell!");
}

fn a_body_is_emptied(engine: Engine) {
    becomes(engine, "write response 0 100 ", "");
}

fn the_length_is_right_or_left_out(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let ng = with(engine, "at_end write response 100 0 , world", &up);
    let mut connection = ng.connect();
    for _ in 0..2 {
        let response = connection.get("/").response();
        response.status(200).body("hello, world");
        if let Some(length) = response.value("content-length") {
            assert_eq!(length, "12");
        }
    }
}

fn a_body_that_is_not_changed_arrives(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let ng = with(engine, "body response 0 100", &up);
    ng.get("/").status(200).body("hello");
    ng.log().has(r#"body response 0 100 -> 0 "hello""#);
}

fn pieces_are_seen_as_they_come(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "response_body: say piece {size} {end}; before_end body response 0 100";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("one");
    connection.until("one");
    ng.log().wait("piece 3 false");
    tap.send("three");
    connection.until("three");
    ng.log().wait("piece 5 false");
    drop(tap);
    ng.log().wait("true");
    ng.log().has(r#"body response 0 100 -> 0 "three""#);
}

fn two_filters_change_one_body_in_order(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let second = "proxy_wasm script 'response_body: at_end write response 1000 0 2';";
    let first = "response_body: at_end write response 1000 0 1";
    let ng = Nginx::new(engine).script("/", first, (second, up.pass())).start();
    ng.get("/").body("hello12");
}

fn a_head_request_has_no_body(engine: Engine) {
    let up = Upstream::new().raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    let ng = with(engine, "at_end write response 0 0 new", &up);
    let mut connection = ng.connect();
    connection.send("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (bytes, in_order) = connection.rest();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(in_order && text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"), "{text}");
}

fn a_response_without_a_body_has_none(engine: Engine) {
    let script = "response_body: at_end write response 0 0 new";
    let ng = Nginx::new(engine).script("/", script, "return 204;").start();
    let mut connection = ng.connect();
    connection.get("/").response().status(204);
    connection.get("/").response().status(204);
}

fn the_client_is_sent_nothing_twice(engine: Engine) {
    let body: String = (0..100_000).map(|number| format!("{number:05}\n")).collect();
    let up = Upstream::new().ok(&body);
    let ng = with(engine, "at_end write response 0xffffffff 0 end", &up);
    ng.get("/").status(200).body(body + "end");
}

fn an_old_client_gets_a_changed_body(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let ng = with(engine, "at_end write response 100 0 , world", &up);
    let mut connection = ng.connect();
    connection
        .send("GET / HTTP/1.0\r\n\r\n")
        .response()
        .status(200)
        .no_header("transfer-encoding")
        .body("hello, world");
}

fn the_header_callback_knows_whether_a_body_comes(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "response_headers: get request :path; say {it} {end}";
    let ng = Nginx::new(engine).script("/none", script, "return 204;").script("/some", script, up.pass()).start();
    ng.get("/none").status(204);
    ng.get("/some").status(200);
    ng.log().has("/none true").has("/some false");
}
