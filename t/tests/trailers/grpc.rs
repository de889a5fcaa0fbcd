//! gRPC, which has its status in trailers, from end to end.

use wasmx_t::{Engine, Http2, Nginx, Reply, Response, Running, Upstream};

wasmx_t::on_every_engine![
    trailers_are_seen_after_the_body,
    trailers_are_changed,
    a_trailer_is_replaced_by_one,
    all_trailers_are_replaced,
    all_trailers_are_removed,
    the_body_does_not_end_before_trailers,
    an_empty_body_with_trailers_has_no_callback,
    an_answer_that_is_only_a_header_has_no_trailers,
    a_body_of_known_length_does_not_end_before_trailers,
    a_filter_without_the_callback_lets_them_pass,
    filters_see_what_those_before_made_of_them,
    an_http1_client_gets_them_after_the_last_chunk,
    they_are_there_in_the_log_and_cannot_be_changed,
    fields_that_frame_the_message_are_refused,
    variables_follow,
    a_filter_written_with_the_sdk_changes_them,
    an_upstream_that_fails_in_the_middle_has_none,
];

/// An upstream that answers `message` with its status in trailers.
fn upstream() -> Upstream {
    Upstream::http2().respond(|_| grpc("message").trailer("grpc-status", "0").trailer("x-up", "1"))
}

fn grpc(message: &str) -> Reply {
    Reply::ok(message).header("content-type", "application/grpc")
}

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).http2().script("/", script, up.grpc_pass()).start()
}

fn call(connection: &Http2) -> Response {
    let request = connection.request("POST", "/service/Method");
    let mut stream = request.header("content-type", "application/grpc").header("te", "trailers").begin();
    stream.send("question").finish();
    stream.response()
}

