//! What becomes of calls when those who made them end.

use wasmx_t::{Answer, Engine, Gate, Nginx, Peer, Running, Upstream, eventually, filter};

use crate::get;

wasmx_t::on_every_engine![
    a_client_that_leaves_cancels,
    a_client_that_leaves_while_it_connects,
    many_clients_that_leave,
    a_request_that_ends_cancels,
    a_filter_that_answers_cancels,
    a_filter_that_closes_cancels,
    no_answer_reaches_a_context_that_is_gone,
    a_trap_cancels_the_calls_of_the_instance,
    a_trap_in_an_answer,
    a_trap_after_a_call,
    an_instance_for_each_stream,
    an_instance_for_each_filter,
    a_client_that_leaves_an_instance_of_its_own,
    a_reload_while_calls_are_out,
    a_graceful_end_while_calls_are_out,
    a_graceful_end_while_a_root_calls,
    a_fast_end_while_calls_are_out,
    a_redirect_while_calls_are_out,
    a_killed_worker,
];

const SAY: &str = "call_response: say came {call}; delete: say deleted";

/// nginx whose filter waits for a peer that never answers.
fn waiting(engine: Engine, peer: &Peer) -> Running {
    let script = format!("request_headers: {}; pause; {SAY}", get(&peer.name(), "/x"));
    Nginx::new(engine).script("/", &script, "return 200;").location("/free", "return 200;").start()
}

fn silent() -> Peer {
    Peer::new().always(Answer::silence())
}

fn a_client_that_leaves_cancels(engine: Engine) {
    let peer = silent();
    let ng = waiting(engine, &peer);
    let connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    connection.reset();
    peer.wait_open(0);
    ng.log().wait("] deleted");
    ng.get("/free").status(200);
    ng.log().lacks("] came").lacks("dispatch failed");
}

