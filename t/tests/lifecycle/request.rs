//! The life of a stream context.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    callbacks_come_in_order,
    filters_take_turns,
    a_connection_carries_a_context_for_each_request,
    a_client_that_leaves_ends_the_context,
    an_error_of_nginx_ends_the_context,
    an_internal_redirect_keeps_the_context,
    a_subrequest_does_not_repeat_the_request,
    what_is_logged_is_what_was_answered,
    a_refused_end_waits_for_done,
    done_without_a_pending_end_is_not_found,
];

/// A script with which every callback is told of.
const TRACE: &str = "trace";

fn callbacks_come_in_order(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let ng = Nginx::new(engine).script("/", TRACE, up.pass()).start();
    let log = ng.log().from_here();
    ng.post("/", "body").status(200).body("hello");
    log.wait("on delete #");
    log.in_order(&[
        "on create #",
        "on request_headers #",
        "on request_body #",
        "on response_headers #",
        "on response_body #",
        "on done #",
        "on log #",
        "on delete #",
    ]);
    for callback in ["create", "request_headers", "request_body", "response_headers", "done", "log", "delete"] {
        log.has_times(1, &format!("on {callback} #"));
    }
    log.has("size=4 end=true");
}

fn filters_take_turns(engine: Engine) {
    let second =
        "proxy_wasm script 'request_headers: say two asks; response_headers: say two answers; done: say two done';";
    let first = "request_headers: say one asks; response_headers: say one answers; done: say one done";
    let ng = Nginx::new(engine).script("/", first, (second, "return 200;")).start();
    ng.get("/").status(200);
    ng.log().wait("two done");
    ng.log().in_order(&["one asks", "two asks", "one answers", "two answers", "one done", "two done"]);
}

fn a_connection_carries_a_context_for_each_request(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "create: say made {id}; delete: say gone {id}", "return 200;").start();
    let mut connection = ng.connect();
    for _ in 0..3 {
        connection.get("/").response().status(200);
    }
    drop(connection);
    let made = ng.log().wait_for(3, "made ");
    let gone = ng.log().wait_for(3, "gone ");
    let ids = |lines: &[String], word: &str| -> Vec<u32> {
        let id = |line: &String| line.split(word).nth(1)?.split([' ', ',']).next()?.parse().ok();
        lines.iter().filter_map(id).collect()
    };
    let (made, gone) = (ids(&made, "made "), ids(&gone, "gone "));
    assert_eq!(made, gone);
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "ids grow: {made:?}");
}

fn a_client_that_leaves_ends_the_context(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let ng = Nginx::new(engine).script("/", TRACE, up.pass()).start();
    let connection = ng.request("GET", "/").begin();
    ng.log().wait("on request_headers #");
    connection.reset();
    ng.log().wait("on delete #");
    ng.log().in_order(&["on done #", "on log #", "on delete #"]);
    drop(tap);
}

fn an_error_of_nginx_ends_the_context(engine: Engine) {
    let ng = Nginx::new(engine).script("/", TRACE, "client_max_body_size 1; root html;").start();
    ng.post("/", "too long").status(413);
    ng.get("/not/there").status(404);
    let created = ng.log().lines_with("on create #").len();
    let deleted = ng.log().wait_for(created, "on delete #").len();
    assert_eq!(created, deleted);
    ng.log().has_times(created, "on done #").has_times(created, "on log #");
}

fn an_internal_redirect_keeps_the_context(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/a/index.html", "index")
        .script("/", "trace; request_headers: set_property wasmx.kept yes; log: property wasmx.kept", "root html;")
        .start();
    ng.get("/a/").status(200).body("index");
    ng.log().wait("on delete #");
    ng.log().has_times(1, "on create #").has_times(1, "on log #").has_times(1, "on delete #");
    ng.log().has(r#"property wasmx.kept -> 0 "yes""#);
}

fn a_subrequest_does_not_repeat_the_request(engine: Engine) {
    let up = Upstream::new().ok("part");
    let ng = Nginx::new(engine)
        .script("/main", TRACE, ("add_before_body /before; addition_types *;", up.pass()))
        .location("/", up.pass())
        .start();
    ng.get("/main").status(200).body("partpart");
    ng.log().wait("on delete #");
    for callback in ["create", "request_headers", "response_headers", "done", "log", "delete"] {
        ng.log().has_times(1, &format!("on {callback} #"));
    }
}

fn what_is_logged_is_what_was_answered(engine: Engine) {
    let script = "response_headers: add response x-new 1; log: get request :path; get response :status; \
                  get response x-new; property response.code";
    let ng = Nginx::new(engine).script("/", script, "return 404;").start();
    ng.get("/path").status(404);
    ng.log().wait("property response.code");
    ng.log()
        .has(r#"get request :path -> 0 "/path""#)
        .has(r#"get response :status -> 0 "404""#)
        .has(r#"get response x-new -> 0 "1""#)
        .has(r#"property response.code -> 0 "404""#);
}

fn a_refused_end_waits_for_done(engine: Engine) {
    let script = "configure: trace; tick 10; done: refuse; tick: each finish";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().wait("on delete #");
    ng.log().in_order(&["on done #", "finish -> 0", "on log #", "on delete #"]);
}

fn done_without_a_pending_end_is_not_found(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: finish", "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("finish -> 1");
}
