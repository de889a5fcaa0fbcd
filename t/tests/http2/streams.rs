//! Many streams on one connection.

use std::collections::HashSet;

use wasmx_t::{Engine, Http2Stream, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_hundred_streams_have_a_context_each,
    a_hundred_streams_have_an_instance_each,
    streams_do_not_wait_for_one_another,
    bodies_of_many_streams_do_not_mix,
];

const COUNT: usize = 100;

/// Asks for `/` many times at once, each time with an `x-id` of its own, which must come back as `x-kept`.
fn all_at_once(engine: Engine, script: &str, isolation: &str) -> Running {
    let script = format!(
        "trace; request_headers: get request x-id; set_property wasmx.id {{it}}; {script}; \
         response_headers: property wasmx.id; add response x-kept {{it}}"
    );
    let lines = format!("proxy_wasm_isolation {isolation}; return 200 fine;");
    let ng = Nginx::new(engine).http2().script("/", &script, lines).start();
    let connection = ng.http2();
    let ask = |id| connection.request("GET", "/").header("x-id", &format!("id-{id}")).send();
    let mut streams: Vec<Http2Stream> = (0..COUNT).map(ask).collect();
    for (id, stream) in streams.iter_mut().enumerate() {
        stream.response().status(200).header("x-kept", &format!("id-{id}")).body("fine");
    }
    ng.log().wait_for(COUNT, "on delete #");
    for callback in ["create", "request_headers", "response_headers", "done", "log", "delete"] {
        ng.log().has_times(COUNT, &format!("on {callback} #"));
    }
    ng
}

fn a_hundred_streams_have_a_context_each(engine: Engine) {
    // All of them are held before the first goes on.
    let hold = "count; pause; nth 100 tick 10; tick: each continue 0";
    let ng = all_at_once(engine, hold, "none");
    let ids = |callback: &str| -> HashSet<String> {
        let lines = ng.log().lines_with(&format!("on {callback} #"));
        lines.iter().filter_map(|line| line.split(" #").last()?.split(' ').next().map(str::to_owned)).collect()
    };
    assert_eq!(ids("create").len(), COUNT);
    assert_eq!(ids("create"), ids("delete"));
}

fn a_hundred_streams_have_an_instance_each(engine: Engine) {
    all_at_once(engine, "say on", "stream");
}

fn streams_do_not_wait_for_one_another(engine: Engine) {
    let script = "trace; request_headers: when x-hold pause";
    let ng = Nginx::new(engine).http2().script("/", script, "return 200 fine;").start();
    let connection = ng.http2();
    let held = connection.request("GET", "/").header("x-hold", "1").send();
    ng.log().wait("on request_headers #");
    for _ in 0..3 {
        connection.get("/").response().status(200).body("fine");
    }
    ng.log().wait_for(3, "on delete #");
    ng.log().has_times(4, "on create #").has_times(3, "on delete #");
    held.reset();
    ng.log().wait_for(4, "on delete #");
}

fn bodies_of_many_streams_do_not_mix(engine: Engine) {
    let up = Upstream::new().respond(|seen| wasmx_t::Reply::ok(seen.bytes()));
    let script = "request_body: body request 0 4; set_property wasmx.id {it}; \
                  response_body: at_end property wasmx.id; at_end write response 0xffffffff 0 {it}";
    let ng = Nginx::new(engine).http2().script("/", script, up.pass()).start();
    let connection = ng.http2();
    let body = |id: usize| format!("{id:04}").repeat(5_000);
    let ids: Vec<usize> = (0..30).collect();
    let mut streams: Vec<_> = ids.iter().map(|_| connection.request("POST", "/").begin()).collect();
    // Piece by piece, in turns.
    for part in 0..5 {
        for (id, stream) in streams.iter_mut().enumerate() {
            let body = body(id);
            stream.send(&body[part * 4_000..][..4_000]);
        }
    }
    streams.iter_mut().for_each(Http2Stream::finish);
    for (id, stream) in streams.iter_mut().enumerate() {
        stream.response().status(200).body(format!("{}{id:04}", body(id)));
    }
}
