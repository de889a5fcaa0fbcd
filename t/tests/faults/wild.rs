//! Pointers that point nowhere, to every host function in every callback: a status, never a trap.

use wasmx_t::{Engine, Nginx, Running};

wasmx_t::on_every_engine![
    in_the_start_of_a_root,
    in_the_callbacks_of_a_request,
    in_the_callbacks_of_a_response,
    at_the_end_of_a_request,
    in_a_tick,
    an_allocator_that_gives_nonsense,
    header_maps_that_claim_too_much,
];

/// Functions that are there so that filters link, and others that may look at other arguments first: any status but 0.
const ANY_STATUS: [&str; 13] = [
    "metric",
    "http_call",
    "grpc",
    "get_status",
    "foreign",
    "header_map",
    "get_buffer",
    "set_buffer",
    "send_local_response",
    "get_configuration",
    "args_",
    "environ_",
    "fd_",
];

/// Looks at what all the calls came to. The lines are those of `wild` in the script.
fn judge(ng: &Running) {
    ng.log().wait("wild fd_fdstat_get 0x0");
    let calls = ng.log().lines_with("] wild ");
    assert!(calls.len() > 100, "{} calls", calls.len());
    for call in &calls {
        let mut words = call.split("] wild ").nth(1).unwrap_or_default().split([' ', ',']);
        let (name, address) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let status = words.nth(1).unwrap_or_default();
        // Address 0 is one that a guest has: where only an address is given, the call may do its work.
        // There are no arguments and no environment to write, and so no wrong place for them.
        let takes_none =
            ["grpc_cancel", "grpc_close", "metric", "args_get", "environ_get"].iter().any(|part| name.contains(part));
        if address == "0x0" || takes_none {
            continue;
        }
        let fine = if name.starts_with("proxy_") && !ANY_STATUS.iter().any(|part| name.contains(part)) {
            status == "6"
        } else {
            status != "0"
        };
        assert!(fine, "{call}");
    }
    ng.log().lacks("wasm trap").lacks("failed");
}

fn with(engine: Engine, callback: &str) -> Running {
    let nginx = Nginx::new(engine).file("html/file", "a file");
    nginx.script("/", &format!("{callback}: wild; say survived"), "root html;").start()
}

fn in_the_start_of_a_root(engine: Engine) {
    let ng = with(engine, "configure");
    ng.get("/file").status(200).body("a file");
    judge(&ng);
}

fn in_the_callbacks_of_a_request(engine: Engine) {
    for callback in ["create", "request_headers", "request_body"] {
        let ng = with(engine, callback);
        ng.request("POST", "/file").body("hello").send().status(405);
        ng.log().wait("survived");
        judge(&ng);
    }
}

fn in_the_callbacks_of_a_response(engine: Engine) {
    for callback in ["response_headers", "response_body"] {
        let ng = with(engine, callback);
        ng.get("/file").status(200).body("a file");
        ng.log().wait("survived");
        judge(&ng);
    }
}

fn at_the_end_of_a_request(engine: Engine) {
    for callback in ["done", "log", "delete"] {
        let ng = with(engine, callback);
        ng.get("/file").status(200).body("a file");
        ng.log().wait("survived");
        judge(&ng);
    }
}

fn in_a_tick(engine: Engine) {
    let nginx = Nginx::new(engine);
    let ng = nginx.script("/", "configure: tick 10; tick: once wild; say survived", "return 200 fine;").start();
    ng.log().wait("survived");
    ng.get("/").status(200).body("fine");
    judge(&ng);
}

/// A filter that asks for a header and logs the status, with an allocator that gives `address`.
fn with_allocator(engine: Engine, address: &str) -> Running {
    let text = wasmx_t::filter(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (data (i32.const 16) ":path")
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 32) (i32.add (i32.const 48)
      (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 40) (i32.const 44))))
    (drop (call $log (i32.const 2) (i32.const 32) (i32.const 1)))
    (i32.const 0))"#,
    );
    let malloc = "    global.get $heap\n    global.get $heap local.get 0 i32.add global.set $heap)";
    assert!(text.contains(malloc), "the allocator of filter()");
    let text = text.replace(malloc, &format!("    {address})"));
    Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200 fine;").start()
}

fn an_allocator_that_gives_nonsense(engine: Engine) {
    for address in ["(i32.const 0)", "(i32.const -1)", "(i32.const 0x7fffffff)", "(i32.const 131071)"] {
        let ng = with_allocator(engine, address);
        ng.get("/a/path/of/some/length").status(200).body("fine");
        ng.log().has("] 6");
    }
    // One that fails costs the request, not the worker.
    let ng = with_allocator(engine, "unreachable");
    let workers = ng.workers();
    ng.get("/").status(500);
    assert_eq!(ng.workers(), workers);
}

fn header_maps_that_claim_too_much(engine: Engine) {
    for wire in ["%ff%ff%ff%7f", "%ff%ff%ff%ff%00%00%00%00", "%01%00%00%00%ff%ff%ff%ff%ff%ff%ff%ff"] {
        let script = format!("request_headers: set_raw request {wire}; set_raw response {wire}");
        let ng = Nginx::new(engine).script("/", &script, "return 200 fine;").start();
        ng.get("/").status(200).body("fine");
        ng.log().has(&format!("set_raw request {wire} -> 4")).has(&format!("set_raw response {wire} -> 4"));
    }
}
