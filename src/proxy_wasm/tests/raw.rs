//! Raw functions: no context, no ABI, and host functions that trap where they can do nothing.

use engines::TrapKind;

use super::{Engine, LIMIT, Server, TestStream, guest, on_every_engine, stream};
use crate::proxy_wasm::vm::{Vm, VmError, VmKind};
use crate::raw::{Phase, Running};

on_every_engine! {
    functions_are_found_by_name_and_type
    a_module_needs_no_proxy_wasm
    lines_go_to_the_log_of_the_request
    the_response_is_made_before_its_header
    what_is_not_possible_traps
    numbers_and_ranges_are_checked
    a_function_may_run_for_so_long
    filters_have_the_log_only
    one_module_is_both
    proxy_wasm_has_no_context_in_them
}

const IMPORTS: &str = r#"
  (import "env" "ngx_log" (func $log (param i32 i32 i32)))
  (import "env" "ngx_http_resp_get_status" (func $status (result i32)))
  (import "env" "ngx_http_resp_set_status" (func $set_status (param i32)))
  (import "env" "ngx_http_resp_say" (func $say (param i32 i32)))
  (import "env" "ngx_http_local_response" (func $answer (param i32 i32 i32 i32 i32)))
  (import "env" "ngx_http_discard_local_response" (func $discard))
  (memory (export "memory") 1)
  (data (i32.const 0) "hello\n")"#;

/// A module whose function `f` has this body.
fn raw(body: &str) -> Vec<u8> {
    module(&format!(r#"{IMPORTS} (func (export "f") {body})"#))
}

fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).unwrap_or_else(|error| panic!("{error}"))
}

fn start(engine: &Engine, wasm: &[u8]) -> (Box<dyn Vm<super::TestHost>>, Server) {
    let server = Server::default();
    (engine.program(wasm).start(server.host(), VmKind::Root).expect("the module starts"), server)
}

