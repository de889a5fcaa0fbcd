//! What is compiled, and when.

use wasmx_t::{Engine, Log, Nginx, Running, filter, guest};

wasmx_t::on_every_engine![
    an_unchanged_module_is_not_compiled_again,
    a_changed_module_is_compiled_and_serves,
    only_the_changed_module_is_compiled,
    a_changed_flag_compiles_again,
    workers_compile_nothing,
    a_changed_configuration_of_a_filter_compiles_nothing,
    many_reloads_leave_one_master_that_serves,
];

/// What the master says when it has compiled.
fn compiled(log: &Log, module: &str) -> usize {
    log.lines_with(&format!(r#"[wasm] successfully loaded "{module}" module in "#)).len()
}

/// A filter that answers with a status.
fn answers(status: u16) -> String {
    filter(&format!(
        r#"(import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $reply (i32.const {status}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const -1)))
    (i32.const 0))"#
    ))
}

fn with(engine: Engine) -> Running {
    let nginx = Nginx::new(engine).wat("one", answers(201)).wat("two", answers(202));
    nginx.location("/one", "proxy_wasm one;").location("/two", "proxy_wasm two;").start()
}

fn an_unchanged_module_is_not_compiled_again(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: count; reply 200 {it}", "").start();
    assert_eq!(compiled(&ng.log(), "script"), 1, "{}", ng.log().text());
    ng.get("/").body("1");
    let log = ng.log().from_here();
    ng.reload();
    ng.reload();
    assert_eq!(compiled(&log, "script"), 0, "{}", log.text());
    ng.get("/").body("1");
}

fn a_changed_module_is_compiled_and_serves(engine: Engine) {
    let ng = with(engine);
    ng.get("/one").status(201);
    let log = ng.log().from_here();
    ng.write("one.wat", answers(203));
    ng.reload();
    assert_eq!(compiled(&log, "one"), 1, "{}", log.text());
    ng.get("/one").status(203);
}

fn only_the_changed_module_is_compiled(engine: Engine) {
    let ng = with(engine);
    let log = ng.log().from_here();
    ng.write("two.wat", answers(204));
    ng.reload();
    assert_eq!((compiled(&log, "one"), compiled(&log, "two")), (0, 1), "{}", log.text());
    ng.get("/one").status(201);
    ng.get("/two").status(204);
}

fn a_changed_flag_compiles_again(engine: Engine) {
    let (directive, before, after) = match engine {
        Engine::Wasmtime => ("compiler cranelift;", "compiler cranelift", "compiler winch"),
        Engine::Wasmer => ("wasmer { flag max_wasm_stack 1m; }", "max_wasm_stack 1m", "max_wasm_stack 2m"),
        Engine::Wasmi => ("wasmi { flag wasm_simd on; }", "wasm_simd on", "wasm_simd off"),
    };
    let nginx = Nginx::new(engine).wasm_directive(directive).wat("one", answers(201));
    let ng = nginx.location("/", "proxy_wasm one;").start();
    ng.get("/").status(201);
    let log = ng.log().from_here();
    ng.edit(|conf| conf.replace(before, after));
    ng.reload();
    assert_eq!(compiled(&log, "one"), 1, "{}", log.text());
    ng.get("/").status(201);
}

fn workers_compile_nothing(engine: Engine) {
    let nginx = Nginx::new(engine).workers(3).wasm("script", guest("script"));
    let ng = nginx.location("/", "proxy_wasm script 'request_headers: reply 200 fine';").start();
    for _ in 0..10 {
        ng.get("/").body("fine");
    }
    assert_eq!(compiled(&ng.log(), "script"), 1, "{}", ng.log().text());
    let lines = ng.log().lines_with("successfully loaded");
    let master = format!(" {}#", ng.master());
    assert!(lines.iter().all(|line| line.contains(&master)), "{lines:?}");
}

fn a_changed_configuration_of_a_filter_compiles_nothing(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: reply 200 old", "").start();
    ng.get("/").body("old");
    let log = ng.log().from_here();
    ng.edit(|conf| conf.replace("reply 200 old", "reply 200 new"));
    ng.reload();
    assert_eq!(compiled(&log, "script"), 0, "{}", log.text());
    ng.get("/").body("new");
}

fn many_reloads_leave_one_master_that_serves(engine: Engine) {
    let ng = with(engine);
    let master = ng.master();
    for status in 203..208 {
        ng.write("one.wat", answers(status));
        ng.reload();
        ng.get("/one").status(status);
    }
    assert_eq!(ng.master(), master);
}
