//! What must be accepted, and does what it says.

use wasmx_t::{Engine, Nginx, guest};

wasmx_t::on_every_engine![
    all_directives_stand_where_they_may,
    the_blocks_come_in_any_order,
    an_empty_wasm_block_is_fine,
    a_module_without_a_filter_is_loaded,
    the_environment_reaches_the_guest,
];

fn all_directives_stand_where_they_may(engine: Engine) {
    let everywhere = "proxy_wasm_isolation stream;
        proxy_wasm_request_headers_in_access on;
        wasm_postpone_rewrite on;
        wasm_postpone_access on;
        proxy_wasm_failure_policy open;
        proxy_wasm_time_limit 2s;
        proxy_wasm_property_format envoy;
        proxy_wasm a;";
    let test = Nginx::new(engine)
        .wasm("a", guest("empty"))
        .wasm_directive(
            "instances 10;
             environ A=1;
             environ B=2;
             backtraces on;
             proxy_wasm_failure_policy open;
             proxy_wasm_time_limit 0;
             proxy_wasm_start_limit 10s;
             proxy_wasm_memory_limit 64m;",
        )
        .http(everywhere)
        .server(everywhere)
        .location("/", everywhere)
        .conf_test();
    test.accepts();
}

fn the_blocks_come_in_any_order(engine: Engine) {
    let ng = Nginx::new(engine).http_first().script("/", "request_headers: reply 200 {callback}", "").start();
    ng.get("/").status(200).body("request_headers");
}

fn an_empty_wasm_block_is_fine(engine: Engine) {
    let ng = Nginx::new(engine).no_wasm_block().main("wasm { }").location("/", "return 200 ok;").start();
    ng.get("/").status(200).body("ok");
}

fn a_module_without_a_filter_is_loaded(engine: Engine) {
    let ng = Nginx::new(engine).wasm("a", guest("empty")).location("/", "return 200 ok;").start();
    ng.get("/").status(200).body("ok");
    ng.log().has(r#"[wasm] successfully loaded "a" module in "#);
}

fn the_environment_reaches_the_guest(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("environ 'GREETING=hello world' EMPTY=;\nenviron MORE=yes;")
        .env("PRIVATE", "of nginx")
        .main("env PRIVATE;")
        .script("/given", "request_headers: env GREETING; reply 200 {it}", "")
        .script("/empty", "request_headers: env EMPTY; reply 200 <{it}>", "")
        .script("/more", "request_headers: env MORE; reply 200 {it}", "")
        .script("/private", "request_headers: env PRIVATE; reply 200 {it}", "")
        .start();
    ng.get("/given").body("hello world");
    ng.get("/empty").body("<>");
    ng.get("/more").body("yes");
    ng.get("/private").body("environment variable not found");
}
