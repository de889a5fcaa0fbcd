//! `engine`, `compiler`, `backtraces`, and the blocks of the engines.

use wasmx_t::{Engine, Nginx, filter};

wasmx_t::on_every_engine![
    an_engine_that_is_not_there_is_told,
    a_compiler_that_is_not_there_is_told,
    every_compiler_serves,
    a_flag_that_is_not_there_is_told,
    a_flag_with_a_bad_value_is_told,
    blocks_of_engines_that_are_not_there_are_let_be,
    a_flag_counts_for_its_engine_only,
];

fn an_engine_that_is_not_there_is_told(engine: Engine) {
    let test = Nginx::new(engine).no_wasm_block().wasm_directive("engine nobodys;").conf_test();
    test.refuses().blames("engine nobodys", "nobodys");
}

fn a_compiler_that_is_not_there_is_told(engine: Engine) {
    let test = Nginx::new(engine).wasm_directive("compiler nobodys;").conf_test();
    test.refuses().blames("compiler nobodys", r#"[wasm] invalid compiler "nobodys""#);
    let test = Nginx::new(engine).wasm_directive(format!("{engine} {{\ncompiler other;\n}}")).conf_test();
    test.refuses().blames("compiler other", r#"[wasm] invalid compiler "other""#);
}

fn every_compiler_serves(engine: Engine) {
    let compilers: &[&str] = match engine {
        Engine::Wasmtime => &["auto", "cranelift", "winch"],
        Engine::Wasmer => &["auto", "cranelift"],
        Engine::Wasmi => &["auto"],
    };
    for compiler in compilers {
        let nginx = Nginx::new(engine).wasm_directive(format!("compiler {compiler};"));
        let ng = nginx.script("/", "request_headers: reply 200 {callback}", "").start();
        ng.get("/").status(200).body("request_headers");
        ng.log().has(&format!(r#"[wasm] using {engine} with compiler: "{compiler}""#));
    }
}

fn a_flag_that_is_not_there_is_told(engine: Engine) {
    let test = Nginx::new(engine).wasm_directive(format!("{engine} {{\nflag nobodys on;\n}}")).conf_test();
    test.refuses().blames("flag nobodys", &format!(r#"[wasm] unknown "{engine}" configuration flag: "nobodys""#));
}

fn a_flag_with_a_bad_value_is_told(engine: Engine) {
    let flags: &[_] = match engine {
        Engine::Wasmtime => &[("max_wasm_stack", "10U"), ("wasm_simd", "maybe"), ("cranelift_opt_level", "fast")],
        Engine::Wasmer => &[("max_wasm_stack", "10U"), ("wasm_simd", "maybe")],
        // It has none.
        Engine::Wasmi => return,
    };
    for (flag, value) in flags {
        let test = Nginx::new(engine).wasm_directive(format!("{engine} {{\nflag {flag} {value};\n}}")).conf_test();
        let text = format!(r#"failed setting {engine} flag: invalid value "{value}""#);
        test.refuses().blames(&format!("flag {flag}"), &text);
    }
}

fn blocks_of_engines_that_are_not_there_are_let_be(engine: Engine) {
    let test = Nginx::new(engine)
        .wasm_directive("v8 {\nflag expose_gc on;\n}")
        .wasm_directive("wasmer {\nflag wasm_simd on;\nflag max_wasm_stack 1m;\n}")
        .conf_test();
    test.accepts();
    let notices = test.text().lines().chain(test.log().lines()).filter(|line| line.contains("[notice]"));
    assert!(notices.filter(|line| line.contains("v8")).count() >= 1, "{test}");
}

fn a_flag_counts_for_its_engine_only(engine: Engine) {
    if engine == Engine::Wasmi {
        return;
    }
    let vectors = filter("").replace(
        r#"(func (export "proxy_abi"#,
        r#"(func (result v128) (v128.const i32x4 0 0 0 0)) (func (export "proxy_abi"#,
    );
    let nginx = |flag: &str| {
        let nginx = Nginx::new(engine).wasm_directive(format!("{engine} {{\n{flag}\n}}"));
        nginx.wat("a", &vectors).location("/", "proxy_wasm a;")
    };
    nginx("").conf_test().accepts();
    let relaxed = if engine == Engine::Wasmtime { "flag wasm_relaxed_simd off;\n" } else { "" };
    let off = nginx(&format!("{relaxed}flag wasm_simd off;")).conf_test();
    off.refuses().complains(r#"[wasm] failed loading "a" module bytes: "#);
}

/// All flags that users of ngx_wasm_module know, and ours, with a value that each takes.
const WASMTIME: [(&str, &str); 27] = [
    ("debug_info", "on"),
    ("consume_fuel", "off"),
    ("epoch_interruption", "on"),
    ("max_wasm_stack", "512k"),
    ("wasm_threads", "on"),
    ("wasm_reference_types", "on"),
    ("wasm_relaxed_simd", "on"),
    ("wasm_simd", "on"),
    ("wasm_bulk_memory", "on"),
    ("wasm_multi_value", "on"),
    ("wasm_multi_memory", "on"),
    ("wasm_memory64", "on"),
    ("strategy", "cranelift"),
    ("strategy", "winch"),
    ("strategy", "auto"),
    ("parallel_compilation", "on"),
    ("cranelift_debug_verifier", "on"),
    ("cranelift_nan_canonicalization", "on"),
    ("cranelift_opt_level", "none"),
    ("cranelift_opt_level", "speed"),
    ("cranelift_opt_level", "speed_and_size"),
    ("compiler_inlining", "on"),
    ("compiler_inlining", "off"),
    ("profiler", "none"),
    ("static_memory_maximum_size", "1m"),
    ("static_memory_guard_size", "64k"),
    ("dynamic_memory_guard_size", "64k"),
];

const WASMER: [(&str, &str); 12] = [
    ("wasm_bulk_memory", "on"),
    ("wasm_memory64", "on"),
    ("wasm_module_linking", "on"),
    ("wasm_multi_memory", "on"),
    ("wasm_multi_value", "on"),
    ("wasm_reference_types", "on"),
    ("wasm_simd", "on"),
    ("wasm_tail_call", "on"),
    ("wasm_threads", "on"),
    ("max_wasm_stack", "512k"),
    ("static_memory_offset_guard_size", "64k"),
    ("dynamic_memory_offset_guard_size", "64k"),
];

#[test]
fn every_flag_of_wasmtime_is_taken() {
    wasmx_t::on(Engine::Wasmtime, |it| take_every_flag(it, &WASMTIME), "flags::every_flag_of_wasmtime_is_taken");
}

#[test]
fn every_flag_of_wasmer_is_taken() {
    wasmx_t::on(Engine::Wasmer, |it| take_every_flag(it, &WASMER), "flags::every_flag_of_wasmer_is_taken");
}

fn take_every_flag(engine: Engine, flags: &[(&str, &str)]) {
    for (flag, value) in flags {
        let nginx = Nginx::new(engine).wasm_directive(format!("{engine} {{\nflag {flag} {value};\n}}"));
        let test = nginx.wat("a", filter("")).location("/", "proxy_wasm a;").conf_test();
        assert!(test.complaints() == 0, "flag {flag} {value}\n{test}");
    }
}
