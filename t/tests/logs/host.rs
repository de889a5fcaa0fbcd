//! What the host says about filters and modules.

use wasmx_t::{Engine, Nginx, Running, filter};

wasmx_t::on_every_engine![
    the_start_is_told,
    a_trap_is_told_with_its_instance,
    a_trap_has_a_backtrace_when_it_is_asked_for,
    a_trap_has_no_backtrace_otherwise,
    a_loop_is_told,
    a_trap_is_told_with_its_request,
];

fn the_start_is_told(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "", "return 200;").start();
    let name = engine.name();
    let lines = [
        format!(r#"[wasm] using {name} with compiler: "auto""#),
        r#"[wasm] initializing "main" wasm VM"#.to_owned(),
        format!(r#"[wasm] loading "script" module <module: "script", vm: "main", runtime: "{name}">"#),
        r#"[wasm] successfully loaded "script" module in "#.to_owned(),
    ];
    for line in lines {
        let found = ng.log().wait(&line);
        assert!(found.contains("[info]"), "{found}");
    }
    let loaded = ng.log().wait("successfully loaded");
    let time = loaded.rsplit(" in ").next().and_then(|time| time.strip_suffix("ms")?.parse::<u64>().ok());
    assert!(time.is_some(), "{loaded}");
}

/// A filter whose functions have names.
fn traps(engine: Engine, directives: &str) -> Running {
    let text = filter(
        r#"(func $the_culprit unreachable)
  (func $on_request_headers (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $the_culprit) (i32.const 0))"#,
    );
    let nginx = Nginx::new(engine).wasm_directive(directives).wat("a", text);
    nginx.location("/", "proxy_wasm a; return 200;").start()
}

fn a_trap_is_told_with_its_instance(engine: Engine) {
    let ng = traps(engine, "");
    ng.get("/").status(500);
    let line = ng.log().wait("wasm trap");
    assert!(line.contains("[error]") && line.contains("unreachable"), "{line}");
    assert!(line.contains("[wasm] "), "{line}");
    assert!(line.contains(&format!(r#"<module: "a", vm: "main", runtime: "{engine}">"#)), "{line}");
}

fn a_trap_has_a_backtrace_when_it_is_asked_for(engine: Engine) {
    let ng = traps(engine, "backtraces on;");
    ng.get("/").status(500);
    ng.log().wait("wasm trap");
    // wasmi keeps no track of frames.
    if engine != Engine::Wasmi {
        // The lines of its text.
        ng.log().has("the_culprit at ").has("a.wat:3").has("on_request_headers at ").has("a.wat:5");
    }
}

fn a_trap_has_no_backtrace_otherwise(engine: Engine) {
    let ng = traps(engine, "");
    ng.get("/").status(500);
    ng.log().wait("wasm trap");
    ng.log().lacks("the_culprit");
}

fn a_loop_is_told(engine: Engine) {
    let nginx = Nginx::new(engine).wasm_directive("proxy_wasm_time_limit 50ms;");
    let ng = nginx.script("/", "request_headers: trap loop", "return 200;").start();
    ng.get("/").status(500);
    let told = ng.log().lines_with("[error]");
    let with_instance = |line: &&String| line.contains(r#"<module: "script", vm: "main", runtime: "#);
    assert_eq!(told.iter().filter(with_instance).count(), 1, "{told:#?}");
}

fn a_trap_is_told_with_its_request(engine: Engine) {
    let ng = traps(engine, "");
    ng.get("/a/path").status(500);
    let line = ng.log().wait("wasm trap");
    assert!(line.contains(r#"request: "GET /a/path HTTP/1.1""#), "{line}");
}
