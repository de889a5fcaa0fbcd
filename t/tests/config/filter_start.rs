//! A filter that does not want to start, or cannot, is told of by `nginx -t`.

use wasmx_t::{Engine, Nginx, filter, guest};

wasmx_t::on_every_engine![
    no_from_on_vm_start_is_told,
    no_from_on_configure_is_told,
    a_trap_in_on_vm_start_is_told,
    a_trap_in_on_configure_is_told,
    a_loop_in_on_vm_start_ends_at_the_start_limit,
    a_loop_in_on_configure_ends_at_the_start_limit,
    a_trap_in_the_start_function_is_told,
    a_loop_in_the_start_function_ends_at_the_start_limit,
    a_trap_in_the_creation_of_the_root_is_told,
    each_filter_is_tried_with_its_own_configuration,
    a_trial_start_leaves_nothing_behind,
    what_a_filter_says_of_its_refusal_is_shown,
];

const VM_START: &str = r#"[proxy-wasm] failed initializing "script" filter (on_vm_start failure)"#;
const CONFIGURE: &str = r#"[proxy-wasm] failed initializing "script" filter (on_configure failure)"#;

fn with_vm_configuration(engine: Engine, script: &str) -> Nginx {
    let nginx = Nginx::new(engine).wasm_directive("proxy_wasm_start_limit 100ms;");
    nginx.wasm_with("script", guest("script"), &format!("'{script}'")).location("/", "proxy_wasm script;")
}

fn with_configuration(engine: Engine, script: &str) -> Nginx {
    Nginx::new(engine).wasm_directive("proxy_wasm_start_limit 100ms;").script("/", script, "")
}

fn no_from_on_vm_start_is_told(engine: Engine) {
    with_vm_configuration(engine, "vm_start: refuse").conf_test().refuses().complains(VM_START);
}

fn no_from_on_configure_is_told(engine: Engine) {
    with_configuration(engine, "configure: refuse").conf_test().refuses().blames("proxy_wasm script", CONFIGURE);
}

fn a_trap_in_on_vm_start_is_told(engine: Engine) {
    for trouble in ["unreachable", "recursion", "pointer", "exit"] {
        let nginx = with_vm_configuration(engine, &format!("vm_start: trap {trouble}"));
        nginx.conf_test().refuses().complains(VM_START);
    }
}

fn a_trap_in_on_configure_is_told(engine: Engine) {
    for trouble in ["unreachable", "recursion", "pointer", "exit"] {
        let nginx = with_configuration(engine, &format!("configure: trap {trouble}"));
        nginx.conf_test().refuses().complains(CONFIGURE);
    }
}

fn a_loop_in_on_vm_start_ends_at_the_start_limit(engine: Engine) {
    with_vm_configuration(engine, "vm_start: trap loop").conf_test().refuses().complains(VM_START);
}

fn a_loop_in_on_configure_ends_at_the_start_limit(engine: Engine) {
    with_configuration(engine, "configure: trap loop").conf_test().refuses().complains(CONFIGURE);
}

fn with_export(engine: Engine, function: &str) -> Nginx {
    let text = filter("").replace("(func (export \"proxy_abi", &format!("{function}\n  (func (export \"proxy_abi"));
    let nginx = Nginx::new(engine).wasm_directive("proxy_wasm_start_limit 100ms;");
    nginx.wat("a", text).location("/", "proxy_wasm a;")
}

fn a_trap_in_the_start_function_is_told(engine: Engine) {
    let quiet = r#"(func (export "_initialize"))"#;
    for function in [
        r#"(func (export "_initialize") unreachable)"#.to_owned(),
        r#"(func (export "_start") unreachable)"#.to_owned(),
        format!(r#"{quiet} (func (export "main") (param i32 i32) (result i32) unreachable)"#),
        format!(r#"{quiet} (func (export "__main_void") (result i32) unreachable)"#),
    ] {
        with_export(engine, &function).conf_test().refuses().complains(r#""a""#);
    }
    with_export(engine, "(start $s) (func $s unreachable)").conf_test().refuses().complains(r#""a""#);
}

fn a_loop_in_the_start_function_ends_at_the_start_limit(engine: Engine) {
    let function = r#"(func (export "_initialize") (loop $l br $l))"#;
    with_export(engine, function).conf_test().refuses().complains(r#""a""#);
    with_export(engine, "(start $s) (func $s (loop $l br $l))").conf_test().refuses().complains(r#""a""#);
}

fn a_trap_in_the_creation_of_the_root_is_told(engine: Engine) {
    let text = filter("").replace(
        r#"(func (export "proxy_on_context_create") (param i32 i32))"#,
        r#"(func (export "proxy_on_context_create") (param i32 i32) unreachable)"#,
    );
    Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a;").conf_test().refuses().complains(r#""a""#);
}

fn each_filter_is_tried_with_its_own_configuration(engine: Engine) {
    let nginx = Nginx::new(engine).script("/good", "", "").script("/bad", "configure: refuse", "");
    nginx.conf_test().refuses().blames("configure: refuse", CONFIGURE);
}

fn a_trial_start_leaves_nothing_behind(engine: Engine) {
    let nginx = Nginx::new(engine).script("/", "configure: tick 1; tick: say ticked; trap unreachable", "return 200;");
    let test = nginx.conf_test();
    test.accepts();
    assert!(!test.log().contains("ticked"), "{test}");
}

fn what_a_filter_says_of_its_refusal_is_shown(engine: Engine) {
    let nginx = with_configuration(engine, "configure: log 4 there is no such colour; refuse");
    nginx.conf_test().refuses().says("there is no such colour");
}
