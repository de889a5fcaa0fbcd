//! Trailers that are held, and with them the end of the response.

use wasmx_t::{Engine, Http2, Nginx, Reply, Response, Running, Upstream};

wasmx_t::on_every_engine![
    a_pause_holds_the_end_until_a_tick_lets_it_go,
    a_continue_in_the_same_callback_holds_nothing,
    the_filters_after_it_wait_too,
    a_held_body_goes_before_them,
    a_body_that_waits_for_its_end_goes_with_them,
    a_held_body_is_changed_with_the_trailers,
    a_held_body_is_changed_while_the_trailers_are_held,
    a_held_header_goes_before_all,
    nobody_lets_them_go,
    a_client_that_leaves_ends_the_context,
    a_local_response_comes_too_late,
    a_trap_ends_the_stream,
];

fn upstream() -> Upstream {
    Upstream::http2().respond(|_| Reply::chunks(["one", "two"]).trailer("grpc-status", "0"))
}

fn with(engine: Engine, script: &str, lines: &str) -> (Running, Upstream) {
    let up = upstream();
    let lines = (lines, up.grpc_pass());
    (Nginx::new(engine).http2().script("/", script, lines).start(), up)
}

fn call(connection: &Http2) -> Response {
    connection.post("/", "question").response()
}

fn whole(response: &Response) {
    response.status(200).body("onetwo").trailers_are(&[("grpc-status", "0")]);
}

const LET_GO: &str = "configure: tick 10; tick: each continue 1";

fn a_pause_holds_the_end_until_a_tick_lets_it_go(engine: Engine) {
    let script = format!("{LET_GO}; response_trailers: say held; pause");
    let (ng, _up) = with(engine, &script, "");
    whole(&call(&ng.http2()));
    ng.log().in_order(&["held", "continue 1 -> 0"]);
    let response = ng.post("/", "question");
    whole(&response);
    response.header("transfer-encoding", "chunked");
}

fn a_continue_in_the_same_callback_holds_nothing(engine: Engine) {
    let (ng, _up) = with(engine, "response_trailers: continue 1; pause", "");
    whole(&call(&ng.http2()));
}

fn the_filters_after_it_wait_too(engine: Engine) {
    let second = "proxy_wasm script 'response_trailers: say second; add response_trailers two 2';";
    let (ng, _up) = with(engine, &format!("{LET_GO}; response_trailers: say first; pause"), second);
    call(&ng.http2()).body("onetwo").trailers_are(&[("grpc-status", "0"), ("two", "2")]);
    ng.log().in_order(&["first", "continue 1 -> 0", "second"]);
}

fn a_held_body_goes_before_them(engine: Engine) {
    let second = "proxy_wasm script 'response_body: say second body; response_trailers: say second trailers';";
    let first = format!("{LET_GO}; response_body: pause; response_trailers: say first; pause");
    let (ng, _up) = with(engine, &first, second);
    whole(&call(&ng.http2()));
    ng.log().in_order(&["second body", "second trailers"]);
}

fn a_body_that_waits_for_its_end_goes_with_them(engine: Engine) {
    let second = "proxy_wasm script 'response_body: say second {size}; response_trailers: say second trailers';";
    let (ng, _up) = with(engine, "response_body: collect; response_trailers: say first trailers", second);
    whole(&call(&ng.http2()));
    ng.log().in_order(&["first trailers", "second 6", "second trailers"]);
}

fn a_held_body_is_changed_with_the_trailers(engine: Engine) {
    let script = "response_body: collect; \
                  response_trailers: body response 0 100; write response 0 0 new%20; write response 100 0 {it}";
    let (ng, _up) = with(engine, script, "");
    call(&ng.http2()).status(200).body("new onetwoonetwo").trailers_are(&[("grpc-status", "0")]);
}

fn a_held_body_is_changed_while_the_trailers_are_held(engine: Engine) {
    // In an instance of its own, whose contexts the tick does not reach.
    let second = "proxy_wasm other 'response_body: collect; response_trailers: write response 100 0 2';";
    let first = "tick: each continue 1; response_body: collect; \
                 response_trailers: write response 100 0 1; tick 10; pause";
    let up = upstream();
    let nginx = Nginx::new(engine).http2().wasm("other", wasmx_t::guest("script"));
    let ng = nginx.script("/", first, (second, up.grpc_pass())).start();
    call(&ng.http2()).status(200).body("onetwo12").trailers_are(&[("grpc-status", "0")]);
}

fn a_held_header_goes_before_all(engine: Engine) {
    let first = "configure: tick 10; tick: each continue 1; response_headers: pause; response_trailers: say trailers";
    let (ng, _up) = with(engine, first, "");
    whole(&call(&ng.http2()));
    ng.log().in_order(&["continue 1 -> 0", "trailers"]);
    let alone = "proxy_wasm_allow_on_headers_stop_iteration on;";
    let script = "response_headers: pause; response_body: pause; \
                  response_trailers: get response_trailers grpc-status; replace response x-status {it}";
    let (ng, _up) = with(engine, script, alone);
    let response = call(&ng.http2());
    whole(&response);
    response.header("x-status", "0");
}

fn nobody_lets_them_go(engine: Engine) {
    let (ng, _up) = with(engine, "trace; response_trailers: pause", "send_timeout 200ms;");
    call(&ng.http2()).status(200).cut_off();
    ng.log().wait("a filter held the response for longer");
    ng.log().wait("on delete #");
    ng.post("/", "question").status(200).cut_off();
}

fn a_client_that_leaves_ends_the_context(engine: Engine) {
    let (ng, _up) = with(engine, "trace; response_trailers: pause", "");
    let connection = ng.http2();
    let mut stream = connection.get("/");
    stream.until("two");
    ng.log().wait("on response_trailers #");
    stream.reset();
    ng.log().wait("on delete #");
    ng.log().has_times(1, "on done #").has_times(1, "on log #").has_times(1, "on delete #");
    let log = ng.log().from_here();
    let mut connection = ng.request("GET", "/").begin();
    connection.until("two");
    log.wait("on response_trailers #");
    connection.reset();
    log.wait("on delete #");
    log.has_times(1, "on done #").has_times(1, "on log #").has_times(1, "on delete #");
}

fn a_local_response_comes_too_late(engine: Engine) {
    let (ng, _up) = with(engine, "response_trailers: reply 403 late", "");
    let connection = ng.http2();
    call(&connection).status(200).cut_off();
    ng.log().wait("a local response came after the response header was sent");
    // The connection is none the worse for it.
    call(&connection).status(200).cut_off();
}

fn a_trap_ends_the_stream(engine: Engine) {
    let (ng, _up) = with(engine, "response_trailers: trap unreachable", "");
    call(&ng.http2()).status(200).cut_off();
    let (ng, _up) = with(engine, "response_trailers: trap unreachable", "proxy_wasm_failure_policy open;");
    whole(&call(&ng.http2()));
}
