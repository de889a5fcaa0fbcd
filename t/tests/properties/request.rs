//! Of the request, the connection and the plugin.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    an_id_is_the_same_at_each_look,
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
    what_nginx_does_not_have_is_not_found,
    a_root_has_no_request,
];

/// The values of properties of `GET /dir/file?a=b&c`, from a client with a few headers.
fn properties<const N: usize>(engine: Engine, paths: [&str; N]) -> [String; N] {
    let asked: String = paths.iter().map(|path| format!("property {path}; add response x-it <{{it}}>; ")).collect();
    let ng = Nginx::new(engine).script("/", &format!("request_headers: {asked}"), "return 200;").start();
    let request =
        ng.request("GET", "/dir/file?a=b&c").header("host", "example.org:81").header("referer", "http://from/");
    let response = request.header("user-agent", "tests").header("x-a", "1").send();
    response.status(200);
    let values = response.all_headers().iter().filter(|(name, _)| name == "x-it");
    let values: Vec<_> = values.map(|(_, value)| value.trim_matches(['<', '>']).to_owned()).collect();
    values.try_into().unwrap_or_else(|values| panic!("{N} values, not {values:?}"))
}

fn with(engine: Engine, path: &str) -> Running {
    Nginx::new(engine).script("/", &format!("request_headers: property {path}; reply 200 {{it}}"), "").start()
}

fn the_request_line(engine: Engine) {
    let paths =
        ["request.path", "request.url_path", "request.query", "request.method", "request.scheme", "request.protocol"];
    assert_eq!(properties(engine, paths), ["/dir/file?a=b&c", "/dir/file", "a=b&c", "GET", "http", "HTTP/1.1"]);
}

fn the_request_headers(engine: Engine) {
    let paths =
        ["request.host", "request.referer", "request.useragent", "request.headers.x-a", "request.headers.user-agent"];
    assert_eq!(properties(engine, paths), ["example.org:81", "http://from/", "tests", "1", "tests"]);
}

fn sizes_and_times(engine: Engine) {
    let ng = with(engine, "request.size");
    ng.post("/", "hello").status(200).body("5");
    let paths = ["request.total_size", "request.time", "request.duration", "request.id"];
    let [size, time, duration, id] = properties(engine, paths);
    assert!(size.parse::<u64>().is_ok_and(|size| size > 100), "{size}");
    assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 1_700_000_000.0), "{time}");
    assert!(!duration.is_empty() && !id.is_empty());
}

fn an_id_is_the_same_at_each_look(engine: Engine) {
    let script = "request_headers: property request.id; add request x-one {it}; \
                  response_headers: property request.id; add response x-two {it}";
    let up = Upstream::new();
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    let response = ng.get("/");
    let id = response.status(200).value("x-two").expect("an id").to_owned();
    up.saw(|req| {
        req.header("x-one", &id);
    });
}

fn both_ends_of_the_connection(engine: Engine) {
    let ng = with(engine, "destination.port");
    ng.get("/").body(ng.address().port().to_string());
    let paths = ["destination.address", "source.address", "source.port", "connection.id", "connection.mtls"];
    let [destination, source, port, id, mtls] = properties(engine, paths);
    assert!(destination.starts_with("127.0.0.1") && source.starts_with("127.0.0.1"), "{destination} {source}");
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{port}");
    assert!(id.parse::<u64>().is_ok(), "{id}");
    assert_eq!(mtls, "false");
}

fn the_plugin(engine: Engine) {
    assert_eq!(properties(engine, ["plugin_name", "plugin_root_id", "plugin_vm_id"]), ["script", "", "main"]);
}

fn a_subrequest_is_known_as_one(engine: Engine) {
    let up = Upstream::new().ok("part");
    let script = "request_headers: property request.is_subrequest; get request :path";
    let ng = Nginx::new(engine)
        .script("/main", script, ("add_before_body /sub; addition_types *;", up.pass()))
        .script("/sub", script, up.pass())
        .start();
    ng.get("/main").status(200).body("partpart");
    ng.log().has_times(1, r#"is_subrequest -> 0 "false""#).has_times(1, r#"is_subrequest -> 0 "true""#);
}

fn a_path_may_end_with_nul(engine: Engine) {
    assert_eq!(properties(engine, ["request.method%00"]), ["GET"]);
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

fn what_nginx_does_not_have_is_not_found(engine: Engine) {
    let paths = [
        "response.code_details",
        "response.flags",
        "connection.termination_details",
        "upstream.transport_failure_reason",
        "upstream.num_endpoints",
        "upstream.locality",
        "xds.node",
        "xds.cluster_name",
        "node.id",
        "metadata",
        "filter_state.a",
        "upstream_filter_state.a",
    ];
    let asked: String = paths.iter().map(|path| format!("property {path}; ")).collect();
    let ng = Nginx::new(engine).script("/", &format!("log: {asked}"), "return 200;").start();
    ng.get("/").status(200);
    ng.log().wait("property upstream_filter_state.a -> 1");
    for path in paths {
        ng.log().has(&format!("property {path} -> 1"));
    }
}

fn a_root_has_no_request(engine: Engine) {
    let paths = [
        "request.path",
        "request.headers",
        "request.headers.host",
        "request.headers_bytes",
        "response.code",
        "response.trailers",
        "connection.id",
        "connection.subject_peer_certificate",
        "upstream.address",
        "source.address",
        "ngx.request_uri",
        "ngx.hostname",
    ];
    let asked: String = paths.iter().map(|path| format!("property {path}; set_property {path} x; ")).collect();
    let script = format!("configure: {asked}tick 10; tick: once property request.path; once say ticked");
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.log().wait("ticked");
    for path in paths {
        ng.log().has(&format!("property {path} -> 1")).has(&format!("set_property {path} x -> 1"));
    }
}
