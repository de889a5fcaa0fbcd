//! The versions of the ABI.

use wasmx_t::{Engine, Nginx, Running, filter};

wasmx_t::on_every_engine![
    all_versions_serve,
    header_callbacks_have_two_or_three_parameters,
    every_host_function_is_offered_to_every_version,
    a_missing_value_is_empty_in_0_1_0,
    a_missing_value_is_not_found_in_0_2,
    the_first_version_has_calls_of_its_own,
    the_first_version_continues_responses,
    callbacks_of_another_type_are_left_out,
];

fn version(text: &str, version: &str) -> String {
    text.replace("proxy_abi_version_0_2_1", &format!("proxy_abi_version_{version}"))
}

fn start(engine: Engine, text: &str) -> Running {
    Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200 fine;").start()
}

/// Logs `called` from the request's headers, with these parameters.
fn logs_called(parameters: &str) -> String {
    filter(&format!(
        r#"(data (i32.const 0) "called")
  (func (export "proxy_on_request_headers") (param {parameters}) (result i32)
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 6)))
    (i32.const 0))"#
    ))
}

fn all_versions_serve(engine: Engine) {
    for (abi, parameters) in [("0_1_0", "i32 i32"), ("0_2_0", "i32 i32 i32"), ("0_2_1", "i32 i32 i32")] {
        let ng = start(engine, &version(&logs_called(parameters), abi));
        ng.get("/").status(200).body("fine");
        ng.log().has(r#"[proxy-wasm]["a" #1] called"#);
    }
}

fn header_callbacks_have_two_or_three_parameters(engine: Engine) {
    // The export's own type tells, whatever the version says.
    for (abi, parameters) in [("0_1_0", "i32 i32 i32"), ("0_2_0", "i32 i32"), ("0_2_1", "i32 i32")] {
        let ng = start(engine, &version(&logs_called(parameters), abi));
        ng.get("/").status(200).body("fine");
        ng.log().has("] called");
    }
}

fn every_host_function_is_offered_to_every_version(engine: Engine) {
    let imports = [
        ("proxy_get_configuration", "i32 i32"),
        ("proxy_continue_request", ""),
        ("proxy_continue_response", ""),
        ("proxy_clear_route_cache", ""),
        ("proxy_continue_stream", "i32"),
        ("proxy_close_stream", "i32"),
        ("proxy_get_log_level", "i32"),
        ("proxy_set_tick_period_milliseconds", "i32"),
        ("proxy_get_current_time_nanoseconds", "i32"),
        ("proxy_http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
        ("proxy_grpc_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
        ("proxy_grpc_stream", "i32 i32 i32 i32 i32 i32 i32 i32 i32"),
        ("proxy_grpc_send", "i32 i32 i32 i32"),
        ("proxy_grpc_cancel", "i32"),
        ("proxy_grpc_close", "i32"),
        ("proxy_get_status", "i32 i32 i32"),
        ("proxy_define_metric", "i32 i32 i32 i32"),
        ("proxy_increment_metric", "i32 i64"),
        ("proxy_record_metric", "i32 i64"),
        ("proxy_get_metric", "i32 i32"),
        ("proxy_get_shared_data", "i32 i32 i32 i32 i32"),
        ("proxy_set_shared_data", "i32 i32 i32 i32 i32"),
        ("proxy_register_shared_queue", "i32 i32 i32"),
        ("proxy_resolve_shared_queue", "i32 i32 i32 i32 i32"),
        ("proxy_dequeue_shared_queue", "i32 i32 i32"),
        ("proxy_enqueue_shared_queue", "i32 i32 i32"),
        ("proxy_call_foreign_function", "i32 i32 i32 i32 i32 i32"),
        ("proxy_set_effective_context", "i32"),
        ("proxy_done", ""),
    ];
    let imports: String = imports
        .iter()
        .map(|(name, types)| format!("(import \"env\" \"{name}\" (func (param {types}) (result i32)))\n"))
        .collect();
    for abi in ["0_1_0", "0_2_0", "0_2_1"] {
        start(engine, &version(&filter(&imports), abi)).get("/").status(200);
    }
}

/// Logs the status of asking for a request header that is not there.
fn asks_for_nothing() -> String {
    filter(
        r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (data (i32.const 16) "x-none")
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 32) (i32.add (i32.const 48)
      (call $get (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 40) (i32.const 44))))
    (drop (call $log (i32.const 2) (i32.const 32) (i32.const 1)))
    (i32.const 0))"#,
    )
}

fn a_missing_value_is_empty_in_0_1_0(engine: Engine) {
    let ng = start(engine, &version(&asks_for_nothing(), "0_1_0"));
    ng.get("/").status(200);
    ng.log().has("] 0");
}

fn a_missing_value_is_not_found_in_0_2(engine: Engine) {
    for abi in ["0_2_0", "0_2_1"] {
        let ng = start(engine, &version(&asks_for_nothing(), abi));
        ng.get("/").status(200);
        ng.log().has("] 1");
    }
}

fn the_first_version_has_calls_of_its_own(engine: Engine) {
    let script = "configure: configuration; tick 10; request_headers: pause; tick: each continue_request";
    let ng = Nginx::new(engine).script("/", script, "return 200 fine;").start();
    ng.get("/").status(200).body("fine");
    ng.log().has("configuration -> 0 \"configure: configuration").has("continue_request -> 0");
}

fn the_first_version_continues_responses(engine: Engine) {
    let script = "configure: tick 10; response_headers: say held; pause; tick: each continue_response";
    let ng = Nginx::new(engine).script("/", script, "return 200 fine;").start();
    ng.get("/").status(200).body("fine");
    ng.log().in_order(&["held", "continue_response -> 0"]);
}

fn callbacks_of_another_type_are_left_out(engine: Engine) {
    // Not what the ABI has under this name: it is told at start, or never called.
    let text = filter(r#"(func (export "proxy_on_request_headers") (param f64) unreachable)"#);
    let test = Nginx::new(engine).wat("a", &text).location("/", "proxy_wasm a; return 200 fine;").conf_test();
    if test.complaints() == 0 {
        start(engine, &text).get("/").status(200).body("fine");
    }
}
