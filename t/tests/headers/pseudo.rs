//! Pseudo headers: the request line, Host and the status as headers.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    they_are_readable_and_listed,
    the_path_and_its_query_are_changed,
    the_path_reaches_a_plain_proxy_pass_to_an_upstream_block,
    a_changed_path_changes_the_variables,
    a_static_file_is_found_by_the_changed_path,
    a_path_keeps_what_is_escaped_in_it,
    the_method_is_changed,
    the_authority_is_the_host_with_its_port,
    the_authority_is_changed,
    the_scheme_stays,
    the_status_is_readable,
    the_status_is_changed,
];

fn echo(engine: Engine, script: &str) -> Running {
    let lines = "return 200 '$request_method $uri [$args] $host';";
    Nginx::new(engine).script("/", &format!("request_headers: {script}"), lines).start()
}

fn they_are_readable_and_listed(engine: Engine) {
    let script = "get request :method; get request :path; get request :authority; get request :scheme; pairs request";
    let ng = echo(engine, script);
    ng.request("GET", "/a%20b?c=d&e").header("host", "example.org").send().status(200);
    ng.log()
        .has(r#"get request :method -> 0 "GET""#)
        .has(r#"get request :path -> 0 "/a%20b?c=d&e""#)
        .has(r#"get request :authority -> 0 "example.org""#)
        .has(r#"get request :scheme -> 0 "http""#);
    let pairs = ng.log().wait("pairs request");
    for pair in [":method=GET", ":path=/a%20b?c=d&e", ":authority=example.org", ":scheme=http"] {
        assert!(pairs.contains(pair), "{pair} is not in {pairs}");
    }
}

fn the_path_and_its_query_are_changed(engine: Engine) {
    echo(engine, "replace request :path /new?q=1").get("/old?x=2").body("GET /new [q=1] localhost");
    echo(engine, "replace request :path /new").get("/old?x=2").body("GET /new [] localhost");
}

fn the_path_reaches_a_plain_proxy_pass_to_an_upstream_block(engine: Engine) {
    let up = Upstream::new();
    let ng = Nginx::new(engine)
        .http(format!("upstream named {{ server {}; }}", up.address()))
        .script("/", "request_headers: replace request :path /new?q=1", "proxy_pass http://named;")
        .start();
    ng.get("/old?x=2").status(200);
    up.saw(|req| assert_eq!(req.target(), "/new?q=1"));
}

fn a_changed_path_changes_the_variables(engine: Engine) {
    let script = "request_headers: replace request :path /new/file.txt?q=1; get request :path";
    let ng = Nginx::new(engine).script("/", script, "return 200 '$uri $arg_q $query_string';").start();
    ng.get("/old").body("/new/file.txt 1 q=1");
    ng.log().has(r#"get request :path -> 0 "/new/file.txt?q=1""#);
}

fn a_static_file_is_found_by_the_changed_path(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/new.txt", "the new file")
        .script("/", "request_headers: replace request :path /new.txt", "root html;")
        .start();
    ng.get("/old.txt").status(200).body("the new file");
}

fn a_path_keeps_what_is_escaped_in_it(engine: Engine) {
    let up = Upstream::new();
    let script = "request_headers: replace request :path /a%2520b/%25C3%25A9?c=%2526";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(200);
    up.saw(|req| assert_eq!(req.target(), "/a%20b/%C3%A9?c=%26"));
}

fn the_method_is_changed(engine: Engine) {
    let up = Upstream::new();
    let ng = Nginx::new(engine).script("/", "request_headers: replace request :method PUT", up.pass()).start();
    ng.post("/", "body").status(200);
    up.saw(|req| {
        assert_eq!(req.method(), "PUT");
        req.body("body");
    });
    echo(engine, "replace request :method DELETE").get("/").body("DELETE / [] localhost");
}

fn the_authority_is_the_host_with_its_port(engine: Engine) {
    let ng = echo(engine, "get request :authority; get request host");
    ng.request("GET", "/").header("host", "example.org:8080").send().status(200);
    ng.log().has(r#"get request :authority -> 0 "example.org:8080""#);
}

fn the_authority_is_changed(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_set_header Host $http_host;", up.pass());
    let script = "request_headers: replace request :authority other.example:81";
    let ng = Nginx::new(engine).script("/", script, lines).start();
    ng.get("/").status(200);
    up.saw(|req| {
        req.header("host", "other.example:81");
    });
    echo(engine, "replace request :authority other.example:81").get("/").body("GET / [] other.example");
}

fn the_scheme_stays(engine: Engine) {
    let ng = echo(engine, "replace request :scheme https; get request :scheme");
    ng.get("/").status(200);
    ng.log().has(r#"get request :scheme -> 0 "http""#);
}

fn the_status_is_readable(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "response_headers: get response :status", "return 404;").start();
    ng.get("/").status(404);
    ng.log().has(r#"get response :status -> 0 "404""#);
}

fn the_status_is_changed(engine: Engine) {
    let up = Upstream::new().ok("body");
    let ng = Nginx::new(engine).script("/", "response_headers: replace response :status 418", up.pass()).start();
    ng.get("/").status(418).body("body");
    let script = "response_headers: replace response :status 201; get response :status";
    let ng = Nginx::new(engine).script("/", script, "return 200 body;").start();
    ng.get("/").status(201).reason("Created").body("body");
    ng.log().has(r#"get response :status -> 0 "201""#);
}
