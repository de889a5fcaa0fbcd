//! Which filters a location has.

use wasmx_t::{Engine, Nginx, Response, guest};

wasmx_t::on_every_engine![
    a_location_inherits_the_filters_of_its_server,
    a_location_with_filters_has_only_those,
    off_empties_the_chain,
    off_stands_alone,
    a_nested_location_inherits_too,
    a_server_inherits_the_filters_of_http,
    filters_run_in_the_order_of_the_file,
    settings_are_inherited,
];

/// A filter that tells its name on request and response.
fn named(name: &str) -> String {
    format!(
        "proxy_wasm script 'request_headers: add request x-via {name}; response_headers: add response x-via {name}';"
    )
}

fn nginx(engine: Engine) -> Nginx {
    Nginx::new(engine).wasm("script", guest("script"))
}

/// The location answers with what its filters left in the request.
const ECHO: &str = "return 200 $http_x_via;";

fn via(response: &Response, names: &[&str]) {
    response.status(200).headers("x-via", names);
}

fn a_location_inherits_the_filters_of_its_server(engine: Engine) {
    let ng = nginx(engine).server(named("server")).location("/", ECHO).start();
    via(ng.get("/").body("server"), &["server"]);
}

fn a_location_with_filters_has_only_those(engine: Engine) {
    let ng = nginx(engine).server(named("server")).location("/", (named("location"), ECHO)).start();
    via(ng.get("/").body("location"), &["location"]);
}

fn off_empties_the_chain(engine: Engine) {
    let ng = nginx(engine).server(named("server")).location("/", ("proxy_wasm off;", ECHO)).start();
    via(ng.get("/").body(""), &[]);
}

fn off_stands_alone(engine: Engine) {
    let off_and_more = ("proxy_wasm off;", named("location"));
    nginx(engine).location("/", off_and_more).conf_test().refuses().complains("proxy_wasm");
    let more_and_off = (named("location"), "proxy_wasm off;");
    nginx(engine).location("/", more_and_off).conf_test().refuses().complains("proxy_wasm");
}

fn a_nested_location_inherits_too(engine: Engine) {
    let nested = format!("location /a/b {{ {ECHO} }}");
    let ng = nginx(engine).server(named("server")).location("/a", (named("outer"), nested)).start();
    via(ng.get("/a/b").body("outer"), &["outer"]);
}

fn a_server_inherits_the_filters_of_http(engine: Engine) {
    let ng = nginx(engine).http(named("http")).location("/", ECHO).start();
    via(ng.get("/").body("http"), &["http"]);
}

fn filters_run_in_the_order_of_the_file(engine: Engine) {
    let chain = (named("one"), named("two"), named("three"));
    let ng = nginx(engine).location("/", (chain, ECHO)).start();
    via(&ng.get("/"), &["one", "two", "three"]);
}

fn settings_are_inherited(engine: Engine) {
    let count = "proxy_wasm script 'request_headers: count; reply 200 {it}';";
    let ng = nginx(engine)
        .http("proxy_wasm_isolation stream;")
        .location("/fresh", count)
        .location("/kept", (count, "proxy_wasm_isolation none;"))
        .start();
    for expected in ["1", "2"] {
        ng.get("/fresh").body("1");
        ng.get("/kept").body(expected);
    }
}
