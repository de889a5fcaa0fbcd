//! Of the response and the upstream.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![the_status_and_headers, the_sizes, before_there_is_a_response];

fn the_status_and_headers(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("hello").status(202).header("x-up", "1"));
    let script = "response_headers: property response.code; property response.headers.x-up; \
                  property response.headers.nothing";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(202);
    ng.log()
        .has(r#"property response.code -> 0 "202""#)
        .has(r#"property response.headers.x-up -> 0 "1""#)
        .has("property response.headers.nothing -> 1");
}

fn the_sizes(engine: Engine) {
    let script = "log: property response.size; property response.total_size; property request.size";
    let ng = Nginx::new(engine).script("/", script, "return 200 hello;").start();
    ng.get("/").status(200);
    ng.log().wait("property request.size");
    ng.log().has(r#"property response.size -> 0 "5""#).has("property response.total_size -> 0");
}

fn before_there_is_a_response(engine: Engine) {
    let script = "request_headers: property response.headers.x-up; property response.code";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("property response.headers.x-up -> 1");
}
