//! Requests that are held.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_request_is_held_until_a_tick_lets_it_go,
    a_request_is_held_when_its_body_is_there,
    a_request_is_held_twice,
    the_filters_after_it_wait_too,
    the_second_filter_of_a_chain_may_hold,
    other_requests_go_on,
    many_requests_are_held_at_once,
    a_client_that_leaves_ends_a_held_request,
    a_held_request_is_closed,
    a_held_request_outlives_a_reload,
    a_request_is_held_in_the_access_phase,
    letting_go_at_once_is_the_same_as_not_holding,
    letting_go_what_is_not_held_is_harmless,
    a_held_body_arrives_whole,
    an_action_beyond_pause_holds,
];

const LET_GO: &str = "tick: each continue 0";

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", script, up.pass()).start()
}

fn a_request_is_held_until_a_tick_lets_it_go(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = format!("configure: tick 10; request_headers: say held; pause; {LET_GO}; request_body: say early");
    let ng = with(engine, &script, &up);
    ng.get("/").status(200).body("late");
    ng.log().in_order(&["held", "continue 0 -> 0"]);
    up.saw_times(1);
}

fn a_request_is_held_when_its_body_is_there(engine: Engine) {
    let up = Upstream::new().ok("late");
    let ng = with(engine, &format!("configure: tick 10; request_body: pause; {LET_GO}"), &up);
    ng.post("/", "hello").status(200).body("late");
    up.saw_times(1).saw(|req| {
        req.body("hello");
    });
}

fn a_request_is_held_twice(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = format!("configure: tick 10; request_headers: say one; pause; request_body: say two; pause; {LET_GO}");
    let ng = with(engine, &script, &up);
    ng.post("/", "hello").status(200).body("late");
    ng.log().in_order(&["one", "continue 0 -> 0", "two", "continue 0 -> 0"]);
    up.saw_times(1).saw(|req| {
        req.body("hello");
    });
}

fn the_filters_after_it_wait_too(engine: Engine) {
    let second = "proxy_wasm script 'request_headers: say second';";
    let first = format!("configure: tick 10; request_headers: say first; pause; {LET_GO}");
    let ng = Nginx::new(engine).script("/", &first, (second, "return 200;")).start();
    ng.get("/").status(200);
    ng.log().in_order(&["first", "continue 0 -> 0", "second"]);
}

fn the_second_filter_of_a_chain_may_hold(engine: Engine) {
    let up = Upstream::new().ok("late");
    let second = format!("proxy_wasm script 'configure: tick 10; request_headers: pause; {LET_GO}';");
    let third = "proxy_wasm script 'request_headers: add request x-third 1';";
    let lines = (second, third, up.pass());
    let ng = Nginx::new(engine).script("/", "request_headers: count; add request x-first {it}", lines).start();
    ng.get("/").status(200).body("late");
    up.saw_times(1).saw(|req| {
        req.header("x-first", "1").header("x-third", "1");
    });
}

fn other_requests_go_on(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = with(engine, "request_headers: when x-hold pause", &up);
    let held = ng.request("GET", "/").header("x-hold", "1").begin();
    for _ in 0..3 {
        ng.get("/").status(200).body("fine");
    }
    up.saw_times(3);
    drop(held);
}

fn many_requests_are_held_at_once(engine: Engine) {
    let up = Upstream::new().ok("late");
    let ng =
        with(engine, "request_headers: when x-hold say held; when x-hold pause; when x-release each continue 0", &up);
    let mut held: Vec<_> = (0..20).map(|_| ng.request("GET", "/").header("x-hold", "1").begin()).collect();
    ng.log().wait_for(20, "] held");
    ng.request("GET", "/").header("x-release", "1").send().status(200).body("late");
    for connection in &mut held {
        connection.response().status(200).body("late");
    }
    up.saw_times(21);
}

fn a_client_that_leaves_ends_a_held_request(engine: Engine) {
    let up = Upstream::new();
    for callback in ["request_headers", "request_body"] {
        let ng = with(engine, &format!("trace; {callback}: pause"), &up);
        let connection = ng.request("POST", "/").body("hello").begin();
        ng.log().wait(&format!("on {callback} #"));
        connection.reset();
        ng.log().wait("on delete #");
        ng.log().in_order(&["on done #", "on log #", "on delete #"]);
    }
    up.saw_nothing();
}

fn a_held_request_is_closed(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "trace; configure: tick 10; request_headers: pause; tick: each close 0", &up);
    let response = ng.get("/");
    assert!(response.code().is_none_or(|code| code >= 400), "{response}");
    ng.log().wait("on delete #");
    up.saw_nothing();
}

fn a_held_request_outlives_a_reload(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = "request_headers: when x-hold say held; when x-hold pause";
    let ng = with(engine, script, &up);
    let before = ng.workers();
    let held = ng.request("GET", "/").header("x-hold", "1").begin();
    ng.log().wait("held");
    ng.hangup();
    ng.log().wait("gracefully shutting down");
    // The old worker waits for its request, and ends when the client has left; the new one serves.
    ng.get("/").status(200).body("late");
    assert!(ng.workers().contains(&before[0]), "the old worker should wait");
    held.reset();
    ng.await_replacement(&before);
}

fn a_request_is_held_in_the_access_phase(engine: Engine) {
    let up = Upstream::new().ok("late");
    let script = format!("configure: tick 10; request_headers: pause; {LET_GO}");
    let lines = ("proxy_wasm_request_headers_in_access on;", up.pass());
    let ng = Nginx::new(engine).script("/", &script, lines).start();
    ng.get("/").status(200).body("late");
    up.saw_times(1);
}

fn letting_go_at_once_is_the_same_as_not_holding(engine: Engine) {
    let up = Upstream::new().ok("soon");
    let ng = with(engine, "request_headers: continue 0; pause; request_body: continue 0; pause", &up);
    ng.get("/").status(200).body("soon");
    ng.post("/", "hello").status(200).body("soon");
    up.saw_times(2);
}

fn letting_go_what_is_not_held_is_harmless(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = with(engine, "request_headers: continue 0; continue 0; continue 1; log: continue 0", &up);
    ng.get("/").status(200).body("fine");
    ng.get("/").status(200).body("fine");
    up.saw_times(2);
}

fn a_held_body_arrives_whole(engine: Engine) {
    let body: String = (0..20_000).map(|number| format!("{number:05}\n")).collect();
    let up = Upstream::new().ok("late");
    let script = format!("configure: tick 10; request_headers: pause; request_body: pause; {LET_GO}");
    let ng = Nginx::new(engine).script("/", &script, ("client_body_buffer_size 8k;", up.pass())).start();
    ng.post("/", &body).status(200).body("late");
    up.saw(|req| {
        req.body(&body);
    });
}

fn an_action_beyond_pause_holds(engine: Engine) {
    let text =
        wasmx_t::filter(r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 4))"#);
    let up = Upstream::new().ok("never");
    let ng =
        Nginx::new(engine).wat("a", text).location("/", ("proxy_wasm a;", up.pass())).location("/free", "return 200;");
    let ng = ng.start();
    let held = ng.request("GET", "/").begin();
    ng.get("/free").status(200);
    up.saw_nothing();
    held.reset();
}
