//! With `proxy_request_buffering off` a request body is seen as it comes, and goes on as filters leave each part of it.

use wasmx_t::{Connection, Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_body_comes_chunk_by_chunk_without_buffering,
    a_body_in_chunks_comes_chunk_by_chunk,
    a_length_that_the_configuration_names_does_not_go_with_chunks,
    a_length_is_told_when_the_whole_is_there_at_once,
    each_part_goes_on_as_it_was_made,
    what_is_held_comes_again_with_what_follows,
    the_upstream_gets_nothing_while_a_part_is_held,
    a_tick_lets_a_held_part_go,
    a_part_held_before_the_last_one_is_let_go,
    the_second_filter_of_a_chain_may_hold,
    an_upstream_that_wants_the_length_is_asked_when_the_body_is_whole,
    a_body_that_was_announced_in_chunks_needs_http_1_1,
    a_header_may_be_changed_with_the_first_part,
    a_location_with_its_own_body_reads_the_whole,
    a_location_whose_upstream_is_a_variable,
    a_content_length_that_was_removed_does_not_end_the_body,
    a_mirror_gets_the_changed_body_too,
    a_slow_body_is_collected_as_long_as_it_comes,
    a_filter_without_a_body_callback_changes_nothing,
    a_second_request_on_the_connection_is_intact,
];

const STREAM: &str = "proxy_request_buffering off; proxy_http_version 1.1;";
const SHOW: &str = "request_body: say piece {size} {end}";

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", script, (STREAM, up.pass())).start()
}

/// A POST whose body of `length` bytes is still to be sent.
fn begin(ng: &Running, length: usize) -> Connection {
    let mut connection = ng.connect();
    connection.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"));
    connection
}

fn a_body_comes_chunk_by_chunk_without_buffering(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, SHOW, &up);
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nfour");
    ng.log().wait("piece 4 false");
    connection.send("more").response().status(200);
    ng.log().wait("piece 4 true");
    ng.log().has_times(2, "piece");
    up.saw(|req| {
        req.body("fourmore").no_header("content-length").header("transfer-encoding", "chunked");
    });
}

fn a_length_that_the_configuration_names_does_not_go_with_chunks(engine: Engine) {
    for variable in ["$http_content_length", "$content_length"] {
        let up = Upstream::new();
        let lines = format!("set $seen \"{variable}\"; proxy_set_header Content-Length {variable};");
        let ng = Nginx::new(engine).script("/", SHOW, (STREAM, lines, up.pass())).start();
        let mut connection = begin(&ng, 8);
        connection.send("four");
        ng.log().wait("piece 4 false");
        connection.send("more").response().status(200);
        up.saw(|req| {
            req.body("fourmore").no_header("content-length").header("transfer-encoding", "chunked");
        });
        // nginx knows the length again.
        connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab").response().status(200);
    }
}

fn a_body_in_chunks_comes_chunk_by_chunk(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, SHOW, &up);
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n");
    ng.log().wait("piece 4 false");
    connection.send("5\r\nthree\r\n");
    ng.log().wait("piece 5 false");
    connection.send("0\r\n\r\n").response().status(200);
    ng.log().wait("piece 0 true");
    ng.log().has_times(3, "piece");
    up.saw(|req| {
        req.body("fourthree").no_header("content-length");
    });
}

fn a_length_is_told_when_the_whole_is_there_at_once(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "request_body: say piece {size} {end}; write request 100 0 !", &up);
    ng.post("/", "hello").status(200);
    ng.log().has_times(1, "piece").has("piece 5 true");
    up.saw(|req| {
        req.body("hello!").header("content-length", "6").no_header("transfer-encoding");
    });
}

fn each_part_goes_on_as_it_was_made(engine: Engine) {
    for (script, expected) in [
        ("write request 0 0 <", "<one<three"),
        ("write request 100 0 >", "one>three>"),
        ("write request 1 1 NN", "oNNetNNree"),
        ("write request 0 100 part", "partpart"),
        ("before_end write request 0 100 ", "three"),
        ("at_end write request 0 100 ", "one"),
        ("write request 0 100 ", ""),
    ] {
        let up = Upstream::new();
        let ng = with(engine, &format!("request_body: say piece; {script}"), &up);
        let mut connection = begin(&ng, 8);
        connection.send("one");
        ng.log().wait("piece");
        connection.send("three").response().status(200);
        up.saw(|req| {
            req.body(expected).no_header("content-length");
        });
    }
}