fn trailers_are_seen_after_the_body(engine: Engine) {
    let up = upstream();
    let script = "trace; response_trailers: pairs response_trailers; get response_trailers GRPC-Status; \
                  headers response_trailers; get response_trailers x-none";
    let ng = with(engine, script, &up);
    let response = call(&ng.http2());
    response.status(200).body("message").trailers_are(&[("grpc-status", "0"), ("x-up", "1")]);
    up.saw(|seen| {
        seen.body("question").header("te", "trailers");
    });
    ng.log().wait("on delete #");
    ng.log().in_order(&["on response_headers #", "on response_body #", "on response_trailers #", "on done #"]);
    ng.log().has_times(1, "on response_trailers #").has("on response_trailers #").has("size=2 end=true");
    ng.log().has(r#"pairs response_trailers -> 0 "grpc-status=0, x-up=1""#);
    ng.log().has(r#"get response_trailers GRPC-Status -> 0 "0""#).has("get response_trailers x-none -> 1");
}

fn trailers_are_changed(engine: Engine) {
    let script = "response_trailers: replace response_trailers grpc-status 7; add response_trailers X-New a%20b; \
                  add response_trailers x-new c; remove response_trailers x-up; remove response_trailers x-none";
    let up = upstream();
    let ng = with(engine, script, &up);
    let trailers = [("grpc-status", "7"), ("x-new", "a b"), ("x-new", "c")];
    call(&ng.http2()).status(200).body("message").trailers_are(&trailers);
    ng.log().has("remove response_trailers x-none -> 0");
}

fn a_trailer_is_replaced_by_one(engine: Engine) {
    let up = Upstream::http2().respond(|_| grpc("").trailer("a", "1").trailer("b", "2").trailer("a", "3"));
    let ng = with(engine, "response_trailers: replace response_trailers A 4; replace response_trailers c 5", &up);
    let all = call(&ng.http2());
    let mut all: Vec<_> = all.trailers().to_vec();
    all.sort();
    let expected = [("a", "4"), ("b", "2"), ("c", "5")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(all, expected);
}

fn all_trailers_are_replaced(engine: Engine) {
    let up = upstream();
    let ng = with(engine, "response_trailers: set response_trailers grpc-status=5 x-mine=1", &up);
    call(&ng.http2()).trailers_are(&[("grpc-status", "5"), ("x-mine", "1")]);
}

fn all_trailers_are_removed(engine: Engine) {
    let up = upstream();
    let ng = with(engine, "response_trailers: set response_trailers", &up);
    call(&ng.http2()).status(200).body("message").trailers_are(&[]);
}

fn the_body_does_not_end_before_trailers(engine: Engine) {
    let up = Upstream::http2().respond(|_| Reply::chunks(["one", "two"]).trailer("grpc-status", "0"));
    let ng = with(engine, "trace", &up);
    call(&ng.http2()).status(200).body("onetwo").trailers_are(&[("grpc-status", "0")]);
    ng.log().wait("on delete #");
    let bodies = ng.log().lines_with("on response_body #");
    assert!(!bodies.is_empty() && bodies.iter().all(|line| line.contains("end=false")), "{bodies:?}");
}

fn an_empty_body_with_trailers_has_no_callback(engine: Engine) {
    let up = Upstream::http2().respond(|_| grpc("").trailer("grpc-status", "3"));
    let ng = with(engine, "trace", &up);
    call(&ng.http2()).status(200).body("").trailers_are(&[("grpc-status", "3")]);
    ng.log().wait("on delete #");
    ng.log().lacks("on response_body #").has_times(1, "on response_trailers #");
}

fn an_answer_that_is_only_a_header_has_no_trailers(engine: Engine) {
    let up = Upstream::http2().respond(|_| Reply::bare().header("grpc-status", "12").header("grpc-message", "no"));
    let script = "trace; response_headers: get response grpc-status; replace response grpc-status 13; \
                  pairs response_trailers; get response_trailers grpc-status";
    let ng = with(engine, script, &up);
    let response = call(&ng.http2());
    response.status(200).header("grpc-status", "13").header("grpc-message", "no").body("").trailers_are(&[]);
    ng.log().wait("on delete #");
    ng.log().lacks("on response_trailers #").has(r#"get response grpc-status -> 0 "12""#);
    ng.log().has(r#"pairs response_trailers -> 0 """#).has("get response_trailers grpc-status -> 2");
    let end = ng.log().wait("on response_headers #");
    assert!(end.contains("end=true"), "{end}");
}

fn a_body_of_known_length_does_not_end_before_trailers(engine: Engine) {
    let up = Upstream::http2().respond(|_| grpc("message").header("content-length", "7").trailer("grpc-status", "0"));
    let ng = with(engine, "trace", &up);
    call(&ng.http2()).status(200).body("message").trailers_are(&[("grpc-status", "0")]);
    ng.log().wait("on delete #");
    let bodies = ng.log().lines_with("on response_body #");
    assert!(!bodies.is_empty() && bodies.iter().all(|line| line.contains("end=false")), "{bodies:?}");
    ng.log().has_times(1, "on response_trailers #");
}

/// A filter that answers every part of a body with a pause, and has no callback for trailers.
fn a_filter_without_the_callback_lets_them_pass(engine: Engine) {
    let text = "(func (export \"proxy_on_response_body\") (param i32 i32 i32) (result i32) i32.const 1)";
    let nginx = Nginx::new(engine).http2().wat("pauses", wasmx_t::filter(text));
    let up = upstream();
    let ng = nginx.location("/", ("proxy_wasm pauses;", up.grpc_pass())).start();
    // The pause ends with the trailers, which it does not hold.
    call(&ng.http2()).status(200).body("message").trailers_are(&[("grpc-status", "0"), ("x-up", "1")]);
}

fn filters_see_what_those_before_made_of_them(engine: Engine) {
    let second = "proxy_wasm script 'response_trailers: get response_trailers x-up; add response_trailers two {it}';";
    let first = "response_trailers: replace response_trailers x-up one";
    let up = upstream();
    let ng = Nginx::new(engine).http2().script("/", first, (second, up.grpc_pass())).start();
    call(&ng.http2()).trailers_are(&[("grpc-status", "0"), ("x-up", "one"), ("two", "one")]);
}

fn an_http1_client_gets_them_after_the_last_chunk(engine: Engine) {
    let up = upstream();
    let ng = with(engine, "response_trailers: replace response_trailers x-up changed", &up);
    let response = ng.request("POST", "/").header("TE", "trailers").body("question").send();
    response.status(200).header("transfer-encoding", "chunked").body("message");
    response.trailers_are(&[("grpc-status", "0"), ("x-up", "changed")]);
}

fn they_are_there_in_the_log_and_cannot_be_changed(engine: Engine) {
    let script = "log: get response_trailers grpc-status; replace response_trailers grpc-status 1";
    let up = upstream();
    let ng = with(engine, script, &up);
    call(&ng.http2()).trailers_are(&[("grpc-status", "0"), ("x-up", "1")]);
    ng.log().wait("replace response_trailers grpc-status 1 -> 2");
    ng.log().has(r#"get response_trailers grpc-status -> 0 "0""#);
}

fn fields_that_frame_the_message_are_refused(engine: Engine) {
    let script = "response_trailers: add response_trailers content-length 7; \
                  replace response_trailers Transfer-Encoding chunked; add response_trailers :status 500; \
                  set response_trailers grpc-status=1 connection=close; add response_trailers x-a b%0D%0Ac";
    let up = upstream();
    let ng = with(engine, script, &up);
    call(&ng.http2()).body("message").trailers_are(&[("grpc-status", "0"), ("x-up", "1")]);
    let refused = ["content-length 7", "Transfer-Encoding chunked", ":status 500", "connection=close", "x-a b%0D%0Ac"];
    for field in refused {
        ng.log().has(&format!("{field} -> 2"));
    }
}

fn variables_follow(engine: Engine) {
    let format = (
        "log_format trailers '$sent_trailer_grpc_status $sent_trailer_x_new';",
        "access_log logs/access.log trailers;",
    );
    let script = "response_trailers: replace response_trailers grpc-status 7; add response_trailers x-new 1";
    let up = upstream();
    let ng = Nginx::new(engine).http(format).http2().script("/", script, up.grpc_pass()).start();
    call(&ng.http2()).body("message");
    ng.file_log("logs/access.log").wait("7 1");
}

fn a_filter_written_with_the_sdk_changes_them(engine: Engine) {
    let up = Upstream::http2().respond(|_| grpc("message").trailer("grpc-status", "0").trailer("x-secret", "1"));
    let nginx = Nginx::new(engine).http2().wasm("sdk", wasmx_t::guest("sdk"));
    let ng = nginx.location("/", ("proxy_wasm sdk hello;", up.grpc_pass())).start();
    let trailers = [("grpc-status", "0"), ("x-greeting", "hello"), ("x-status", "0")];
    call(&ng.http2()).status(200).body("message").trailers_are(&trailers);
    ng.log().has("2 response trailers, 2 listed");
}

fn an_upstream_that_fails_in_the_middle_has_none(engine: Engine) {
    let up = Upstream::http2();
    let ng = with(engine, "trace", &up);
    let connection = ng.http2();
    for _ in 0..2 {
        let tap = up.raw_tap();
        let mut stream = connection.get("/");
        tap.send("half");
        stream.until("half");
        drop(tap);
        stream.response().status(200).cut_off();
    }
    ng.log().wait_for(2, "on delete #");
    ng.log().lacks("on response_trailers #").has_times(2, "on delete #");
}
