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
    the_first_version_reads_its_configurations,
    what_is_paused_goes_on_in_every_version,
    the_answers_of_calls_are_the_same_in_every_version,
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

/// A filter of that version; `$stream` is the context that was made last, `$status` logs a number of one digit.
fn of_version(abi: &str, more: &str) -> String {
    let create = r#"(func (export "proxy_on_context_create") (param i32 i32)"#;
    let text = filter(&format!(
        r#"{more}
  (global $stream (mut i32) (i32.const 0))
  (func $status (param i32)
    (i32.store8 (i32.const 32) (i32.add (i32.const 48) (local.get 0)))
    (drop (call $log (i32.const 2) (i32.const 32) (i32.const 1))))"#
    ));
    assert!(text.contains(create), "what filter() exports");
    version(&text.replace(create, &format!("{create} (global.set $stream (local.get 0))")), abi)
}

fn the_first_version_reads_its_configurations(engine: Engine) {
    let show = "(drop (call $configuration (i32.const 40) (i32.const 44)))
                (drop (call $log (i32.const 2) (i32.load (i32.const 40)) (i32.load (i32.const 44))))";
    let text = of_version(
        "0_1_0",
        &format!(
            r#"(import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) {show} (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) {show} (i32.const 1))"#
        ),
    );
    let nginx = Nginx::new(engine).file("a.wat", &text);
    let path = nginx.prefix().join("a.wat");
    let ng = nginx
        .wasm_with("a", path, "'of the module'")
        .location("/", "proxy_wasm a 'of the filter'; return 200 fine;")
        .start();
    ng.get("/").status(200);
    ng.log().in_order(&["] of the module", "] of the filter"]);
}

fn what_is_paused_goes_on_in_every_version(engine: Engine) {
    let table = [
        ("0_1_0", "i32 i32", "request", "proxy_continue_request", "", ""),
        ("0_1_0", "i32 i32", "response", "proxy_continue_response", "", ""),
        ("0_2_0", "i32 i32 i32", "request", "proxy_continue_stream", "i32", "(i32.const 0)"),
        ("0_2_0", "i32 i32 i32", "response", "proxy_continue_stream", "i32", "(i32.const 1)"),
        ("0_2_1", "i32 i32 i32", "request", "proxy_continue_stream", "i32", "(i32.const 0)"),
        ("0_2_1", "i32 i32 i32", "response", "proxy_continue_stream", "i32", "(i32.const 1)"),
    ];
    for (abi, parameters, side, call, types, argument) in table {
        let text = of_version(
            abi,
            &format!(
                r#"(import "env" "{call}" (func $continue (param {types}) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $tick (i32.const 10))) (i32.const 1))
  (func (export "proxy_on_{side}_headers") (param {parameters}) (result i32) (i32.const 1))
  (func (export "proxy_on_tick") (param i32)
    (drop (call $effective (global.get $stream)))
    (call $status (call $continue {argument})))"#
            ),
        );
        let ng = start(engine, &text);
        ng.get("/").status(200).body("fine");
        ng.log().has("] 0").lacks("held the");
    }
}

/// Those that only some versions have are offered to all, and answer all alike.
fn the_answers_of_calls_are_the_same_in_every_version(engine: Engine) {
    let calls = [
        ("proxy_get_log_level", "i32", "(i32.const 48)", 0),
        ("proxy_get_log_level", "i32", "(i32.const -1)", 6),
        ("proxy_clear_route_cache", "", "", 0),
        ("proxy_continue_stream", "i32", "(i32.const 4)", 2),
        ("proxy_get_configuration", "i32 i32", "(i32.const 48) (i32.const 52)", 0),
        ("proxy_done", "", "", 1),
        ("proxy_get_buffer_status", "i32 i32 i32", "(i32.const 9) (i32.const 48) (i32.const 52)", 2),
    ];
    let (mut imports, mut asked, mut expected) = (String::new(), String::new(), Vec::new());
    for (index, (name, types, arguments, status)) in calls.into_iter().enumerate() {
        imports += &format!("(import \"env\" \"{name}\" (func $f{index} (param {types}) (result i32)))\n");
        asked += &format!("(call $status (call $f{index} {arguments}))\n");
        expected.push(format!("] {status}"));
    }
    for (abi, parameters) in [("0_1_0", "i32 i32"), ("0_2_0", "i32 i32 i32"), ("0_2_1", "i32 i32 i32")] {
        let callback = format!(
            r#"{imports}
  (func (export "proxy_on_request_headers") (param {parameters}) (result i32) {asked} (i32.const 0))"#
        );
        let ng = start(engine, &of_version(abi, &callback));
        ng.get("/").status(200);
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        ng.log().in_order(&expected);
    }
}

fn callbacks_of_another_type_are_left_out(engine: Engine) {
    // Not what the ABI has under this name: it is told at start, or never called.
    let text = filter(r#"(func (export "proxy_on_request_headers") (param f64) unreachable)"#);
    let test = Nginx::new(engine).wat("a", &text).location("/", "proxy_wasm a; return 200 fine;").conf_test();
    if test.complaints() == 0 {
        start(engine, &text).get("/").status(200).body("fine");
    }
}