fn what_is_held_comes_again_with_what_follows(engine: Engine) {
    let up = Upstream::new();
    let script = "request_body: say piece {size} {end}; collect; at_end body request 0 100; at_end write request 0 0 <";
    let ng = with(engine, script, &up);
    let mut connection = begin(&ng, 11);
    connection.send("one");
    ng.log().wait("piece 3 false");
    connection.send("two");
    ng.log().wait("piece 6 false");
    connection.send("three").response().status(200);
    ng.log().has("piece 11 true").has(r#"body request 0 100 -> 0 "onetwothree""#);
    up.saw(|req| {
        req.body("<onetwothree");
    });
}

fn the_upstream_gets_nothing_while_a_part_is_held(engine: Engine) {
    let up = Upstream::new();
    let hold = "request_body: say piece {size} {end}; pause";
    let release = "request_headers: each continue 0";
    let ng =
        Nginx::new(engine).script("/", hold, (STREAM, up.pass())).script("/release", release, "return 204;").start();
    let mut connection = ng.request("POST", "/").body("hello").begin();
    ng.log().wait("piece 5 true");
    up.saw_nothing();
    ng.get("/release").status(204);
    connection.response().status(200);
    up.saw(|req| {
        req.body("hello");
    });
}

fn a_tick_lets_a_held_part_go(engine: Engine) {
    let up = Upstream::new();
    let script = "configure: tick 10; request_body: say piece {size} {end}; pause; tick: each continue 0";
    let ng = with(engine, script, &up);
    for _ in 0..3 {
        let log = ng.log().from_here();
        let mut connection = begin(&ng, 8);
        connection.send("four");
        log.wait("piece 4 false");
        log.wait("continue 0 -> 0");
        connection.send("more").response().status(200);
        up.saw(|req| {
            req.body("fourmore");
        });
    }
}

fn a_part_held_before_the_last_one_is_let_go(engine: Engine) {
    let up = Upstream::new();
    let second = "proxy_wasm script 'request_body: say second {size} {end}';";
    let first = "request_body: say first {size} {end}; collect; at_end continue 0; at_end pause";
    let ng = Nginx::new(engine).script("/", first, (second, STREAM, up.pass())).start();
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("first 4 false");
    connection.send("more").response().status(200);
    ng.log().in_order(&["first 8 true", "second 8 true"]).lacks("second 4");
    up.saw(|req| {
        req.body("fourmore");
    });
}

fn the_second_filter_of_a_chain_may_hold(engine: Engine) {
    let up = Upstream::new();
    let second = "proxy_wasm script 'request_body: say second {size} {end}; collect';";
    let third = "proxy_wasm script 'request_body: say third {size} {end}; write request 0 0 <';";
    let first = "request_body: say first {size} {end}; write request 100 0 1";
    let ng = Nginx::new(engine).script("/", first, ((second, third), STREAM, up.pass())).start();
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("second 5 false");
    connection.send("more").response().status(200);
    ng.log().in_order(&["first 4 false", "second 5 false", "first 4 true", "second 10 true", "third 10 true"]);
    up.saw(|req| {
        req.body("<four1more1");
    });
}

fn an_upstream_that_wants_the_length_is_asked_when_the_body_is_whole(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_request_buffering off; proxy_http_version 1.0;", up.pass());
    let script = "request_body: say piece {size} {end}; write request 0 0 <; at_end say ended";
    let ng = Nginx::new(engine).script("/", script, lines).start();
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("piece 4 false");
    up.saw_nothing();
    connection.send("more").response().status(200);
    ng.log().has("piece 4 true");
    up.saw(|req| {
        req.body("<four<more").header("content-length", "10").no_header("transfer-encoding");
    });
}

fn a_body_that_was_announced_in_chunks_needs_http_1_1(engine: Engine) {
    let up = Upstream::new();
    for (script, expected) in
        [("say piece {size}", "fourmore"), ("say piece {size}; write request 0 0 <", "<four<more<")]
    {
        let lines = ("proxy_request_buffering off; proxy_http_version 1.0;", up.pass());
        let ng = Nginx::new(engine).script("/", &format!("request_body: {script}"), lines).start();
        let mut connection = ng.connect();
        connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n");
        ng.log().wait("piece 4");
        connection.send("4\r\nmore\r\n");
        ng.log().wait_for(2, "piece 4");
        connection.send("0\r\n\r\n").response().status(200);
        up.saw(|req| {
            req.body(expected).header("content-length", &expected.len().to_string()).no_header("transfer-encoding");
        });
    }
}

fn a_header_may_be_changed_with_the_first_part(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "request_body: say piece; add request x-size {size}", &up);
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("piece");
    connection.send("more").response().status(200);
    up.saw(|req| {
        req.body("fourmore");
    });
    ng.post("/", "hello").status(200);
    up.saw(|req| {
        req.header("x-size", "5");
    });
}

