//! What the client says arrives, and what it asserts can fail.

use wasmx_t::{Nginx, Reply, Upstream};

#[test]
fn a_response_is_read_whole() {
    let ng = Nginx::plain().location("/", "add_header x-a 1; add_header x-a 2; return 201 made;").start();
    ng.get("/").status(201).reason("Created").headers("x-a", &["1", "2"]).no_header("x-b").body("made");
    ng.request("HEAD", "/").send().status(201).body("");
}

#[test]
fn the_upstream_sees_what_nginx_sends() {
    let up = Upstream::new().ok("from upstream");
    let ng = Nginx::plain().location("/", up.pass()).start();
    ng.request("PUT", "/a?b=c").header("x-a", "1").chunked(["he", "llo"]).send().status(200).body("from upstream");
    up.saw(|req| {
        assert_eq!((req.method(), req.target()), ("PUT", "/a?b=c"));
        req.header("x-a", "1").no_header("x-b").body("hello");
    });
    up.saw_times(1);
}

#[test]
fn an_upstream_answers_in_chunks_and_with_a_status() {
    let up = Upstream::new().respond(|_| Reply::chunks(["a", "bc"]).status(404).header("x-up", "1"));
    let ng = Nginx::plain().location("/", up.pass()).start();
    ng.get("/").status(404).header("x-up", "1").header("transfer-encoding", "chunked").body("abc");
}

#[test]
fn a_tap_gives_a_body_piece_by_piece() {
    let up = Upstream::new();
    let tap = up.tap();
    let ng = Nginx::plain().location("/", ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("one ");
    connection.until("one ");
    tap.send("two");
    drop(tap);
    let (rest, in_order) = connection.rest();
    assert!(in_order && String::from_utf8_lossy(&rest).contains("two"), "{rest:?}");
}

#[test]
fn a_connection_stays_open() {
    let ng = Nginx::plain().location("/", "return 200 $request_uri;").start();
    let mut connection = ng.connect();
    connection.get("/1").response().status(200).body("/1");
    connection.get("/2").response().status(200).body("/2");
}

#[test]
fn a_response_that_is_cut_off_is_noticed() {
    let up = Upstream::new().raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    let ng = Nginx::plain().location("/", ("proxy_buffering off;", up.pass())).start();
    ng.get("/").status(200).cut_off();
}

#[test]
fn a_closed_connection_is_no_response() {
    let ng = Nginx::plain().location("/", "return 444;").start();
    ng.get("/").nothing();
}

#[test]
#[should_panic(expected = "status")]
fn a_wrong_status_fails() {
    let ng = Nginx::plain().location("/", "return 200;").start();
    ng.get("/").status(201);
}

#[test]
#[should_panic(expected = "header x-a")]
fn a_missing_header_fails() {
    let ng = Nginx::plain().location("/", "return 200;").start();
    ng.get("/").header("x-a", "1");
}
