//! How the page is asked for.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    each_format_has_its_type,
    a_query_chooses_another,
    only_get_and_head_are_answered,
    a_bad_format_is_told,
    it_is_given_once,
    it_needs_wasm,
    it_is_not_inherited,
    filters_of_its_location_see_it,
    it_is_answered_by_a_single_process,
];

fn each_format_has_its_type(engine: Engine) {
    let ng = Nginx::new(engine)
        .location("/plain", "wasm_status;")
        .location("/prometheus", "wasm_status prometheus;")
        .location("/json", "wasm_status json;")
        .location("/html", "wasm_status html;")
        .start();
    for (path, kind, start) in [
        ("/plain", "text/plain; version=0.0.4; charset=utf-8", "# HELP wasmx_"),
        ("/prometheus", "text/plain; version=0.0.4; charset=utf-8", "# HELP wasmx_"),
        ("/json", "application/json", "{\"version\":"),
        ("/html", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let page = ng.get(path);
        page.status(200).header("content-type", kind).header("cache-control", "no-store");
        page.header("x-content-type-options", "nosniff");
        assert!(page.text().starts_with(start), "{page}");
    }
}

fn a_query_chooses_another(engine: Engine) {
    let ng = Nginx::new(engine).location("/", "wasm_status html;").start();
    ng.get("/?a&format=json")
        .status(200)
        .header("content-type", "application/json")
        .no_header("content-security-policy");
    ng.get("/?format=prometheus").status(200).body_has("# HELP wasmx_workers ");
    ng.get("/?format=xml").status(400);
}

fn only_get_and_head_are_answered(engine: Engine) {
    let ng = Nginx::new(engine).location("/", "wasm_status;").start();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        ng.request(method, "/").body("x").send().status(405);
    }
    let head = ng.request("HEAD", "/").send();
    head.status(200).body("");
    assert!(head.value("content-length").is_some_and(|length| length != "0"), "{head}");
}

fn a_bad_format_is_told(engine: Engine) {
    let test = Nginx::new(engine).location("/", "wasm_status xml;").conf_test();
    test.refuses().blames("wasm_status xml", r#"invalid status format "xml""#);
}

fn it_is_given_once(engine: Engine) {
    let test = Nginx::new(engine).location("/", "wasm_status; wasm_status json;").conf_test();
    test.refuses().complains(r#""wasm_status" directive is duplicate"#);
}

fn it_needs_wasm(engine: Engine) {
    let test = Nginx::new(engine).no_wasm_block().location("/", "wasm_status;").conf_test();
    test.refuses().blames("wasm_status", r#""wasm_status" directive is specified but config has no "wasm" section"#);
}

fn it_is_not_inherited(engine: Engine) {
    let ng = Nginx::new(engine).location("/", "wasm_status;\nlocation /below { return 200 below; }").start();
    ng.get("/below").body("below");
    ng.get("/other").body_has("wasmx_workers");
}

fn filters_of_its_location_see_it(engine: Engine) {
    let script = "response_headers: add response x-seen yes";
    let ng = Nginx::new(engine).script("/", script, "wasm_status;").start();
    ng.get("/").status(200).header("x-seen", "yes").body_has("wasmx_filter_contexts{");
}

fn it_is_answered_by_a_single_process(engine: Engine) {
    if Nginx::lacks_single_process("it_is_answered_by_a_single_process") {
        return;
    }
    let ng = Nginx::new(engine).single_process().location("/", "wasm_status;").start();
    ng.get("/").status(200).body_has("\nwasmx_workers 1\n");
}
