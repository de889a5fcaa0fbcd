//! With `proxy_request_buffering off` a request body is seen as it comes.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![a_body_comes_chunk_by_chunk_without_buffering,];

fn a_body_comes_chunk_by_chunk_without_buffering(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_request_buffering off; proxy_http_version 1.1;", up.pass());
    let ng = Nginx::new(engine).script("/", "request_body: say piece {size} {end}", lines).start();
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nfour");
    ng.log().wait("piece 4 false");
    connection.send("more").response().status(200);
    ng.log().wait("true");
    up.saw(|req| {
        req.body("fourmore");
    });
}
