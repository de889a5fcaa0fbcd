//! Headers of which nginx keeps a copy of its own: both stay in step.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    request_headers_that_nginx_knows,
    removed_request_headers_that_nginx_knows,
    a_host_that_is_set_is_nginxs_host,
    cookies_are_seen_by_nginx,
    a_range_that_is_set_is_answered,
    a_range_that_is_removed_is_not,
    response_headers_that_nginx_knows,
    the_content_type_is_replaced,
    the_content_length_is_removed,
    the_server_header_is_replaced_and_removed,
    a_location_is_replaced,
    the_last_modified_time_is_replaced,
    a_condition_that_is_set_is_answered,
    a_connection_that_shall_close_is_closed,
];

/// A script that sets one request header, and a location that shows a variable.
fn shows(engine: Engine, script: &str, variable: &str, expected: &str) {
    let lines = format!("return 200 '<{variable}>';");
    let ng = Nginx::new(engine).script("/", &format!("request_headers: {script}"), lines).start();
    let request = ng.request("GET", "/").header("user-agent", "old").header("referer", "old").header("cookie", "a=old");
    request.send().status(200).body(format!("<{expected}>"));
}

fn request_headers_that_nginx_knows(engine: Engine) {
    for (name, variable) in [
        ("user-agent", "$http_user_agent"),
        ("referer", "$http_referer"),
        ("x-forwarded-for", "$http_x_forwarded_for"),
        ("content-type", "$content_type"),
        ("accept-encoding", "$http_accept_encoding"),
    ] {
        shows(engine, &format!("replace request {name} new"), variable, "new");
    }
    shows(engine, "replace request authorization Basic%20dXNlcjpwYXNz", "$remote_user", "user");
}

fn removed_request_headers_that_nginx_knows(engine: Engine) {
    for (name, variable) in [("user-agent", "$http_user_agent"), ("referer", "$http_referer"), ("cookie", "$cookie_a")]
    {
        shows(engine, &format!("remove request {name}"), variable, "");
    }
}

fn a_host_that_is_set_is_nginxs_host(engine: Engine) {
    shows(engine, "replace request host other.example", "$host $http_host", "other.example other.example");
}

fn cookies_are_seen_by_nginx(engine: Engine) {
    shows(engine, "replace request cookie a=new; add request cookie b=more", "$cookie_a $cookie_b", "new more");
}

fn a_range_that_is_set_is_answered(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "0123456789");
    let ng = nginx.script("/", "request_headers: add request range bytes=2-4", "root html;").start();
    // A filter that may change the body gets it whole: it is nginx that must not answer with a part.
    let response = ng.get("/file");
    match response.code() {
        Some(206) => response.header("content-range", "bytes 2-4/10").body("234"),
        _ => response.status(200).body("0123456789"),
    };
}

fn a_range_that_is_removed_is_not(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "0123456789");
    let ng = nginx.script("/", "request_headers: remove request range", "root html;").start();
    ng.request("GET", "/file").header("range", "bytes=2-4").send().status(200).body("0123456789");
}

fn response_headers_that_nginx_knows(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("").header("etag", "\"old\"").header("cache-control", "private"));
    let script = "response_headers: replace response etag \"new\"; replace response cache-control no-store; \
                  add response cache-control private";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").header("etag", "\"new\"").headers("cache-control", &["no-store", "private"]);
}

fn the_content_type_is_replaced(engine: Engine) {
    let script = "response_headers: replace response content-type text/x-new; get response content-type";
    let ng = Nginx::new(engine).script("/", script, "default_type text/plain; return 200 body;").start();
    ng.get("/").header("content-type", "text/x-new");
    ng.log().has(r#"get response content-type -> 0 "text/x-new""#);
    let script = "response_headers: remove response content-type";
    let ng = Nginx::new(engine).script("/", script, "default_type text/plain; return 200 body;").start();
    ng.get("/").no_header("content-type").body("body");
}

fn the_content_length_is_removed(engine: Engine) {
    let ng =
        Nginx::new(engine).script("/", "response_headers: remove response content-length", "return 200 body;").start();
    ng.get("/").no_header("content-length").header("transfer-encoding", "chunked").body("body");
}

fn the_server_header_is_replaced_and_removed(engine: Engine) {
    let script = |change: &str| format!("response_headers: {change}");
    let ng = Nginx::new(engine)
        .script("/replaced", &script("replace response server mine"), "return 200;")
        .script("/removed", &script("remove response server"), "return 200;")
        .start();
    ng.get("/replaced").header("server", "mine");
    ng.get("/removed").status(200).no_header("server");
}

fn a_location_is_replaced(engine: Engine) {
    let script = "response_headers: replace response location https://example.org/new";
    let ng = Nginx::new(engine).script("/", script, "return 302 /old;").start();
    ng.get("/").status(302).header("location", "https://example.org/new");
}

fn the_last_modified_time_is_replaced(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "a file");
    let script = "response_headers: replace response last-modified Mon, 01 Jan 2024 00:00:00 GMT";
    let ng = nginx.script("/", script, "root html;").start();
    ng.get("/file").status(200).header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT");
}

fn a_condition_that_is_set_is_answered(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "a file");
    let script = "request_headers: add request if-modified-since Fri, 01 Jan 2038 00:00:00 GMT";
    let ng = nginx.script("/", script, "root html; if_modified_since before;").start();
    ng.get("/file").status(304);
}

fn a_connection_that_shall_close_is_closed(engine: Engine) {
    let script = "request_headers: replace request connection close";
    let ng = Nginx::new(engine).script("/", script, "return 200 body;").start();
    let mut connection = ng.connect();
    connection.get("/").response().status(200).body("body");
    let (rest, in_order) = connection.rest();
    assert!(rest.is_empty() && in_order, "{rest:?}");
}
