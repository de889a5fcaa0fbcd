//! Trailers of requests: no nginx keeps them.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![a_request_has_none, over_http2_they_end_the_connection];

fn a_request_has_none(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let script = "trace; request_body: get request_trailers x-sum; add request_trailers x-sum 1; \
                  pairs request_trailers; headers request_trailers";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    let mut connection = ng.connect();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.send(format!("{head}5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n")).response().status(200).body("fine");
    connection.get("/").response().status(200);
    ng.log().wait_for(2, "on delete #");
    ng.log().lacks("on request_trailers #").has("size=5 end=true");
    ng.log().has("get request_trailers x-sum -> 2").has("add request_trailers x-sum 1 -> 2");
    ng.log().has(r#"pairs request_trailers -> 0 """#).has("headers request_trailers -> 2");
}

fn over_http2_they_end_the_connection(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = Nginx::new(engine).http2().script("/", "trace", up.pass()).start();
    let connection = ng.http2();
    let mut stream = connection.request("POST", "/").begin();
    ng.log().wait("on request_headers #");
    stream.send("hello").finish_with("x-sum", "1");
    stream.response().nothing();
    ng.log().wait("on delete #");
    ng.log().has_times(1, "on create #").has_times(1, "on delete #").lacks("on request_trailers #");
    ng.http2().get("/").response().status(200).body("fine");
}
