//! Local responses over HTTP/2.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    in_every_callback_before_the_header_has_left,
    while_the_client_still_sends,
    many_streams_get_their_own,
    a_grpc_reply_is_all_header,
    a_grpc_reply_takes_the_place_of_an_upstreams,
    after_the_header_has_left_the_stream_is_closed,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).http2().script("/", script, up.pass()).start()
}

fn in_every_callback_before_the_header_has_left(engine: Engine) {
    let up = Upstream::new().ok("secret");
    for callback in ["request_headers", "request_body", "response_headers", "response_body"] {
        let ng = with(engine, &format!("trace; {callback}: reply_with 403 x-mine=1 no %00"), &up);
        let connection = ng.http2();
        for _ in 0..2 {
            let response = connection.post("/", "body").response();
            response.status(403).header("x-mine", "1").header("content-length", "4").body("no \0");
        }
        ng.log().wait_for(2, "on delete #");
        ng.log().has_times(2, "on done #").has_times(2, "on delete #");
    }
}

fn while_the_client_still_sends(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = with(engine, "trace; request_headers: when x-stop reply 403 no", &up);
    let connection = ng.http2();
    for _ in 0..2 {
        let mut stream = connection.request("POST", "/").header("x-stop", "1").begin();
        stream.send("half");
        stream.response().status(403).body("no");
        drop(stream);
        connection.get("/").response().status(200).body("fine");
    }
    ng.log().wait_for(4, "on delete #");
    ng.log().has_times(4, "on create #").has_times(4, "on delete #").lacks("on request_body #");
}

fn many_streams_get_their_own(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = with(engine, "request_headers: get request x-id; when x-id reply 403 {it}", &up);
    let connection = ng.http2();
    let ask = |id: usize| {
        let request = connection.request("GET", "/");
        if id.is_multiple_of(2) { request.header("x-id", &id.to_string()).send() } else { request.send() }
    };
    let mut streams: Vec<_> = (0..20).map(ask).collect();
    for (id, stream) in streams.iter_mut().enumerate() {
        let response = stream.response();
        if id.is_multiple_of(2) {
            response.status(403).body(id.to_string())
        } else {
            response.status(200).body("up")
        };
    }
}

fn a_grpc_reply_is_all_header(engine: Engine) {
    let up = Upstream::http2();
    let script = "trace; request_headers: grpc_reply 7 not%20you";
    let ng = Nginx::new(engine).http2().script("/", script, up.grpc_pass()).start();
    let connection = ng.http2();
    let request = connection.request("POST", "/service/Method").header("content-type", "application/grpc");
    let mut stream = request.header("te", "trailers").begin();
    stream.send("question").finish();
    assert!(stream.ends_with_header(), "trailers of gRPC without a message come as the header");
    let response = stream.response();
    response.status(200).header("content-type", "application/grpc").header("grpc-status", "7").body("");
    response.header("grpc-message", "not you").trailers_are(&[]);
    up.saw_nothing();
    ng.log().wait("on delete #");
    ng.log().lacks("on response_trailers #");
}

fn a_grpc_reply_takes_the_place_of_an_upstreams(engine: Engine) {
    let up = Upstream::http2().respond(|_| wasmx_t::Reply::ok("secret").trailer("grpc-status", "0"));
    let script = "trace; response_headers: grpc_reply 13 broken";
    let ng = Nginx::new(engine).http2().script("/", script, up.grpc_pass()).start();
    let connection = ng.http2();
    let response = connection.post("/service/Method", "question").response();
    response.status(200).header("grpc-status", "13").header("grpc-message", "broken").body("").trailers_are(&[]);
    connection.post("/service/Method", "question").response().status(200).header("grpc-status", "13");
    ng.log().wait_for(2, "on delete #");
    ng.log().lacks("on response_trailers #").has_times(2, "on delete #");
}

fn after_the_header_has_left_the_stream_is_closed(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "trace; response_body: count; nth 2 reply 403 late";
    let ng = Nginx::new(engine).http2().script("/", script, ("proxy_buffering off;", up.pass())).start();
    let connection = ng.http2();
    let mut stream = connection.get("/");
    tap.send("first ");
    stream.until("first ");
    tap.send("second");
    let response = stream.response();
    response.status(200).cut_off();
    assert_eq!(response.text(), "first ");
    ng.log().wait("a local response came after the response header was sent: closing the stream");
    drop(tap);
    let up = up.ok("fine");
    connection.get("/").response().status(200).body("fine");
    ng.log().wait_for(2, "on delete #");
    ng.log().has_times(2, "on delete #");
    drop(up);
}
