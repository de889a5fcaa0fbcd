//! In the callbacks of the response.

use wasmx_t::{Engine, Nginx, Reply, Running, Upstream};

wasmx_t::on_every_engine![
    a_reply_takes_the_place_of_the_upstreams,
    a_reply_takes_the_place_of_nginxs_own,
    a_reply_takes_the_place_of_a_large_response,
    a_reply_takes_the_place_of_a_switch_of_protocols,
    a_tick_answers_in_the_place_of_a_held_response,
    a_reply_in_the_body_takes_its_place,
    the_filters_after_it_are_not_asked,
    a_grpc_reply_takes_the_place_of_the_upstreams,
    after_the_end_it_does_nothing,
    after_the_header_has_left_the_stream_is_closed,
    the_connection_goes_on,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", script, up.pass()).start()
}

fn a_reply_takes_the_place_of_the_upstreams(engine: Engine) {
    let up = Upstream::new().respond(|_| {
        Reply::ok("secret").header("x-up", "1").header("etag", "\"1\"").header("content-type", "text/x-up")
    });
    let ng = with(engine, "response_headers: reply_with 502 x-mine=1 blocked", &up);
    let response = ng.get("/");
    response.status(502).header("x-mine", "1").no_header("x-up").no_header("etag").body("blocked");
    assert_ne!(response.value("content-type"), Some("text/x-up"), "{response}");
}

fn a_reply_takes_the_place_of_nginxs_own(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "secret");
    let ng = nginx.script("/", "response_headers: reply 451 blocked", "root html;").start();
    ng.get("/file").status(451).no_header("last-modified").no_header("etag").body("blocked");
    ng.get("/not/there").status(451).body("blocked");
}

fn a_reply_takes_the_place_of_a_large_response(engine: Engine) {
    let up = Upstream::new().ok("secret".repeat(100_000));
    for buffering in ["on", "off"] {
        let lines = (format!("proxy_buffering {buffering};"), up.pass());
        let ng = Nginx::new(engine).script("/", "response_headers: reply 502 blocked", lines).start();
        ng.get("/").status(502).body("blocked");
    }
}

fn a_reply_takes_the_place_of_a_switch_of_protocols(engine: Engine) {
    let up = Upstream::new().raw("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\nsecret");
    let lines = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let script = "trace; response_headers: reply 403 no";
    let ng = Nginx::new(engine).script("/", script, (lines, up.pass())).start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n");
    connection.response().status(403).no_header("upgrade").body("no");
    drop(connection);
    ng.log().wait("on delete #");
    ng.log().has_times(1, "on done #").has_times(1, "on delete #");
}

fn a_tick_answers_in_the_place_of_a_held_response(engine: Engine) {
    let up = Upstream::new().ok("secret");
    for callback in ["response_headers", "response_body"] {
        let script = format!("trace; {callback}: tick 10; pause; tick: each reply_with 502 x-mine=1 no; tick 0");
        let ng = with(engine, &script, &up);
        let mut connection = ng.connect();
        for _ in 0..2 {
            connection.get("/").response().status(502).header("x-mine", "1").body("no");
        }
        ng.log().wait_for(2, "on delete #");
        ng.log().has_times(2, "on done #").has_times(2, "on delete #");
    }
}

fn a_reply_in_the_body_takes_its_place(engine: Engine) {
    let up = Upstream::new().ok("secret");
    // A response of known length has not left before the filters have seen the first of its body.
    let ng = with(engine, "response_body: body response 0 3; reply 502 no {it}", &up);
    let mut connection = ng.connect();
    for _ in 0..2 {
        connection.get("/").response().status(502).header("content-length", "6").body("no sec");
    }
}

fn the_filters_after_it_are_not_asked(engine: Engine) {
    let up = Upstream::new().ok("secret");
    let second = "proxy_wasm script 'response_headers: say second; response_body: say second';";
    let first = "trace; response_headers: reply 502 no";
    let ng = Nginx::new(engine).script("/", first, (second, up.pass())).start();
    ng.get("/").status(502).body("no");
    ng.log().wait_for(1, "on delete #");
    ng.log().lacks("second,");
}

fn a_grpc_reply_takes_the_place_of_the_upstreams(engine: Engine) {
    let up = Upstream::new().ok("secret");
    let ng = with(engine, "response_headers: grpc_reply 14 later", &up);
    let response = ng.get("/");
    response.status(200).header("content-type", "application/grpc").header("grpc-status", "14");
    response.header("grpc-message", "later").body("");
}

fn after_the_end_it_does_nothing(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = with(engine, "trace; done: reply 403 late; log: reply 403 later", &up);
    let mut connection = ng.connect();
    for _ in 0..2 {
        connection.get("/").response().status(200).body("up");
    }
    ng.log().wait_for(2, "on delete #");
    ng.log().has("reply 403 late -> ").has("reply 403 later -> ").has_times(2, "on delete #");
}

fn after_the_header_has_left_the_stream_is_closed(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    // The first piece goes out; to the second the filter answers with a reply of its own.
    let script = "response_body: count; nth 2 reply 403 late";
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("first ");
    connection.until("first ");
    tap.send("second");
    let (rest, _) = connection.rest();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(!rest.contains("HTTP/1.1") && !rest.contains("late"), "{rest}");
    ng.log().wait("reply 403 late ->");
    ng.log().wait("a local response came after the response header was sent: closing the stream");
    drop(tap);
}

fn the_connection_goes_on(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = with(engine, "response_headers: when x-stop reply 403 no", &up);
    let mut connection = ng.connect();
    for _ in 0..3 {
        connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Stop: 1\r\n\r\n").response().status(403).body("no");
        connection.get("/").response().status(200).body("up");
    }
}
