//! nginx's variables, and values that a filter keeps.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    a_value_cannot_break_the_request_line,
    a_variable_is_read,
    a_variable_is_written,
    a_variable_that_nginx_does_not_let_write_stays,
    an_empty_variable_is_empty,
    a_value_is_kept_for_the_request,
    values_of_two_requests_are_apart,
    a_value_is_replaced,
    what_is_not_settable_stays,
];

fn a_variable_is_read(engine: Engine) {
    let script = "request_headers: property ngx.request_uri; property ngx.mine; property ngx.arg_a";
    let nginx = Nginx::new(engine).http("map $uri $mine { default mapped; }");
    let ng = nginx.script("/", script, "return 200;").start();
    ng.get("/path?a=b").status(200);
    ng.log()
        .has(r#"property ngx.request_uri -> 0 "/path?a=b""#)
        .has(r#"property ngx.mine -> 0 "mapped""#)
        .has(r#"property ngx.arg_a -> 0 "b""#);
}

fn a_variable_is_written(engine: Engine) {
    let script = "request_headers: set_property ngx.mine from the filter; property ngx.mine";
    let lines = "wasm_postpone_rewrite on; set $mine before; add_header x-mine $mine; try_files /not =204;";
    let ng = Nginx::new(engine).script("/", script, lines).start();
    ng.get("/").header("x-mine", "from the filter");
    ng.log().has("set_property ngx.mine from the filter -> 0").has(r#"property ngx.mine -> 0 "from the filter""#);
}

fn a_variable_that_nginx_does_not_let_write_stays(engine: Engine) {
    let script = "request_headers: set_property ngx.request_uri /other; property ngx.request_uri";
    let ng = Nginx::new(engine).script("/", script, "return 200 $request_uri;").start();
    ng.get("/path").status(200).body("/path");
    ng.log().lacks("set_property ngx.request_uri /other -> 0").has(r#"property ngx.request_uri -> 0 "/path""#);
}

fn an_empty_variable_is_empty(engine: Engine) {
    let script = "request_headers: property ngx.mine";
    let nginx = Nginx::new(engine).http("map $uri $mine { default ''; }");
    let ng = nginx.script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has(r#"property ngx.mine -> 0 """#);
}

fn a_value_is_kept_for_the_request(engine: Engine) {
    let up = Upstream::new();
    let second = "proxy_wasm script 'log: property wasmx.mine';";
    let script = "request_headers: set_property wasmx.mine a%20value
                  response_headers: property wasmx.mine; add response x-mine {it}";
    let ng = Nginx::new(engine).script("/", script, (second, up.pass())).start();
    ng.get("/").status(200).header("x-mine", "a value");
}

fn values_of_two_requests_are_apart(engine: Engine) {
    let script = "request_headers: when x-set set_property wasmx.mine yes; property wasmx.mine; reply 200 <{it}>";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.request("GET", "/").header("x-set", "1").send().body("<yes>");
    ng.get("/").body("<>");
}

fn a_value_is_replaced(engine: Engine) {
    let script =
        "request_headers: set_property wasmx.mine 1; set_property wasmx.mine 2; property wasmx.mine; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("2");
}

fn what_is_not_settable_stays(engine: Engine) {
    let script = "request_headers: set_property request.path /other; property request.path";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/path").status(200);
    ng.log().lacks("set_property request.path /other -> 0");
    ng.log().has(r#"property request.path -> 0 "/path""#);
}

fn a_value_cannot_break_the_request_line(engine: Engine) {
    let up = Upstream::new();
    for value in ["a%20b", "a%0d%0ax:y", "a%0ab", "a%23b", "a%00"] {
        let script = format!("request_headers: set_property ngx.args {value}");
        let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
        ng.get("/?q=1").status(200);
        ng.log().has("set_property").has(" -> 2");
    }
    up.saw(|req| {
        assert_eq!(req.target(), "/?q=1");
    });
}
