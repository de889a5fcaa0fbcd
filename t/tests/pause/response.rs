//! Responses that are held.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    a_response_is_held_until_a_tick_lets_it_go,
    a_response_of_nginx_is_held,
    a_body_is_held_until_a_tick_lets_it_go,
    a_held_body_is_flushed_in_order,
    a_large_body_behind_a_held_header_arrives_whole,
    the_filters_after_it_wait_too,
    a_client_that_leaves_ends_a_held_response,
];

const LET_GO: &str = "tick: each continue 1";

fn a_response_is_held_until_a_tick_lets_it_go(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = format!("configure: tick 10; response_headers: say held; pause; {LET_GO}");
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).body("late");
    ng.log().in_order(&["held", "continue 1 -> 0"]);
}

fn a_response_of_nginx_is_held(engine: Engine) {
    let script = format!("configure: tick 10; response_headers: pause; {LET_GO}");
    let ng = Nginx::new(engine)
        .file("html/file", "a file")
        .script("/", &script, "root html;")
        .script("/return", &script, "return 200 text;")
        .start();
    ng.get("/file").status(200).body("a file");
    ng.get("/not/there").status(404);
    ng.get("/return").status(200).body("text");
    ng.request("HEAD", "/file").send().status(200).header("content-length", "6");
}

fn a_body_is_held_until_a_tick_lets_it_go(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = format!("configure: tick 10; response_body: say held {{size}} {{end}}; pause; {LET_GO}");
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).body("late");
    ng.log().in_order(&["held", "continue 1 -> 0"]);
}

fn a_held_body_is_flushed_in_order(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = format!("configure: tick 10; response_body: say piece {{size}} {{end}}; at_end pause; {LET_GO}");
    let ng = Nginx::new(engine).script("/", &script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    for piece in ["one ", "two ", "three "] {
        tap.send(piece);
        connection.until(piece.trim());
    }
    drop(tap);
    let (_, in_order) = connection.rest();
    assert!(in_order);
}

fn a_large_body_behind_a_held_header_arrives_whole(engine: Engine) {
    let body: String = (0..200_000).map(|number| format!("{number:06}\n")).collect();
    let up = Upstream::new().ok(&body);
    let script = format!("configure: tick 10; response_headers: pause; {LET_GO}");
    for buffering in ["on", "off"] {
        let lines = (format!("proxy_buffering {buffering};"), up.pass());
        let ng = Nginx::new(engine).script("/", &script, lines).start();
        ng.get("/").status(200).body(&body);
    }
}

fn the_filters_after_it_wait_too(engine: Engine) {
    let second = "proxy_wasm script 'response_headers: say second';";
    let first = format!("configure: tick 10; response_headers: say first; pause; {LET_GO}");
    let ng = Nginx::new(engine).script("/", &first, (second, "return 200;")).start();
    ng.get("/").status(200);
    ng.log().in_order(&["first", "continue 1 -> 0", "second"]);
}

fn a_client_that_leaves_ends_a_held_response(engine: Engine) {
    let up = Upstream::new().ok("late");
    let ng = Nginx::new(engine).script("/", "trace; response_headers: pause", up.pass()).start();
    let connection = ng.request("GET", "/").begin();
    ng.log().wait("on response_headers #");
    connection.reset();
    ng.log().wait("on delete #");
}
