//! Calls from contexts and callbacks that have no request, or that of one that ends.

use wasmx_t::{Answer, Engine, Nginx, Peer, Upstream, guest};

use crate::get;

wasmx_t::on_every_engine![
    a_tick,
    every_worker_ticks,
    the_configuration,
    the_start_of_an_instance,
    a_queue,
    the_creation_of_a_context,
    the_end_that_waits,
    the_end_that_does_not_wait,
    the_log,
    an_answer_to_a_root,
    a_root_of_a_request,
    a_tick_for_a_request,
    the_trailers_of_a_response,
];

const SAY: &str = "call_response: get call :status; say came {call} {it}";

fn a_tick(engine: Engine) {
    let peer = Peer::new();
    let script = format!("configure: tick 5; tick: {}; {SAY}", get(&peer.name(), "/tick"));
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.log().wait_for(5, "came /tick 200");
    // One after the other, or at the same time when a tick was faster than the peer: few connections.
    assert!(peer.accepted() <= 5, "{}", peer.accepted());
}

fn every_worker_ticks(engine: Engine) {
    let peer = Peer::new();
    let script = format!("configure: tick 5; tick: once {}; {SAY}", get(&peer.name(), "/tick"));
    let ng = Nginx::new(engine).workers(2).script("/", &script, "").start();
    ng.log().wait_for(2, "came /tick 200");
}

fn the_configuration(engine: Engine) {
    let peer = Peer::new().ok("settings");
    let script = format!("configure: {}; call_response: body call 0 99; say came {{it}}", get(&peer.name(), "/conf"));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.log().wait("came settings");
    ng.get("/").status(200);
    // The trial start calls nobody.
    peer.saw_times(1);
    ng.reload();
    ng.log().wait_for(2, "came settings");
    peer.saw_times(2);
}

fn the_start_of_an_instance(engine: Engine) {
    let peer = Peer::new();
    let start = format!("'vm_start: {}; {SAY}'", get(&peer.name(), "/start"));
    let nginx = Nginx::new(engine).wasm_with("script", guest("script"), &start);
    let ng = nginx.location("/", format!("proxy_wasm script '{SAY}'; return 200;")).start();
    ng.log().wait("came /start 200");
    peer.saw_times(1);
}

fn a_queue(engine: Engine) {
    let peer = Peer::new().answers(|asked| Answer::ok(asked.target()));
    let script = format!("configure: queue jobs; queue_ready: dequeue; {}; {SAY}", get(&peer.name(), "/{it}"));
    let ng = Nginx::new(engine)
        .script("/consumer", &script, "")
        .script("/", "request_headers: queue_find - jobs; enqueue jobs one; enqueue jobs two; reply 200 sent", "")
        .start();
    ng.get("/").body("sent");
    ng.log().wait("came /one 200");
    ng.log().wait("came /two 200");
    peer.saw_times(2);
}

fn the_creation_of_a_context(engine: Engine) {
    let (peer, up) = (Peer::new(), Upstream::new());
    let tap = up.tap();
    // The SDK does not say which context is being made: the answer reaches one that was there, or none.
    let script = format!("create: {}", get(&peer.name(), "/create"));
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    let mut connection = ng.request("GET", "/").begin();
    peer.saw("/create");
    tap.send("fine");
    drop(tap);
    connection.response().status(200).body("fine");
}

fn the_end_that_waits(engine: Engine) {
    let peer = Peer::new();
    let script =
        format!("done: {}; refuse; {SAY}; finish; log: say logged; delete: say deleted", get(&peer.name(), "/done"));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().wait("] deleted");
    ng.log().in_order(&["came /done 200", "finish -> 0", "logged", "deleted"]);
}

fn the_end_that_does_not_wait(engine: Engine) {
    let peer = Peer::new();
    let script = format!("done: {}; {SAY}; delete: say deleted", get(&peer.name(), "/done"));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().wait("] deleted");
    ng.get("/").status(200);
    peer.wait_open(0);
    ng.log().lacks("came");
}

fn the_log(engine: Engine) {
    let peer = Peer::new();
    let script = format!("log: {}; {SAY}; delete: say deleted", get(&peer.name(), "/log"));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().wait("] deleted");
    ng.get("/").status(200);
    peer.wait_open(0);
    ng.log().lacks("came");
}

fn an_answer_to_a_root(engine: Engine) {
    let peer = Peer::new().always(Answer::chunks(["body"], &[("x-t", "1")]));
    let script = format!(
        "configure: tick 5; tick: once {}
         call_response: body call 0 99; pairs call_trailers; call_status; get request :path; reply 200 x; continue 0; say end",
        get(&peer.name(), "/tick")
    );
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.log().wait("] end");
    ng.log()
        .has("body call 0 99 -> 0 \"body\"")
        .has("pairs call_trailers -> 0 \"x-t=1\"")
        .has("get request :path -> 2");
    ng.get("/").status(200);
}

/// They are configured, and what they ask for is answered with OK and not done.
fn a_root_of_a_request(engine: Engine) {
    let peer = Peer::new();
    let script = format!("configure: {}; {SAY}", get(&peer.name(), "/conf"));
    let ng = Nginx::new(engine).script("/", &script, "proxy_wasm_isolation stream; return 200;").start();
    for _ in 0..5 {
        ng.get("/").status(200);
    }
    ng.log().lacks("dispatch failed");
    // At most that of the worker's own root.
    assert!(peer.asked().len() <= 1, "{:?}", peer.asked());
}

fn a_tick_for_a_request(engine: Engine) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new().ok("passed"));
    let script = format!(
        "configure: tick 5; request_headers: pause; tick: {}; call_response: each continue 0",
        get(&peer.name(), "/tick")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).body("passed");
    up.saw_times(1);
}

fn the_trailers_of_a_response(engine: Engine) {
    if Nginx::lacks_proxied_trailers("dispatch::callers::the_trailers_of_a_response") {
        return;
    }
    let peer = Peer::new();
    let up = Upstream::new().respond(|_| wasmx_t::Reply::chunks(["body"]).trailer("x-sum", "1"));
    let script = format!("response_trailers: {}; pause; {SAY}", get(&peer.name(), "/trailers"));
    let lines = ("proxy_http_version 1.1; proxy_pass_trailers on;", up.pass());
    let ng = Nginx::new(engine).script("/", &script, lines).start();
    ng.request("GET", "/").header("TE", "trailers").send().status(200).body("body");
    ng.log().has("came /trailers 200");
}
