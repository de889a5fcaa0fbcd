//! Requests whose body is seen as it comes, and that end before it does.

use wasmx_t::{Connection, Engine, Nginx, Reply, Running, Upstream, eventually};

wasmx_t::on_every_engine![
    a_filter_replies_to_the_first_part,
    a_filter_replies_in_the_middle,
    a_filter_replies_to_a_whole_body_and_keeps_the_connection,
    a_reply_goes_before_error_pages,
    a_tick_replies_while_a_part_is_held,
    a_filter_closes_in_the_middle,
    a_filter_that_fails_ends_the_request,
    a_filter_that_fails_is_skipped_if_it_may_be,
    a_part_that_nobody_lets_go,
    a_client_that_leaves_in_the_middle,
    a_client_that_leaves_while_a_part_is_held,
    a_body_that_is_too_large,
    an_upstream_that_answers_before_the_end,
    an_upstream_that_is_not_there,
];

const STREAM: &str = "proxy_request_buffering off; proxy_http_version 1.1;";

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", script, (STREAM, up.pass())).start()
}

/// A POST whose body of 8 bytes is begun with these.
fn begin(ng: &Running, first: &str) -> Connection {
    let mut connection = ng.connect();
    connection.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n{first}"));
    connection
}

fn a_filter_replies_to_the_first_part(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "request_body: reply 403 no", &up);
    let mut connection = begin(&ng, "four");
    connection.response().status(403).header("connection", "close").body("no");
    let (rest, _) = connection.rest();
    assert!(rest.is_empty(), "{rest:?}");
    up.saw_nothing();
}

fn a_filter_replies_in_the_middle(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "request_body: say piece; at_end reply_with 403 x-why=body no", &up);
    let mut connection = begin(&ng, "four");
    ng.log().wait("piece");
    connection.send("more").response().status(403).header("x-why", "body").body("no");
    // What is behind the body is no request any more.
    let (rest, _) = connection.get("/").rest();
    assert!(rest.is_empty(), "{rest:?}");
}

fn a_filter_replies_to_a_whole_body_and_keeps_the_connection(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "request_body: reply 403 no", &up);
    let mut connection = ng.connect();
    for _ in 0..2 {
        connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
        connection.response().status(403).body("no");
    }
    connection.get("/").response().status(200);
    up.saw_times(1);
}

fn a_reply_goes_before_error_pages(engine: Engine) {
    let up = Upstream::new();
    let lines = (STREAM, "error_page 403 500 502 503 504 /sorry;", up.pass());
    let ng =
        Nginx::new(engine).script("/", "request_body: reply 403 no", lines).location("/sorry", "return 200 sorry;");
    let ng = ng.start();
    begin(&ng, "four").response().status(403).body("no");
    up.saw_nothing();
}

fn a_tick_replies_while_a_part_is_held(engine: Engine) {
    let up = Upstream::new();
    let script = "configure: tick 10; request_body: pause; say piece; tick: each reply 403 no";
    for (first, rest) in [("four", ""), ("four", "more"), ("fourmore", "")] {
        let ng = with(engine, script, &up);
        let mut connection = begin(&ng, first);
        ng.log().wait("piece");
        connection.send(rest).response().status(403).body("no");
        // It may have been asked, as nginx does before the body is there, but it got nothing of that.
        up.saw(|req| {
            req.body("");
        });
    }
}

fn a_filter_closes_in_the_middle(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "trace; request_body: say piece; at_end close 0", &up);
    let mut connection = begin(&ng, "four");
    ng.log().wait("piece");
    connection.send("more").response().nothing();
    ng.log().wait("on delete #");
}

fn a_filter_that_fails_ends_the_request(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "request_body: say piece; at_end trap unreachable", &up);
    let mut connection = begin(&ng, "four");
    ng.log().wait("piece");
    connection.send("more").response().status(500);
    let mut connection = begin(&ng, "fourmore");
    connection.response().status(500);
}

fn a_filter_that_fails_is_skipped_if_it_may_be(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_wasm_failure_policy open;", STREAM, up.pass());
    let script = "request_body: say piece {size}; before_end pause; at_end trap unreachable";
    let ng = Nginx::new(engine).script("/", script, lines).start();
    let mut connection = begin(&ng, "four");
    ng.log().wait("piece 4");
    connection.send("more").response().status(200);
    up.saw(|req| {
        req.body("fourmore");
    });
}

fn a_part_that_nobody_lets_go(engine: Engine) {
    let up = Upstream::new();
    for first in ["four", "fourmore"] {
        let lines = ("send_timeout 200ms;", STREAM, up.pass());
        let ng = Nginx::new(engine).script("/", "request_body: pause", lines).start();
        begin(&ng, first).response().status(504);
        ng.log().has("a filter held the request for longer than");
        up.saw(|req| {
            req.body("");
        });
    }
}

fn a_client_that_leaves_in_the_middle(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "trace; request_body: say piece", &up);
    let connection = begin(&ng, "four");
    ng.log().wait("piece");
    connection.reset();
    ng.log().wait("on delete #");
    ng.log().in_order(&["on done #", "on log #", "on delete #"]).has_times(1, "on delete #");
}

fn a_client_that_leaves_while_a_part_is_held(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "trace; request_body: say piece; pause", &up);
    let connection = begin(&ng, "four");
    ng.log().wait("piece");
    connection.reset();
    ng.log().wait("on delete #");
    ng.log().has_times(1, "on delete #");
}

fn a_body_that_is_too_large(engine: Engine) {
    let up = Upstream::new();
    let lines = ("client_max_body_size 6;", STREAM, up.pass());
    let ng = Nginx::new(engine).script("/", "request_body: say piece {size}; pause", lines).start();
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n");
    ng.log().wait("piece 4");
    connection.send("4\r\nmore\r\n").response().status(413);
}

fn an_upstream_that_answers_before_the_end(engine: Engine) {
    // It looks at the header only.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let upstream = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("nginx");
        let mut seen = [0; 4096];
        let _ = stream.read(&mut seen);
        stream.write_all(b"HTTP/1.1 409 No\r\nContent-Length: 2\r\n\r\nno").expect("an answer");
        let _ = stream.read(&mut seen);
    });
    let script = "request_body: say piece {size}; response_headers: say answered";
    let lines = (STREAM, format!("proxy_pass http://{address};"));
    let ng = Nginx::new(engine).script("/", script, lines).start();
    begin(&ng, "four").response().status(409).body("no");
    ng.log().in_order(&["piece 4", "answered"]);
    drop(ng);
    upstream.join().expect("the upstream");
}

fn an_upstream_that_is_not_there(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("never"));
    let address = up.address();
    drop(up);
    let script = "configure: tick 10; trace; request_body: pause; tick: each continue 0";
    let lines = (STREAM, format!("proxy_pass http://{address};"));
    let ng = Nginx::new(engine).script("/", script, lines).start();
    begin(&ng, "four").response().status(502);
    eventually("the end of the context", || (!ng.log().lines_with("on delete #").is_empty()).then_some(()));
}
