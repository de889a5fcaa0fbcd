//! `proxy_wasm_isolation`: seen by a number that the instance counts up.

use wasmx_t::{Engine, Nginx, Running, Upstream, guest};

wasmx_t::on_every_engine![
    with_none_all_requests_share_an_instance,
    with_stream_each_request_has_its_own,
    with_stream_the_filters_of_a_request_share,
    with_filter_each_filter_has_its_own,
    two_modules_never_share,
    none_is_the_default,
    locations_with_none_share_an_instance,
    contexts_are_numbered_from_one_in_each_instance,
    a_body_is_seen_by_the_instance_that_saw_the_header,
];

const COUNT: &str = "request_headers: count; add response x-count {it}";

fn with(engine: Engine, isolation: &str, more: &str) -> Running {
    let nginx = Nginx::new(engine).wasm("other", guest("script"));
    nginx.script("/", COUNT, (isolation, more, "return 200;")).start()
}

fn again() -> String {
    format!("proxy_wasm script '{COUNT}';")
}

fn with_none_all_requests_share_an_instance(engine: Engine) {
    let ng = with(engine, "proxy_wasm_isolation none;", "");
    for expected in ["1", "2", "3"] {
        ng.get("/").header("x-count", expected);
    }
}

fn with_stream_each_request_has_its_own(engine: Engine) {
    let ng = with(engine, "proxy_wasm_isolation stream;", "");
    for _ in 0..3 {
        ng.get("/").header("x-count", "1");
    }
}

fn with_stream_the_filters_of_a_request_share(engine: Engine) {
    let ng = with(engine, "proxy_wasm_isolation stream;", &again());
    for _ in 0..2 {
        ng.get("/").headers("x-count", &["1", "2"]);
    }
}

fn with_filter_each_filter_has_its_own(engine: Engine) {
    let ng = with(engine, "proxy_wasm_isolation filter;", &again());
    for _ in 0..2 {
        ng.get("/").headers("x-count", &["1", "1"]);
    }
}

fn two_modules_never_share(engine: Engine) {
    let ng = with(engine, "proxy_wasm_isolation stream;", &format!("proxy_wasm other '{COUNT}';"));
    ng.get("/").headers("x-count", &["1", "1"]);
    let ng = with(engine, "proxy_wasm_isolation none;", &format!("proxy_wasm other '{COUNT}';"));
    ng.get("/").headers("x-count", &["1", "1"]);
    ng.get("/").headers("x-count", &["2", "2"]);
}

fn none_is_the_default(engine: Engine) {
    let ng = with(engine, "", "");
    ng.get("/").header("x-count", "1");
    ng.get("/").header("x-count", "2");
}

fn locations_with_none_share_an_instance(engine: Engine) {
    let nginx = Nginx::new(engine).script("/one", COUNT, "return 200;").script("/two", COUNT, "return 200;");
    let ng = nginx.start();
    ng.get("/one").header("x-count", "1");
    ng.get("/two").header("x-count", "2");
    ng.get("/one").header("x-count", "3");
}

fn contexts_are_numbered_from_one_in_each_instance(engine: Engine) {
    let script = "request_headers: reply 200 {id}";
    let nginx = Nginx::new(engine).script("/", script, "proxy_wasm_isolation stream;");
    let ng = nginx.start();
    // The root is 1.
    ng.get("/").body("2");
    ng.get("/").body("2");
}

fn a_body_is_seen_by_the_instance_that_saw_the_header(engine: Engine) {
    let script = "request_headers: count; request_body: count; response_headers: count; add response x-count {it}";
    for isolation in ["stream", "filter"] {
        let up = Upstream::new();
        let lines = (format!("proxy_wasm_isolation {isolation};"), up.pass());
        let ng = Nginx::new(engine).script("/", script, lines).start();
        ng.post("/", "hello").status(200).header("x-count", "3");
    }
}
