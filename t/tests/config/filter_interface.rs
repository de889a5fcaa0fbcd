//! What a module must export to be a filter: asked only of those that a `proxy_wasm` names.

use wasmx_t::{Engine, Nginx, filter};

wasmx_t::on_every_engine![
    a_filter_tells_its_abi_version,
    an_abi_version_of_the_future_is_refused,
    a_filter_has_an_allocator,
    a_filter_creates_contexts,
    a_module_that_is_no_filter_is_let_be,
];

fn refused(engine: Engine, text: String, complaint: &str) {
    let test = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a;").conf_test();
    test.refuses().complains(complaint);
}

fn a_filter_tells_its_abi_version(engine: Engine) {
    let text = filter("").replace("proxy_abi_version_0_2_1", "no_version");
    refused(engine, text, r#"[proxy-wasm] failed loading "a" filter (unknown ABI version)"#);
}

fn an_abi_version_of_the_future_is_refused(engine: Engine) {
    let text = filter("").replace("proxy_abi_version_0_2_1", "proxy_abi_version_9_9_9");
    refused(engine, text, r#"[proxy-wasm] failed loading "a" filter (incompatible ABI version)"#);
}

fn a_filter_has_an_allocator(engine: Engine) {
    let text = filter("").replace("\"malloc\"", "\"no_malloc\"");
    refused(engine, text, r#"[proxy-wasm] "a" filter missing malloc (incompatible SDK interface)"#);
}

fn a_filter_creates_contexts(engine: Engine) {
    let text = filter("").replace("proxy_on_context_create", "on_context_create");
    refused(engine, text, r#"[proxy-wasm] "a" filter missing one of: "#);
}

fn a_module_that_is_no_filter_is_let_be(engine: Engine) {
    let ng = Nginx::new(engine).wat("a", "(module)").location("/", "return 200 ok;").start();
    ng.get("/").status(200).body("ok");
}
