//! Paths that neither nginx nor the host knows, which are the filter's own, and attributes that come from headers.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    what_nobody_knows_is_kept,
    it_is_kept_for_one_request,
    a_request_may_bring_its_id,
    a_request_without_body_has_size_0,
    early_headers_are_properties,
    a_grpc_answer_has_its_status,
];

fn what_nobody_knows_is_kept(engine: Engine) {
    let script = "request_headers: property my.state; set_property my.state kept; set_property request.path /other; \
                  set_property ngx.nothing 1
                  response_headers: property my.state; add response x-it {it}";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").header("x-it", "kept");
    ng.log().has("property my.state -> 1").has("set_property my.state kept -> 0");
    ng.log().has("set_property request.path /other -> 1").has("set_property ngx.nothing 1 -> 1");
}

fn it_is_kept_for_one_request(engine: Engine) {
    let script = "request_headers: when x-set set_property mine yes; property mine; reply 200 <{it}>";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.request("GET", "/").header("x-set", "1").send().body("<yes>");
    ng.get("/").body("<>");
}

fn a_request_may_bring_its_id(engine: Engine) {
    let script = "request_headers: property request.id; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.request("GET", "/").header("x-request-id", "some-id").send().body("some-id");
    assert_eq!(ng.get("/").text().len(), 32, "nginx's own");
}

fn a_request_without_body_has_size_0(engine: Engine) {
    let script = "request_headers: property request.size; property response.code; reply 200 {hex}";
    let ng = Nginx::new(engine)
        .script("/", "request_headers: property request.size; reply 200 {it}", "")
        .script("/envoy", script, "proxy_wasm_property_format envoy;")
        .start();
    ng.get("/").body("0");
    ng.post("/", "hello").body("5");
    ng.get("/envoy").status(200);
    ng.log().has("property response.code -> 1");
}

fn early_headers_are_properties(engine: Engine) {
    let script = "request_headers: add response x-a 1; add response x-a 2; property response.headers.x-a; \
                  property request.headers.:path; property request.headers.x-b";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.request("GET", "/path").header("x-b", "1").header("X-B", "2").send().status(200);
    ng.log().has(r#"property response.headers.x-a -> 0 "1,2""#);
    ng.log().has(r#"property request.headers.:path -> 0 "/path""#);
    ng.log().has(r#"property request.headers.x-b -> 0 "1,2""#);
}

fn a_grpc_answer_has_its_status(engine: Engine) {
    let script = "request_headers: property response.grpc_status; grpc_reply 7 no
                  response_headers: property response.grpc_status";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").status(200).header("grpc-message", "no").body("");
    ng.log().has("property response.grpc_status -> 1").has(r#"property response.grpc_status -> 0 "7""#);
}
