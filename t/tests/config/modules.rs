//! `wasm {}` and its `module` lines.

use wasmx_t::{Engine, Nginx, filter, guest};

wasmx_t::on_every_engine![
    a_filter_needs_a_wasm_block,
    a_module_needs_a_good_name,
    a_module_needs_a_path,
    a_name_is_given_once,
    a_filter_names_a_module_that_is_there,
    a_missing_file_is_told,
    bytes_that_are_no_module_are_told,
    text_that_is_no_module_is_told,
    an_import_that_nobody_offers_is_told,
    an_import_of_another_type_is_told,
    every_import_that_is_missing_is_told,
    there_is_one_wasm_block,
];

fn a_filter_needs_a_wasm_block(engine: Engine) {
    let test = Nginx::new(engine).no_wasm_block().location("/", "proxy_wasm a;").conf_test();
    test.refuses().blames("proxy_wasm a", r#""proxy_wasm" directive is specified but config has no "wasm" section"#);
}

fn a_module_needs_a_good_name(engine: Engine) {
    let with_name = |name: &str| Nginx::new(engine).wasm(name, guest("empty")).conf_test();
    with_name(r#""""#).refuses().blames(r#"module """#, r#"invalid module name """#);
    let text = r#"invalid module name "bad:name": character not allowed ":""#;
    with_name("bad:name").refuses().blames("module bad:name", text);
    let text = r#"invalid module name "bad name": character not allowed " ""#;
    with_name(r#""bad name""#).refuses().blames("bad name", text);
    with_name("'bad\tname'").refuses().complains(r#"invalid module name "bad"#);
}

fn a_module_needs_a_path(engine: Engine) {
    let test = Nginx::new(engine).wasm_directive(r#"module a "";"#).conf_test();
    test.refuses().blames(r#"module a """#, r#"invalid module path """#);
}

fn a_name_is_given_once(engine: Engine) {
    let test = Nginx::new(engine).wat("a", "(module)").wasm_with("a", guest("empty"), "again").conf_test();
    test.refuses().blames("again", r#""a" module already defined"#);
}

fn a_filter_names_a_module_that_is_there(engine: Engine) {
    let test = Nginx::new(engine).wat("a", "(module)").location("/", "proxy_wasm b;").conf_test();
    test.refuses().blames("proxy_wasm b", r#"no "b" module defined"#);
}

fn a_missing_file_is_told(engine: Engine) {
    let test = Nginx::new(engine).wasm("a", "/not/there.wasm").conf_test();
    let text = r#"[wasm] open() "/not/there.wasm" failed (2: No such file or directory)"#;
    test.refuses().blames("module a", text);
}

fn bytes_that_are_no_module_are_told(engine: Engine) {
    let nginx = Nginx::new(engine).file("bad.wasm", b"\0asm\x01\0\0\0 and no more");
    let path = nginx.prefix().join("bad.wasm");
    let test = nginx.wasm("a", path).conf_test();
    test.refuses().blames("module a", r#"[wasm] failed loading "a" module bytes: "#);
}

fn text_that_is_no_module_is_told(engine: Engine) {
    let test = Nginx::new(engine).wat("a", "(module (func").conf_test();
    test.refuses().blames("module a", r#"[wasm] failed loading "a" module bytes: "#);
}

fn an_import_that_nobody_offers_is_told(engine: Engine) {
    let text = filter(r#"(import "env" "nobodys" (func))"#);
    let test = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a;").conf_test();
    test.refuses().says(r#"failed importing "env.nobodys": missing host function"#);
    test.complains(
        r#"[wasm] failed linking "a" module with "ngx_proxy_wasm" host interface: incompatible host interface"#,
    );
}

fn an_import_of_another_type_is_told(engine: Engine) {
    let text = filter(r#"(import "env" "proxy_done" (func (param i64)))"#);
    let test = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a;").conf_test();
    test.refuses().says(r#"failed importing "env.proxy_done": "#);
    test.complains(
        r#"[wasm] failed linking "a" module with "ngx_proxy_wasm" host interface: incompatible host interface"#,
    );
}

fn every_import_that_is_missing_is_told(engine: Engine) {
    let text = filter(r#"(import "env" "one" (func)) (import "env" "two" (func)) (import "other" "three" (func))"#);
    let test = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a;").conf_test();
    for name in ["env.one", "env.two", "other.three"] {
        test.refuses().says(&format!(r#"failed importing "{name}": missing host function"#));
    }
}

fn there_is_one_wasm_block(engine: Engine) {
    let test = Nginx::new(engine).main("wasm { }").conf_test();
    test.refuses().complains(r#""wasm" directive is duplicate"#);
}