fn a_client_that_leaves_while_it_connects(engine: Engine) {
    let full = wasmx_t::Full::new();
    let script = format!("request_headers: {}; pause; {SAY}", get(&full.address().to_string(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    let connection = ng.request("GET", "/").begin();
    ng.log().wait(" :method=GET :path=/x");
    connection.reset();
    ng.log().wait("] deleted");
    ng.log().lacks("] came").lacks("dispatch failed");
}

fn many_clients_that_leave(engine: Engine) {
    const COUNT: usize = 50;
    let peer = silent();
    let ng = waiting(engine, &peer);
    let connections: Vec<_> = (0..COUNT).map(|_| ng.request("GET", "/").begin()).collect();
    eventually("all calls", || (peer.asked().len() == COUNT).then_some(()));
    for connection in connections {
        connection.reset();
    }
    ng.log().wait_for(COUNT, "] deleted");
    peer.wait_open(0);
    ng.log().lacks("] came");
}

fn a_request_that_ends_cancels(engine: Engine) {
    let peer = silent();
    let script = format!("request_headers: {}; {SAY}", get(&peer.name(), "/x"));
    let up = Upstream::new();
    let tap = up.tap();
    let ng = Nginx::new(engine).script("/", &script, up.pass()).location("/free", "return 200;").start();
    let mut connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    tap.send("whole");
    drop(tap);
    connection.response().status(200).body("whole");
    ng.log().wait("] deleted");
    peer.wait_open(0);
    ng.log().lacks("] came").lacks("dispatch failed");
}

fn a_filter_that_answers_cancels(engine: Engine) {
    let peer = Peer::new().answers(|asked| if asked.target() == "/soon" { Answer::ok("") } else { Answer::silence() });
    let name = peer.name();
    let script = format!(
        "request_headers: {}; {}; pause; call_response: say came {{call}}; reply 403 no; delete: say deleted",
        get(&name, "/silent"),
        get(&name, "/soon")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(403).body("no");
    ng.log().wait("] deleted");
    // One was answered, and may be kept.
    eventually("the end of the other", || (peer.open() <= 1).then_some(()));
    ng.log().has_times(1, "] came ").has_times(1, "] came /soon");
}

fn a_filter_that_closes_cancels(engine: Engine) {
    let peer = silent();
    let script =
        format!("configure: tick 10; request_headers: {}; pause; tick: each close 0; {SAY}", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, "").location("/free", "return 200;").start();
    ng.get("/");
    ng.log().wait("] deleted");
    peer.wait_open(0);
    ng.log().lacks("] came");
}

/// The SDK drops answers for contexts that it does not know: this filter has none.
fn plain_filter(peer: &Peer) -> String {
    let (data, call) = crate::in_text_form(peer);
    filter(&format!(
        r#"
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  {data}
  (data (i32.const 512) "came")
  (data (i32.const 520) "gone")
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop {call})
    i32.const 1)
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (drop (call $log (i32.const 2) (i32.const 512) (i32.const 4))))
  (func (export "proxy_on_delete") (param i32)
    (drop (call $log (i32.const 2) (i32.const 520) (i32.const 4))))
"#
    ))
}

fn no_answer_reaches_a_context_that_is_gone(engine: Engine) {
    let gate = Gate::new();
    let held = gate.clone();
    let peer = Peer::new().answers(move |asked| {
        if asked.connection == 1 {
            held.pass();
        }
        Answer::ok("")
    });
    let ng =
        Nginx::new(engine).wat("plain", plain_filter(&peer)).location("/", "proxy_wasm plain; return 200;").start();
    let connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    connection.reset();
    ng.log().wait("gone");
    gate.open();
    peer.wait_open(0);
    ng.log().lacks("came");
    ng.get("/").status(200);
    ng.log().has_times(1, "came");
}

fn a_trap_cancels_the_calls_of_the_instance(engine: Engine) {
    let peer = Peer::new().answers(|asked| if asked.target() == "/x" { Answer::silence() } else { Answer::ok("fine") });
    let script = format!(
        "request_headers: when x-trap trap unreachable; unless x-fine {}; when x-fine {}; pause; call_response: say came {{call}}; body call 0 9; reply 200 {{it}}",
        get(&peer.name(), "/x"),
        get(&peer.name(), "/fine")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    let mut connections: Vec<_> = (0..3).map(|_| ng.request("GET", "/").begin()).collect();
    eventually("all calls", || (peer.asked().len() == 3).then_some(()));
    ng.request("GET", "/").header("x-trap", "1").send().status(500);
    for connection in &mut connections {
        connection.response().status(500);
    }
    peer.wait_open(0);
    ng.request("GET", "/").header("x-fine", "1").send().status(200).body("fine");
    ng.log().has_times(1, "] came ");
}

fn a_trap_in_an_answer(engine: Engine) {
    let peer = Peer::new();
    let script = format!("request_headers: {}; pause; call_response: trap unreachable", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine)
        .script("/", &script, "")
        .script("/open", &script, "proxy_wasm_failure_policy open; return 200 on;")
        .start();
    let workers = ng.workers();
    for _ in 0..3 {
        ng.get("/").status(500);
        ng.get("/open").status(200).body("on");
    }
    assert_eq!(ng.workers(), workers);
}

fn a_trap_after_a_call(engine: Engine) {
    let peer = Peer::new();
    let script = format!("request_headers: {}; trap unreachable; {SAY}", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, "").location("/free", "return 200;").start();
    for _ in 0..3 {
        ng.get("/").status(500);
    }
    ng.get("/free").status(200);
    peer.wait_open(0);
    ng.log().lacks("] came");
}

fn isolated(engine: Engine, isolation: &str) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new().ok("passed"));
    let script = |header: &str| {
        format!(
            "request_headers: {}; {}; pause; call_response: count; body call 0 9; add request {header} {{it}}",
            get(&peer.name(), "/a"),
            get(&peer.name(), "/b")
        )
    };
    let second = format!("proxy_wasm script '{}'; proxy_wasm_isolation {isolation};", script("x-second"));
    let ng = Nginx::new(engine).script("/", &script("x-first"), (second, up.pass())).start();
    for _ in 0..5 {
        ng.get("/").status(200).body("passed");
        up.saw(|req| {
            assert_eq!(req.values("x-first"), ["told", "told"]);
            assert_eq!(req.values("x-second"), ["told", "told"]);
        });
    }
    // Connections belong to the worker, not to an instance.
    assert!(peer.accepted() <= 2, "{}", peer.accepted());
}

fn an_instance_for_each_stream(engine: Engine) {
    isolated(engine, "stream");
}

