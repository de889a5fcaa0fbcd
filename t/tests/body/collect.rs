//! A pause in `on_response_body` collects.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    a_pause_collects_the_whole,
    a_pause_collects_what_comes_in_chunks,
    a_pause_collects_no_more_than_the_buffers,
    the_connection_ends_after_what_was_collected,
    headers_may_still_be_changed_while_the_body_is_collected,
];

fn a_pause_collects_the_whole(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "response_body: say piece {size} {end}; collect; at_end body response 0 100; \
                  at_end write response 0 100 <{it}>";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("one ");
    ng.log().wait("piece 4 false");
    tap.send("two");
    drop(tap);
    connection.response().status(200).body("<one two>");
    ng.log().has("piece 7 true");
}

fn a_pause_collects_no_more_than_the_buffers(engine: Engine) {
    let body: String = (0..5_000).map(|number| format!("{number:04}")).collect();
    let up = Upstream::new().ok(&body);
    let lines = ("wasm_response_body_buffers 2 1k; proxy_buffering off; proxy_buffer_size 1k;", up.pass());
    let ng = Nginx::new(engine).script("/", "response_body: say piece {size} {end}; collect", lines).start();
    ng.get("/").status(200).body(&body);
    let pieces = ng.log().lines_with("piece ");
    let largest =
        pieces.iter().filter_map(|line| line.split("piece ").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    let largest = largest.max().unwrap_or_default();
    assert!(largest < body.len(), "a pause held {largest} bytes where there are buffers for 2048");
}

fn headers_may_still_be_changed_while_the_body_is_collected(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "response_headers: remove response content-length; pause
                  response_body: collect; at_end add response x-size {size}; at_end continue 1";
    let lines = ("proxy_wasm_allow_on_headers_stop_iteration on;", up.pass());
    let ng = Nginx::new(engine).script("/", script, lines).start();
    ng.get("/").status(200).header("x-size", "5").body("hello");
}

fn a_pause_collects_what_comes_in_chunks(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::chunks(["he", "llo"]));
    let script = "response_body: collect; at_end body response 0 100; at_end write response 0 100 <{it}>";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(200).body("<hello>");
}

fn the_connection_ends_after_what_was_collected(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "response_body: say piece {size} {end}; collect";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("one ");
    ng.log().wait("piece 4 false");
    tap.send("two");
    drop(tap);
    let (bytes, in_order) = connection.rest();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(in_order && text.ends_with("\r\n0\r\n\r\n") && text.contains("one two"), "{text}");
}
