//! The map calls themselves: what they answer when something is wrong.

use wasmx_t::{Engine, Nginx, Running};

wasmx_t::on_every_engine![
    a_value_that_is_not_there,
    a_map_that_the_phase_has_not,
    a_map_that_nobody_has,
    the_size_of_a_map_is_given,
    a_malformed_map_changes_nothing,
    an_empty_map_takes_all_but_pseudo_headers,
    too_many_pairs_are_refused,
];

fn with(engine: Engine, script: &str) -> Running {
    Nginx::new(engine).script("/", &format!("request_headers: {script}"), "return 200 '$http_x_a';").start()
}

fn a_value_that_is_not_there(engine: Engine) {
    let ng = with(engine, "get request x-none; get response x-none");
    ng.get("/").status(200);
    ng.log().has("get request x-none -> 1").has("get response x-none -> 1");
}

fn a_map_that_the_phase_has_not(engine: Engine) {
    let ng =
        with(engine, "get 6 x-a; add 6 x-a 1; replace 7 x-a 1; remove 6 x-a; pairs 6; pairs 7; get request_trailers a");
    ng.get("/").status(200);
    ng.log().has("get 6 x-a -> 2").has("add 6 x-a 1 -> 2").has("replace 7 x-a 1 -> 2").has("remove 6 x-a -> 2");
    ng.log().has(r#"pairs 6 -> 0 """#).has(r#"pairs 7 -> 0 """#);
}

fn a_map_that_nobody_has(engine: Engine) {
    let ng = with(engine, "get 8 x-a; add 99 x-a 1; pairs 0xffffffff");
    ng.get("/").status(200);
    ng.log().has("get 8 x-a -> 2").has("add 99 x-a 1 -> 2").lacks("pairs 0xffffffff -> 10");
}

fn the_size_of_a_map_is_given(engine: Engine) {
    let ng = with(engine, "headers request; headers 6; headers 99");
    ng.get("/").status(200);
    let told = ng.log().wait(r#"headers request -> 0 ""#);
    assert!(!told.contains(r#"headers request -> 0 "0""#), "{told}");
    ng.log().lacks("headers 99 -> 0");
}

fn a_malformed_map_changes_nothing(engine: Engine) {
    for wire in [
        // One pair that is not there; one whose value runs over the end; NULs missing; something left over.
        "%01%00%00%00",
        "%01%00%00%00%01%00%00%00%ff%00%00%00a%001%00",
        "%01%00%00%00%01%00%00%00%01%00%00%00ax1%00",
        "%01%00%00%00%01%00%00%00%01%00%00%00a%001x",
        "%01%00%00%00%01%00%00%00%01%00%00%00a%001%00more",
        "%ff%ff%ff%ff",
        "%01%00",
    ] {
        let ng = with(engine, &format!("set_raw request {wire}"));
        ng.request("GET", "/").header("x-a", "kept").send().status(200).body("kept");
        ng.log().has(&format!("set_raw request {wire} -> 4"));
    }
}

fn an_empty_map_takes_all_but_pseudo_headers(engine: Engine) {
    for wire in ["", "%00", "%00%00%00%00"] {
        let ng = with(engine, &format!("set_raw request {wire}; get request :path"));
        ng.request("GET", "/kept").header("x-a", "1").send().status(200).body("");
        ng.log().has(r#"get request :path -> 0 "/kept""#);
    }
}

fn too_many_pairs_are_refused(engine: Engine) {
    // 1,025 pairs: the count alone is refused, before the rest is looked at.
    let pairs: String = (0..1025).map(|number| format!(" a{number}=1")).collect();
    let nginx = Nginx::new(engine).file("many.conf", format!("request_headers: set request{pairs}"));
    let nginx = nginx.wasm("script", wasmx_t::guest("script"));
    let ng = nginx.location("/", "proxy_wasm script config_file=many.conf; return 200 '$http_x_a';").start();
    ng.request("GET", "/").header("x-a", "kept").send().status(200).body("kept");
    let told = ng.log().wait("set request a0=1");
    assert!(told.contains("-> 4"), "{told}");
}
