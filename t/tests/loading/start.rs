//! What is called at start, and in which order.

use wasmx_t::{Engine, Nginx, Running, filter, guest};

wasmx_t::on_every_engine![
    initialize_then_main,
    initialize_and_the_other_main,
    start_when_there_is_no_initialize,
    never_both_initialize_and_start,
    the_start_section_comes_first,
    during_the_start_a_call_that_needs_a_context_is_answered,
    a_root_is_created_started_and_configured,
    callbacks_that_are_absent_count_as_yes,
    a_binary_and_its_text_serve_alike,
    imports_of_emscripten_and_assemblyscript_are_there,
    an_abort_of_assemblyscript_is_told,
];

/// A function that logs one letter.
fn logs(export: &str, types: &str, letter: char) -> String {
    let code = u32::from(letter);
    format!(
        r#"(func (export "{export}") {types}
    (i32.store8 (i32.const 8) (i32.const {code}))
    (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1)))
    {})
  "#,
        if types.contains("result") { "(i32.const 1)" } else { "" }
    )
}

fn start(engine: Engine, functions: &str) -> Running {
    Nginx::new(engine).wat("a", filter(functions)).location("/", "proxy_wasm a; return 200 fine;").start()
}

/// The letters that the worker logged, in order.
fn letters(ng: &Running) -> String {
    ng.get("/").status(200).body("fine");
    let of_worker = format!(" {}#", ng.workers()[0]);
    let lines = ng.log().lines_with(&of_worker);
    let letter = |line: &String| {
        let said = line.split("[proxy-wasm]").nth(1)?.split(',').next()?;
        said.rsplit(' ').next().filter(|letter| letter.len() == 1).map(str::to_owned)
    };
    lines.iter().filter_map(letter).collect()
}

const MAIN: &str = "(param i32 i32) (result i32)";

fn initialize_then_main(engine: Engine) {
    let functions = logs("main", MAIN, 'm') + &logs("_initialize", "", 'i');
    assert_eq!(letters(&start(engine, &functions)), "im");
}

fn initialize_and_the_other_main(engine: Engine) {
    let functions = logs("__main_void", "(result i32)", 'm') + &logs("_initialize", "", 'i');
    assert_eq!(letters(&start(engine, &functions)), "im");
}

fn start_when_there_is_no_initialize(engine: Engine) {
    assert_eq!(letters(&start(engine, &logs("_start", "", 's'))), "s");
}

fn never_both_initialize_and_start(engine: Engine) {
    let functions = logs("_start", "", 's') + &logs("_initialize", "", 'i');
    assert_eq!(letters(&start(engine, &functions)), "i");
}

fn the_start_section_comes_first(engine: Engine) {
    let functions = logs("_initialize", "", 'i') + &logs("first", "", 'f') + "(start $first)";
    let functions = functions.replace(r#"(func (export "first")"#, r#"(func $first (export "first")"#);
    assert_eq!(letters(&start(engine, &functions)), "fi");
}

fn during_the_start_a_call_that_needs_a_context_is_answered(engine: Engine) {
    let functions = r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (func (export "_initialize")
    (if (i32.eqz (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 40) (i32.const 44)))
      (then unreachable))
    (drop (call $tick (i32.const 1)))
    (drop (call $effective (i32.const 1))))"#;
    start(engine, functions).get("/").status(200).body("fine");
}

fn a_root_is_created_started_and_configured(engine: Engine) {
    let create = r#"(func (export "proxy_on_context_create") (param i32 i32))"#;
    let text = filter(&(logs("proxy_on_vm_start", MAIN, 'v') + &logs("proxy_on_configure", MAIN, 'c')));
    let text = text.replace(create, &logs("proxy_on_context_create", "(param i32 i32)", 'n'));
    let ng = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200 fine;").start();
    // The last is the context of the request.
    let letters = letters(&ng);
    assert!(letters.starts_with("nvc"), "{letters}");
}

fn callbacks_that_are_absent_count_as_yes(engine: Engine) {
    let ng = start(engine, "");
    ng.get("/").status(200).body("fine");
    ng.post("/", "hello").status(200).body("fine");
}

fn a_binary_and_its_text_serve_alike(engine: Engine) {
    // (module), in its binary form: no filter, and a module all the same.
    let nginx = Nginx::new(engine).file("a.wasm", b"\0asm\x01\0\0\0").wat("b", "(module)");
    let path = nginx.prefix().join("a.wasm");
    nginx
        .wasm("a", path)
        .wasm("c", guest("empty"))
        .location("/", "proxy_wasm c; return 200;")
        .start()
        .get("/")
        .status(200);
}

fn imports_of_emscripten_and_assemblyscript_are_there(engine: Engine) {
    let functions = r#"(import "env" "emscripten_notify_memory_growth" (func (param i32)))
  (import "env" "abort" (func (param i32 i32 i32 i32)))"#;
    start(engine, functions).get("/").status(200).body("fine");
}

fn an_abort_of_assemblyscript_is_told(engine: Engine) {
    // Strings there are of 16 bits, their length in bytes before them.
    let functions = r#"(import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (data (i32.const 12) "\06\00\00\00o\00h\00!\00")
  (data (i32.const 60) "\08\00\00\00a\00.\00t\00s\00")
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $abort (i32.const 16) (i32.const 64) (i32.const 7) (i32.const 3))
    (i32.const 0))"#;
    let ng = start(engine, functions);
    ng.get("/").status(500);
    let line = ng.log().wait("oh!");
    assert!(line.contains("a.ts") && line.contains('7') && line.contains('3'), "{line}");
}
