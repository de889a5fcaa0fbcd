//! Contexts of requests that share a connection, and of a connection that stops to speak HTTP.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    requests_in_one_write_have_a_context_each,
    a_held_request_holds_those_behind_it,
    what_is_behind_a_body_is_the_next_request,
    a_reply_leaves_the_next_request_alone,
    an_upgraded_connection_is_one_context,
    a_refused_upgrade_is_a_response,
];

const ASK: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn requests_in_one_write_have_a_context_each(engine: Engine) {
    let script = "trace; request_headers: set_property wasmx.id {id}; \
                  response_headers: property wasmx.id; add response x-id {it}";
    let ng = Nginx::new(engine).script("/", script, "return 200 fine;").start();
    let mut connection = ng.connect();
    connection.send(ASK.repeat(5));
    let ids: Vec<_> = (0..5)
        .map(|_| {
            let response = connection.response();
            response.status(200).body("fine");
            response.value("x-id").unwrap_or_default().to_owned()
        })
        .collect();
    drop(connection);
    ng.log().wait_for(5, "on delete #");
    for callback in ["create", "request_headers", "response_headers", "done", "log", "delete"] {
        ng.log().has_times(5, &format!("on {callback} #"));
    }
    assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1), "{ids:?}");
}

fn a_held_request_holds_those_behind_it(engine: Engine) {
    let script = "trace; configure: tick 10; request_headers: when x-hold pause; tick: each continue 0; \
                  response_headers: get request :path; add response x-path {it}";
    let ng = Nginx::new(engine).script("/", script, "return 200 fine;").start();
    let mut connection = ng.connect();
    let held = "GET /held HTTP/1.1\r\nHost: localhost\r\nX-Hold: 1\r\n\r\n";
    connection.send([held, ASK].concat());
    connection.response().status(200).header("x-path", "/held").body("fine");
    connection.response().status(200).header("x-path", "/a").body("fine");
    drop(connection);
    ng.log().wait_for(2, "on delete #");
    ng.log().in_order(&["on create #", "on delete #", "on create #", "on delete #"]);
}

fn what_is_behind_a_body_is_the_next_request(engine: Engine) {
    let up = Upstream::new().respond(|seen| wasmx_t::Reply::ok(seen.bytes()));
    let script = "trace; request_body: write request 0 0 new%20";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    let mut connection = ng.connect();
    let posts = ["one", "two"]
        .map(|body| format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    connection.send(posts.concat() + ASK);
    connection.response().status(200).body("new one");
    connection.response().status(200).body("new two");
    connection.response().status(200).body("");
    ng.log().wait_for(3, "on delete #");
    ng.log().has_times(2, "on request_body #");
}

fn a_reply_leaves_the_next_request_alone(engine: Engine) {
    let script = "trace; request_headers: when x-stop reply 403 no";
    let ng = Nginx::new(engine).script("/", script, "return 200 fine;").start();
    let mut connection = ng.connect();
    let stopped = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Stop: 1\r\nContent-Length: 5\r\n\r\nhello";
    connection.send([stopped, ASK, stopped, ASK].concat());
    for _ in 0..2 {
        connection.response().status(403).body("no");
        connection.response().status(200).body("fine");
    }
    ng.log().wait_for(4, "on delete #");
    ng.log().has_times(4, "on create #").has_times(4, "on delete #");
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const PASS: &str =
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

fn an_upgraded_connection_is_one_context(engine: Engine) {
    let up = Upstream::new();
    let tap = up.raw_tap();
    let script = "trace; response_headers: get response :status";
    let ng = Nginx::new(engine).script("/", script, (PASS, up.pass())).start();
    let mut connection = ng.connect();
    connection.send(UPGRADE);
    tap.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    connection.until("\r\n\r\n");
    for message in ["one", "two", "three"] {
        tap.send(message);
        connection.until(message);
        connection.send("answer");
    }
    ng.log().has(r#"get response :status -> 0 "101""#).lacks("on done #");
    drop(tap);
    connection.rest();
    ng.log().wait("on delete #");
    for callback in ["create", "request_headers", "response_headers", "done", "log", "delete"] {
        ng.log().has_times(1, &format!("on {callback} #"));
    }
    ng.log().lacks("on request_body #").lacks("on response_body #");
}

fn a_refused_upgrade_is_a_response(engine: Engine) {
    let up = Upstream::new().ok("no websocket");
    let script = "trace; response_body: at_end write response 0xffffffff 0 , sorry";
    let ng = Nginx::new(engine).script("/", script, (PASS, up.pass())).start();
    let mut connection = ng.connect();
    connection.send(UPGRADE).response().status(200).body("no websocket, sorry");
    connection.get("/").response().status(200).body("no websocket, sorry");
    ng.log().wait_for(2, "on delete #");
    ng.log().has_times(2, "on create #").has_times(2, "on response_headers #");
}
