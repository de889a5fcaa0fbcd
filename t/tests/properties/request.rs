//! Of the request, the connection and the plugin.

use wasmx_t::{Engine, Nginx, Running};

wasmx_t::on_every_engine![
    the_request_line,
    the_request_headers,
    sizes_and_times,
    both_ends_of_the_connection,
    the_plugin,
    a_subrequest_is_known_as_one,
    a_path_may_end_with_nul,
    what_is_not_known_is_not_found,
    the_plugin_is_known_from_the_root,
    the_method_and_path_that_a_filter_set,
];

/// Asks for a property of `GET /dir/file?a=b&c` from a client with a few headers.
fn property(engine: Engine, path: &str) -> String {
    let ng = with(engine, path);
    let request =
        ng.request("GET", "/dir/file?a=b&c").header("host", "example.org:81").header("referer", "http://from/");
    let response = request.header("user-agent", "tests").header("x-a", "1").send();
    response.status(200).text()
}

fn with(engine: Engine, path: &str) -> Running {
    Nginx::new(engine).script("/", &format!("request_headers: property {path}; reply 200 {{it}}"), "").start()
}

fn the_request_line(engine: Engine) {
    for (path, value) in [
        ("request.path", "/dir/file?a=b&c"),
        ("request.url_path", "/dir/file"),
        ("request.query", "a=b&c"),
        ("request.method", "GET"),
        ("request.scheme", "http"),
        ("request.protocol", "HTTP/1.1"),
    ] {
        assert_eq!(property(engine, path), value, "{path}");
    }
}

fn the_request_headers(engine: Engine) {
    for (path, value) in [
        ("request.host", "example.org:81"),
        ("request.referer", "http://from/"),
        ("request.useragent", "tests"),
        ("request.headers.x-a", "1"),
        ("request.headers.user-agent", "tests"),
    ] {
        assert_eq!(property(engine, path), value, "{path}");
    }
}

fn sizes_and_times(engine: Engine) {
    let ng = with(engine, "request.size");
    ng.post("/", "hello").status(200).body("5");
    assert!(!property(engine, "request.id").is_empty());
    let total: u64 = property(engine, "request.total_size").parse().expect("a number of bytes");
    assert!(total > 100, "{total}");
    let time = property(engine, "request.time");
    let seconds: f64 = time.parse().unwrap_or_default();
    assert!(seconds > 1_700_000_000.0, "{time}");
    assert!(!property(engine, "request.duration").is_empty());
}

fn both_ends_of_the_connection(engine: Engine) {
    let ng = with(engine, "destination.port");
    ng.get("/").body(ng.address().port().to_string());
    assert!(property(engine, "destination.address").starts_with("127.0.0.1"));
    assert!(property(engine, "source.address").starts_with("127.0.0.1"));
    assert!(property(engine, "source.port").parse::<u16>().is_ok_and(|port| port > 0));
    assert!(property(engine, "connection.id").parse::<u64>().is_ok());
    assert_eq!(property(engine, "connection.mtls"), "false");
}

fn the_plugin(engine: Engine) {
    assert_eq!(property(engine, "plugin_name"), "script");
    assert_eq!(property(engine, "plugin_root_id"), "");
    assert_eq!(property(engine, "plugin_vm_id"), "main");
}

fn a_subrequest_is_known_as_one(engine: Engine) {
    assert_eq!(property(engine, "request.is_subrequest"), "false");
}

fn a_path_may_end_with_nul(engine: Engine) {
    assert_eq!(property(engine, "request.method%00"), "GET");
}

fn what_is_not_known_is_not_found(engine: Engine) {
    let script = "request_headers: property not.there; property request; property request.nothing; property ngx.nothing; \
                  property wasmx.nothing; property request.headers.nothing; property %00%00; property ";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    for path in ["not.there", "request.nothing", "ngx.nothing", "wasmx.nothing", "request.headers.nothing", "%00%00"] {
        ng.log().has(&format!("property {path} -> 1"));
    }
}

fn the_plugin_is_known_from_the_root(engine: Engine) {
    let script = "configure: property plugin_name; property plugin_root_id; property request.path";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has(r#"property plugin_name -> 0 "script""#).has("property plugin_root_id -> 0");
    ng.log().has("property request.path -> 1");
}

fn the_method_and_path_that_a_filter_set(engine: Engine) {
    let script = "request_headers: replace request :path /new?x=1; replace request :method PUT; property request.path; \
                  property request.method; property request.query";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/old").status(200);
    ng.log()
        .has(r#"property request.path -> 0 "/new?x=1""#)
        .has(r#"property request.method -> 0 "PUT""#)
        .has(r#"property request.query -> 0 "x=1""#);
}