/// Runs function `f` for a stream.
fn run(engine: &Engine, body: &str, phase: Phase, stream: TestStream) -> Result<Server, String> {
    let (mut vm, server) = start(engine, &raw(body));
    match vm.call_function(0, Running { stream, phase }, LIMIT) {
        Ok(()) => Ok(server),
        Err(VmError::Trap(trap)) => {
            assert!(!vm.alive(), "it ends with the trap");
            Err(trap.to_string())
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn functions_are_found_by_name_and_type(engine: &Engine) {
    let has = |fields: &str| engine.program(&module(fields)).has_function(0);
    assert!(has(r#"(func (export "f"))"#));
    for result in ["i32", "i64", "f32", "f64"] {
        assert!(has(&format!(r#"(func (export "f") (result {result}) ({result}.const 1))"#)), "{result}");
    }
    assert!(!has(""));
    assert!(!has(r#"(func (export "other"))"#));
    assert!(!has(r#"(func (export "f") (param i32))"#));
    assert!(!has(r#"(memory (export "f") 1)"#));
    let program = engine.program(&module(r#"(func (export "g"))"#));
    assert_eq!([0, 1, 2, 3].map(|index| program.has_function(index)), [false, true, false, false]);
    let mut vm = program.start(Server::default().host(), VmKind::Root).unwrap();
    let absent = vm.call_function(0, Running { stream: stream(), phase: Phase::Log }, LIMIT);
    assert!(matches!(absent, Err(VmError::NoContext)) && vm.alive());
}

fn a_module_needs_no_proxy_wasm(engine: &Engine) {
    let wasm = module(r#"(func (export "f") (result i32) (i32.const 7))"#);
    assert!(engine.program(&wasm).check_abi().is_err());
    let (mut vm, _) = start(engine, &wasm);
    for phase in Phase::ALL {
        vm.call_function(0, Running { stream: stream(), phase }, LIMIT).unwrap();
    }
}

fn lines_go_to_the_log_of_the_request(engine: &Engine) {
    for phase in Phase::ALL {
        let body = "(call $log (i32.const 8) (i32.const 0) (i32.const 5))";
        let server = run(engine, body, phase, stream()).unwrap();
        assert_eq!(server.seen().raw_lines, [(8, true, "hello".to_owned())]);
    }
    let started =
        format!(r#"{IMPORTS} (func (export "_start") (call $log (i32.const 1) (i32.const 0) (i32.const 0)))"#);
    let (_, server) = start(engine, &module(&started));
    assert_eq!(server.seen().raw_lines, [(1, false, String::new())]);
}

fn the_response_is_made_before_its_header(engine: &Engine) {
    let body = "(call $set_status (i32.add (call $status) (i32.const 1)))
        (call $answer (i32.const 403) (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 4))
        (call $answer (i32.const 404) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
    for phase in [Phase::Rewrite, Phase::Access, Phase::Content, Phase::HeaderFilter] {
        let stream = stream();
        stream.content().status = 200;
        run(engine, body, phase, stream).unwrap();
        assert_eq!(stream.content().status, 201);
        assert_eq!(stream.content().answer, Some((403, "el".to_owned(), "hell".to_owned())));
        run(engine, "(call $discard)", phase, stream).unwrap();
        assert_eq!(stream.content().answer, None);
    }
    let said = stream();
    run(
        engine,
        "(call $say (i32.const 0) (i32.const 5)) (call $say (i32.const 0) (i32.const 0))",
        Phase::Content,
        said,
    )
    .unwrap();
    assert_eq!(said.content().said, ["hello", ""]);
}

fn what_is_not_possible_traps(engine: &Engine) {
    use Phase::{BodyFilter, Log};
    let set = "(call $set_status (i32.const 200))";
    let say = "(call $say (i32.const 0) (i32.const 5))";
    let answer = "(call $answer (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
    let table = [
        (set, "ngx_http_resp_set_status", vec![BodyFilter, Log]),
        (say, "ngx_http_resp_say", vec![BodyFilter, Log]),
        (answer, "ngx_http_local_response", vec![BodyFilter, Log]),
        ("(drop (call $status))", "ngx_http_resp_get_status", vec![]),
        ("(call $discard)", "ngx_http_discard_local_response", vec![]),
    ];
    for (body, name, not) in table {
        for phase in Phase::ALL {
            let text = format!("{name}: not possible in phase \"{}\"", phase.name());
            let expected = if not.contains(&phase) { Some(text) } else { None };
            assert_eq!(run(engine, body, phase, stream()).err(), expected);
        }
    }
    let gone = stream();
    gone.content().gone = true;
    let text = "ngx_http_resp_set_status: the request is gone";
    assert_eq!(run(engine, set, Phase::Rewrite, gone).err().as_deref(), Some(text));
}

fn numbers_and_ranges_are_checked(engine: &Engine) {
    let table = [
        ("(call $log (i32.const 0) (i32.const 0) (i32.const 0))", "ngx_log: invalid level 0"),
        ("(call $log (i32.const 9) (i32.const 0) (i32.const 0))", "ngx_log: invalid level 9"),
        ("(call $log (i32.const 1) (i32.const -1) (i32.const 2))", "ngx_log: out of bounds memory access"),
        ("(call $say (i32.const 65536) (i32.const 1))", "ngx_http_resp_say: out of bounds memory access"),
        ("(call $set_status (i32.const 199))", "ngx_http_resp_set_status: invalid status 199"),
        ("(call $set_status (i32.const 65736))", "ngx_http_resp_set_status: invalid status 65736"),
        (
            "(call $answer (i32.const 1000) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
            "ngx_http_local_response: invalid status 1000",
        ),
        (
            "(call $answer (i32.const 200) (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 0))",
            "ngx_http_local_response: control character in the reason",
        ),
        (
            "(call $answer (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const -1))",
            "ngx_http_local_response: out of bounds memory access",
        ),
    ];
    for (body, text) in table {
        let stream = stream();
        assert_eq!(run(engine, body, Phase::Content, stream).err().as_deref(), Some(text), "{body}");
        assert!(stream.content().said.is_empty() && stream.content().answer.is_none());
    }
    // Without a memory there is nothing to read.
    let wasm = r#"(import "env" "ngx_log" (func $log (param i32 i32 i32)))
        (func (export "f") (call $log (i32.const 1) (i32.const 0) (i32.const 1)))"#;
    let (mut vm, _) = start(engine, &module(wasm));
    let failed = vm.call_function(0, Running { stream: stream(), phase: Phase::Log }, LIMIT);
    assert!(matches!(failed, Err(VmError::Trap(trap)) if trap.to_string().contains("out of bounds")));
}

fn a_function_may_run_for_so_long(engine: &Engine) {
    let (mut vm, _) = start(engine, &raw("(loop $for (br $for))"));
    let limit = Some(std::time::Duration::from_millis(50));
    let failed = vm.call_function(0, Running { stream: stream(), phase: Phase::Rewrite }, limit);
    assert!(matches!(failed, Err(VmError::Trap(trap)) if trap.kind() == TrapKind::Deadline));
    let again = vm.call_function(0, Running { stream: stream(), phase: Phase::Rewrite }, limit);
    assert!(matches!(again, Err(VmError::Dead)));
}

const FILTER: &str = r#"
  (import "env" "ngx_log" (func $raw_log (param i32 i32 i32)))
  (import "env" "ngx_http_resp_say" (func $raw_say (param i32 i32)))
  (func (export "f") (call $raw_say 'from f') (call $say 'said by f'))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $raw_log (i32.const 4) 'from a filter') (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $raw_say 'from a filter') (i32.const 0))"#;

fn filters_have_the_log_only(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest::guest(FILTER));
    let context = vm.open(1, stream());
    vm.call(context, super::HEADERS, LIMIT).unwrap();
    assert_eq!(server.seen().raw_lines, [(4, true, "from a filter".to_owned())]);
    let headers = crate::proxy_wasm::vm::Callback::ResponseHeaders { count: 1, end_of_stream: true };
    let failed = vm.call(context, headers, LIMIT);
    let text = "ngx_http_resp_say: possible in a function of \"wasm_call\" only";
    assert!(matches!(failed, Err(VmError::Trap(trap)) if trap.to_string() == text));
}

fn one_module_is_both(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest::guest(FILTER));
    let (filtered, called) = (stream(), stream());
    let context = vm.open(1, filtered);
    for _ in 0..2 {
        vm.call(context, super::HEADERS, LIMIT).unwrap();
        vm.call_function(0, Running { stream: called, phase: Phase::Content }, LIMIT).unwrap();
    }
    assert_eq!(called.content().said, ["from f", "from f"]);
    assert!(filtered.content().said.is_empty());
    assert_eq!(server.take(), ["said by f", "said by f"]);
    vm.close(context, LIMIT).unwrap();
}

fn proxy_wasm_has_no_context_in_them(engine: &Engine) {
    let wasm = guest::guest(
        r#"(func (export "f") (call $result (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4))))"#,
    );
    let (mut vm, server) = engine.vm(&wasm);
    vm.call_function(0, Running { stream: stream(), phase: Phase::Rewrite }, LIMIT).unwrap();
    let lines = std::mem::take(&mut server.seen().lines);
    let line = lines.first().expect("a line with the status");
    assert_ne!(line.message, "2a");
    assert!(!line.on_stream && line.root == 0, "{line:?}");
}
