//! Trailers after bodies that the client cannot take at once.

use wasmx_t::{Engine, Nginx, Reply, Response, Running, Upstream};

wasmx_t::on_every_engine![
    after_a_large_message,
    after_a_large_message_that_is_held,
    after_a_large_file,
    after_a_compressed_body,
];

fn text() -> String {
    (0..400_000).map(|number| format!("{number:07}\n")).collect()
}

/// What clients get that begin to read late, over both versions of HTTP.
fn late_readers(ng: &Running, wait_for: &str, check: impl Fn(&Response)) {
    let log = ng.log().from_here();
    let mut connection = ng.request("GET", "/file").begin();
    log.wait(wait_for);
    check(&connection.response());
    let log = ng.log().from_here();
    let connection = ng.http2();
    let mut stream = connection.get("/file");
    log.wait(wait_for);
    check(&stream.response());
}

fn grpc(engine: Engine, script: &str) {
    let (body, expected) = (text(), text());
    let up = Upstream::http2().respond(move |_| Reply::ok(&body).trailer("grpc-status", "0"));
    let lines = ("grpc_buffer_size 16k; wasm_response_body_buffers 8 1m;", up.grpc_pass());
    let ng = Nginx::new(engine).http2().script("/", script, lines).start();
    late_readers(&ng, "on response_headers #", |response| {
        response.status(200).body(&expected).trailers_are(&[("grpc-status", "7")]);
    });
}

fn after_a_large_message(engine: Engine) {
    grpc(engine, "trace; response_trailers: replace response_trailers grpc-status 7");
}

fn after_a_large_message_that_is_held(engine: Engine) {
    let script = "trace; configure: tick 10; tick: each continue 1; response_headers: pause; response_body: collect; \
                  response_trailers: replace response_trailers grpc-status 7; pause";
    grpc(engine, script);
}

fn after_a_large_file(engine: Engine) {
    let script = "trace; response_headers: add response_trailers x-sum 1; \
                  response_trailers: replace response_trailers x-sum 2";
    let ng = Nginx::new(engine).http2().file("html/file", text()).script("/", script, "root html;").start();
    late_readers(&ng, "on response_body #", |response| {
        response.status(200).body(text()).trailers_are(&[("x-sum", "2")]);
    });
}

fn after_a_compressed_body(engine: Engine) {
    let up = Upstream::http2().respond(|_| Reply::ok(text()).trailer("grpc-status", "0"));
    let lines = ("gzip on; gzip_types *; gzip_min_length 0; gunzip off;", up.grpc_pass());
    let script = "trace; response_trailers: replace response_trailers grpc-status 7";
    let ng = Nginx::new(engine).http2().script("/", script, lines).start();
    let connection = ng.http2();
    let response = connection.request("GET", "/").header("accept-encoding", "gzip").send().response();
    response.status(200).header("content-encoding", "gzip").trailers_are(&[("grpc-status", "7")]);
    let response = ng.request("GET", "/").header("accept-encoding", "gzip").send();
    response.status(200).header("content-encoding", "gzip").trailers_are(&[("grpc-status", "7")]);
    assert!(response.text().len() < text().len());
}