fn an_instance_for_each_filter(engine: Engine) {
    isolated(engine, "filter");
}

fn a_client_that_leaves_an_instance_of_its_own(engine: Engine) {
    for isolation in ["stream", "filter"] {
        let peer = silent();
        let script = format!("request_headers: {}; pause; {SAY}", get(&peer.name(), "/x"));
        let lines = format!("proxy_wasm_isolation {isolation}; return 200;");
        let ng = Nginx::new(engine).script("/", &script, lines).location("/free", "return 200;").start();
        for _ in 0..3 {
            let connection = ng.request("GET", "/").begin();
            eventually("a call", || (peer.open() == 1).then_some(()));
            connection.reset();
            peer.wait_open(0);
        }
        ng.get("/free").status(200);
        ng.log().lacks("] came");
    }
}

/// nginx whose filter waits for a peer that answers when the gate opens.
fn gated(engine: Engine) -> (Running, Peer, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    let peer = Peer::new().answers(move |_| {
        held.pass();
        Answer::ok("late")
    });
    let script =
        format!("request_headers: {}; pause; call_response: body call 0 9; reply 200 {{it}}", get(&peer.name(), "/x"));
    (Nginx::new(engine).script("/", &script, "").start(), peer, gate)
}

fn a_reload_while_calls_are_out(engine: Engine) {
    let (ng, peer, gate) = gated(engine);
    let before = ng.workers();
    let mut connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    ng.hangup();
    ng.log().wait("gracefully shutting down");
    gate.open();
    connection.response().status(200).body("late");
    ng.await_replacement(&before);
    peer.wait_open(0);
    ng.get("/").status(200).body("late");
}

fn signal(ng: &Running, signal: i32) {
    // SAFETY: kill has no preconditions.
    unsafe { libc::kill(ng.master().cast_signed(), signal) };
}

fn a_graceful_end_while_calls_are_out(engine: Engine) {
    let (ng, peer, gate) = gated(engine);
    let mut connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    signal(&ng, libc::SIGQUIT);
    ng.log().wait("gracefully shutting down");
    gate.open();
    connection.response().status(200).body("late");
    ng.stop();
    peer.wait_open(0);
}

fn a_graceful_end_while_a_root_calls(engine: Engine) {
    let peer = silent();
    let call = format!("call {} 3600000 :method=GET :path=/x :authority=a", peer.name());
    let script = format!("configure: tick 5; tick: once {call}");
    let nginx = Nginx::new(engine).http("wasm_socket_read_timeout 1h;").wasm_directive("socket_read_timeout 1h;");
    let ng = nginx.script("/", &script, "").start();
    peer.saw("/x");
    let begun = std::time::Instant::now();
    ng.stop();
    assert!(begun.elapsed() < wasmx_t::patience() / 2, "{:?}", begun.elapsed());
    peer.wait_open(0);
}

fn a_fast_end_while_calls_are_out(engine: Engine) {
    let peer = silent();
    let ng = waiting(engine, &peer);
    let mut connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    // nginx tells of each connection that a fast end closes: not as a leak here.
    signal(&ng, libc::SIGTERM);
    let _ = connection.rest();
    ng.stop();
    peer.wait_open(0);
}

fn a_redirect_while_calls_are_out(engine: Engine) {
    let peer = Peer::new().ok("told");
    let script = format!(
        "request_headers: {}; pause; call_response: body call 0 9; add request x-told {{it}}; say came",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine)
        .script("/", &script, "rewrite ^/$ /other last;")
        .location("/other", "return 200 '$http_x_told';")
        .start();
    ng.get("/").status(200);
    ng.get("/").status(200);
}

fn a_killed_worker(engine: Engine) {
    let peer = Peer::new().answers(|asked| if asked.connection == 1 { Answer::silence() } else { Answer::ok("again") });
    let script =
        format!("request_headers: {}; pause; call_response: body call 0 9; reply 200 {{it}}", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, "").start();
    let mut connection = ng.request("GET", "/").begin();
    peer.saw("/x");
    ng.kill_worker(ng.workers()[0]);
    connection.response().nothing();
    peer.wait_open(0);
    ng.get("/").status(200).body("again");
}