fn a_location_with_its_own_body_reads_the_whole(engine: Engine) {
    let up = Upstream::new();
    let lines = (STREAM, "proxy_set_body '<$request_body>';", up.pass());
    let ng = Nginx::new(engine).script("/", "request_body: write request 0 0 .", lines).start();
    let mut connection = begin(&ng, 5);
    connection.send("hello").response().status(200);
    up.saw(|req| {
        req.body("<.hello>");
    });
}

fn a_location_whose_upstream_is_a_variable(engine: Engine) {
    let up = Upstream::new();
    let address = up.address();
    let lines = (STREAM, format!("set $to http://{address}; proxy_pass $to;"));
    let ng = Nginx::new(engine).script("/", SHOW, lines).start();
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("piece 4 false");
    connection.send("more").response().status(200);
    up.saw(|req| {
        req.body("fourmore");
    });
}

fn a_content_length_that_was_removed_does_not_end_the_body(engine: Engine) {
    let up = Upstream::new();
    let script = "request_headers: remove request content-length
                  request_body: say piece {size} {end}; write request 0 0 <";
    let ng = with(engine, script, &up);
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("piece 4 false");
    connection.send("more").response().status(200);
    up.saw(|req| {
        req.body("<four<more").no_header("content-length");
    });
}

fn a_mirror_gets_the_changed_body_too(engine: Engine) {
    let (up, other) = (Upstream::new(), Upstream::new());
    let lines = (STREAM, "mirror /mirror;", up.pass());
    let ng = Nginx::new(engine)
        .script("/", "request_body: say piece {size}; write request 0 0 <", lines)
        .location("/mirror", ("proxy_wasm off; internal;", other.pass()))
        .start();
    let mut connection = begin(&ng, 8);
    connection.send("four");
    ng.log().wait("piece 4");
    connection.send("more").response().status(200);
    for up in [up, other] {
        up.saw(|req| {
            req.body("<four<more").header("content-length", "10");
        });
    }
}

fn a_slow_body_is_collected_as_long_as_it_comes(engine: Engine) {
    let up = Upstream::new();
    let script = "configure: tick 200; tick: say beat; request_body: say piece {size}; collect";
    let ng = Nginx::new(engine).script("/", script, ("send_timeout 2s;", STREAM, up.pass())).start();
    let mut connection = begin(&ng, 8);
    for size in 1..8 {
        connection.send("x");
        ng.log().wait(&format!("piece {size}"));
        ng.log().from_here().wait_for(2, "beat");
    }
    connection.send("x").response().status(200);
    ng.log().lacks("longer than");
    up.saw(|req| {
        req.body("xxxxxxxx");
    });
}

fn a_filter_without_a_body_callback_changes_nothing(engine: Engine) {
    let up = Upstream::new();
    let nginx = Nginx::new(engine).wat("plain", wasmx_t::filter(""));
    let ng = nginx.location("/", ("proxy_wasm plain;", STREAM, up.pass())).start();
    let mut connection = begin(&ng, 8);
    connection.send("four").send("more").response().status(200);
    up.saw(|req| {
        req.body("fourmore").header("content-length", "8");
    });
}

fn a_second_request_on_the_connection_is_intact(engine: Engine) {
    let up = Upstream::new().respond(|req| wasmx_t::Reply::ok(req.bytes()));
    let ng = with(engine, "request_body: write request 100 0 !", &up);
    let mut connection = ng.connect();
    for body in ["one", "three"] {
        let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.send(head + body).response().status(200).body(format!("{body}!"));
    }
}
