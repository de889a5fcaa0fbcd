//! `proxy_wasm` and `wasm_call` lines of one level are one chain.

use super::{raw, teller};
use wasmx_t::{Engine, Nginx, Upstream, guest};

wasmx_t::on_every_engine![
    filters_and_calls_run_in_the_order_of_the_file,
    filters_in_the_access_phase_run_among_its_calls,
    a_call_after_a_filter_that_pauses_waits,
    a_filter_that_answers_ends_the_phase,
    an_answer_of_a_call_waits_for_the_filters,
    calls_see_what_filters_see_of_a_body,
    a_level_without_lines_inherits,
    a_level_with_either_replaces_both,
    off_empties_both,
];

fn nginx(engine: Engine) -> Nginx {
    let functions = ["one", "two", "three"].map(teller).concat();
    let functions =
        functions + "(func (export \"plain\") (call $answer (i32.const 403) (i32.const 0) (i32.const 0) 'no'))";
    Nginx::new(engine).wat("a", raw(&functions)).wasm("script", guest("script"))
}

const FILTER: &str = "proxy_wasm script 'request_headers: say in filter; response_headers: say in filter; \
                      response_body: say in filter; log: say in filter';";
const ORDER: [&str; 4] = ["in one", "] in filter", "in two", "in three"];

fn filters_and_calls_run_in_the_order_of_the_file(engine: Engine) {
    let up = Upstream::new().ok("up");
    for phase in ["rewrite", "header_filter", "body_filter", "log"] {
        let call = |name: &str| format!("wasm_call {phase} a {name};");
        let filter = match phase {
            "rewrite" => "request_headers",
            "header_filter" => "response_headers",
            "body_filter" => "response_body",
            other => other,
        };
        let filter = format!("proxy_wasm script '{filter}: say in filter';");
        let chain = (call("one"), filter, (call("two"), call("three")));
        let ng = nginx(engine).location("/", (chain, up.pass())).start();
        ng.get("/").status(200).body("up");
        ng.log().wait("in three");
        ng.log().in_order(&ORDER).has_times(1, "in two");
    }
}

fn filters_in_the_access_phase_run_among_its_calls(engine: Engine) {
    let lines = "wasm_call access a one; proxy_wasm script 'request_headers: say in filter'; wasm_call rewrite a three;
        wasm_call access a two; proxy_wasm_request_headers_in_access on; root html;";
    let ng = nginx(engine).location("/", lines).file("html/file", "file").start();
    ng.get("/file").status(200).body("file");
    ng.log().in_order(&["in three", "in one", "] in filter", "in two"]);
    for text in ["in one", "in two", "in three"] {
        ng.log().has_times(1, text);
    }
}

fn a_call_after_a_filter_that_pauses_waits(engine: Engine) {
    let filter = "proxy_wasm script 'request_headers: tick 20; pause; tick: say ticked; each continue 0; tick 0';";
    let lines = ("wasm_call rewrite a one;", filter, "wasm_call rewrite a two; wasm_call access a three; root html;");
    let ng = nginx(engine).location("/", lines).file("html/file", "file").start();
    ng.get("/file").status(200).body("file");
    ng.log().in_order(&["in one", "] ticked", "in two", "in three"]);
    ng.log().has_times(1, "in one").has_times(1, "in two");
}

fn a_filter_that_answers_ends_the_phase(engine: Engine) {
    let filter = "proxy_wasm script 'request_headers: reply 451 filtered';";
    let lines = ("wasm_call rewrite a one;", filter, "wasm_call rewrite a two; wasm_call access a three; root html;");
    let ng = nginx(engine).location("/", lines).start();
    ng.get("/file").status(451).body("filtered");
    ng.log().has("in one").lacks("in two").lacks("in three");
}

fn an_answer_of_a_call_waits_for_the_filters(engine: Engine) {
    let up = Upstream::new().ok("up");
    let filter = "proxy_wasm script 'request_headers: say in filter; request_body: say in filter';";
    let ng = nginx(engine).location("/", ("wasm_call rewrite a plain;", filter, up.pass())).start();
    ng.post("/", "body").status(403).body("no");
    ng.log().has_times(1, "] in filter");
    up.saw_nothing();
}

fn calls_see_what_filters_see_of_a_body(engine: Engine) {
    let large = "0123456789".repeat(100_000);
    let up = Upstream::new().ok(&large);
    let filter = "proxy_wasm script 'response_body: say in filter';";
    let ng = nginx(engine).location("/", (filter, "wasm_call body_filter a one;", up.pass())).start();
    ng.get("/").status(200).body(&large);
    let parts = ng.log().lines_with("] in filter").len();
    ng.log().has_times(parts, "in one");
}

fn a_level_without_lines_inherits(engine: Engine) {
    let ng = nginx(engine)
        .http("wasm_call rewrite a one;")
        .location("/outer", "location /outer/inner { root html; }")
        .location("/set", "proxy_wasm_isolation stream; root html;")
        .start();
    ng.get("/outer/inner").status(404);
    ng.get("/set").status(404);
    ng.log().has_times(2, "in one");
}

fn a_level_with_either_replaces_both(engine: Engine) {
    let ng = nginx(engine)
        .server((FILTER, "wasm_call rewrite a one;"))
        .location("/call", "wasm_call rewrite a two; root html;")
        .location("/filter", "proxy_wasm script 'request_headers: say own'; root html;")
        .location("/", "root html;")
        .start();
    ng.get("/call").status(404);
    ng.log().has("in two").lacks("in one").lacks("in filter");
    ng.get("/filter").status(404);
    ng.log().has("] own").lacks("in one").lacks("in filter");
    ng.get("/").status(403);
    ng.log().has_times(1, "in one").has("in filter");
}

fn off_empties_both(engine: Engine) {
    let ng = nginx(engine)
        .server((FILTER, "wasm_call rewrite a one; wasm_call log a two;"))
        .location("/off", "proxy_wasm off; root html;")
        .start();
    ng.get("/off").status(404);
    ng.stop();
    ng.log().lacks("in one").lacks("in two").lacks("in filter");
    for lines in ["proxy_wasm off; wasm_call log a one;", "wasm_call log a one; proxy_wasm off;"] {
        let lines = lines.replace("; ", ";\n");
        nginx(engine).location("/", lines).conf_test().refuses().complains("\"proxy_wasm off\" cannot stand beside");
    }
}
