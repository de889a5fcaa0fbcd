//! Directives with a value from a list, a time or a size.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    a_bad_isolation_is_told,
    a_bad_failure_policy_is_told,
    a_bad_property_format_is_told,
    a_bad_switch_is_told,
    a_bad_limit_is_told,
    a_bad_environment_is_told,
    a_value_is_given_once,
];

fn a_bad_isolation_is_told(engine: Engine) {
    let test = Nginx::new(engine).location("/", "proxy_wasm_isolation x;").conf_test();
    test.refuses().blames("proxy_wasm_isolation x", r#"invalid isolation mode "x""#);
}

fn a_bad_failure_policy_is_told(engine: Engine) {
    let test = Nginx::new(engine)
        .wasm_directive("proxy_wasm_failure_policy ajar;")
        .location("/", "proxy_wasm_failure_policy wide;")
        .conf_test();
    test.refuses().blames("policy ajar", "ajar").blames("policy wide", "wide");
}

fn a_bad_property_format_is_told(engine: Engine) {
    let test = Nginx::new(engine).location("/", "proxy_wasm_property_format roman;").conf_test();
    test.refuses().blames("format roman", "roman");
}

fn a_bad_switch_is_told(engine: Engine) {
    for directive in ["proxy_wasm_request_headers_in_access", "wasm_postpone_rewrite", "wasm_postpone_access"] {
        let test = Nginx::new(engine).location("/", format!("{directive} maybe;")).conf_test();
        test.refuses().blames(directive, "maybe");
    }
    Nginx::new(engine).wasm_directive("backtraces maybe;").conf_test().refuses().blames("backtraces", "maybe");
}

fn a_bad_limit_is_told(engine: Engine) {
    for directive in ["proxy_wasm_time_limit", "proxy_wasm_start_limit", "proxy_wasm_memory_limit", "instances"] {
        let test = Nginx::new(engine).wasm_directive(format!("{directive} 1x;")).conf_test();
        test.refuses().blames(directive, "");
    }
}

fn a_bad_environment_is_told(engine: Engine) {
    let test = Nginx::new(engine).wasm_directive("environ nothing;").conf_test();
    test.refuses().blames("environ nothing", "nothing");
}

fn a_value_is_given_once(engine: Engine) {
    let twice = "proxy_wasm_isolation none; proxy_wasm_isolation stream;";
    let test = Nginx::new(engine).wat("a", "(module)").location("/", twice).conf_test();
    test.refuses().complains("is duplicate");
}
