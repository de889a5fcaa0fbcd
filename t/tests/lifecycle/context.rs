//! The effective context, and calls from where there is none.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    an_unknown_context_is_a_bad_argument,
    the_root_reaches_its_streams,
    the_effect_ends_with_the_callback,
    a_stream_call_from_the_root_is_answered,
];

fn an_unknown_context_is_a_bad_argument(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: effective 4711; effective 0", "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("effective 4711 -> 2").has("effective 0 -> 2");
}

fn the_root_reaches_its_streams(engine: Engine) {
    let script = "configure: tick 10
                  request_headers: pause
                  tick: each get request :path; each continue 0";
    let ng = Nginx::new(engine).script("/", script, "return 200 done;").start();
    ng.get("/from/the/root").status(200).body("done");
    ng.log().has(r#"get request :path -> 0 "/from/the/root""#);
}

fn the_effect_ends_with_the_callback(engine: Engine) {
    let script = "configure: tick 10
                  request_headers: pause
                  tick: once each say found; get request x-any; each continue 0";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    let log = ng.log().from_here();
    // The next tick has no stream any more, and none is left over from the last.
    log.wait("get request x-any");
    log.lacks("get request x-any -> 0");
}

fn a_stream_call_from_the_root_is_answered(engine: Engine) {
    let script = "configure: get request :path; add request x-a 1; pairs request; body request 0 1; continue 0; \
                  reply 200 no; property request.path; finish; close 0";
    let ng = Nginx::new(engine).script("/", script, "return 200 yes;").start();
    ng.get("/").status(200).body("yes");
    ng.log().has("get request :path -> ").lacks("get request :path -> 0").lacks("add request x-a 1 -> 0");
}
