//! Response headers.

use wasmx_t::{Engine, Nginx, Reply, Running, Upstream};

wasmx_t::on_every_engine![
    a_header_is_added_to_what_nginx_answers,
    a_header_is_added_to_a_static_file,
    a_header_is_added_to_what_the_upstream_answers,
    replacing_leaves_one,
    removing_takes_all,
    setting_all_replaces_all_others,
    values_are_read,
    headers_are_changed_on_errors_too,
    what_is_set_in_the_request_is_merged_into_any_response,
    after_the_header_has_left_it_is_refused,
    a_line_break_in_a_value_smuggles_nothing,
    a_head_request_has_the_same_headers,
];

fn with(engine: Engine, script: &str, lines: &str) -> Running {
    Nginx::new(engine).script("/", &format!("response_headers: {script}"), lines).start()
}

fn a_header_is_added_to_what_nginx_answers(engine: Engine) {
    let ng = with(engine, "add response x-new value; add response x-new other", "return 200 body;");
    ng.get("/").status(200).headers("x-new", &["value", "other"]).body("body");
}

fn a_header_is_added_to_a_static_file(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file.txt", "a file");
    let ng = nginx.script("/", "response_headers: add response x-new value", "root html;").start();
    ng.get("/file.txt").status(200).header("x-new", "value").header("content-length", "6").body("a file");
}

fn a_header_is_added_to_what_the_upstream_answers(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").status(202).header("x-up", "1"));
    let ng = with(engine, "add response x-new value", &up.pass());
    ng.get("/").status(202).header("x-new", "value").header("x-up", "1").body("up");
}

fn replacing_leaves_one(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("").header("x-a", "1").header("X-A", "2").header("x-b", "3"));
    let ng = with(engine, "replace response x-a new; replace response x-c made", &up.pass());
    ng.get("/").header("x-a", "new").header("x-b", "3").header("x-c", "made");
}

fn removing_takes_all(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("").header("x-a", "1").header("X-A", "2").header("x-b", "3"));
    let ng = with(engine, "remove response X-A; remove response x-none", &up.pass());
    ng.get("/").no_header("x-a").header("x-b", "3");
    ng.log().has("remove response x-none -> 0");
}

fn setting_all_replaces_all_others(engine: Engine) {
    let up =
        Upstream::new().respond(|_| Reply::ok("body").status(202).header("x-old", "1").header("content-type", "a/b"));
    let ng = with(engine, "set response x-a=1 x-a=2", &up.pass());
    ng.get("/").status(202).no_header("x-old").no_header("content-type").headers("x-a", &["1", "2"]).body("body");
}

fn values_are_read(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("body").header("X-Up", "1").header("x-up", "2"));
    let script = "get response x-up; get response x-none; get response content-length; say given {size}; \
                  pairs response";
    let ng = with(engine, script, &up.pass());
    ng.get("/").status(200);
    ng.log().has(r#"get response x-up -> 0 "1""#).has(r#"get response x-none -> 1 """#);
    ng.log().has(r#"get response content-length -> 0 "4""#).has("x-up=1, x-up=2").has(":status=200");
    let pairs = ng.log().wait("pairs response");
    let listed = pairs.split("-> 0").nth(1).unwrap_or_default().matches('=').count();
    ng.log().has(&format!("given {listed} "));
}

fn headers_are_changed_on_errors_too(engine: Engine) {
    let ng = with(engine, "add response x-new value", "root html;");
    ng.get("/not/there").status(404).header("x-new", "value");
}

fn what_is_set_in_the_request_is_merged_into_any_response(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").header("x-up", "1"));
    let script = "request_headers: add response x-early 1; get response x-early; replace response x-other 2";
    let ng = Nginx::new(engine)
        .script("/return", script, "return 204;")
        .script("/file", script, "root html;")
        .script("/up", script, up.pass())
        .start();
    ng.get("/return").status(204).header("x-early", "1").header("x-other", "2");
    ng.get("/file").status(404).header("x-early", "1").header("x-other", "2");
    ng.get("/up").status(200).header("x-early", "1").header("x-up", "1").body("up");
    ng.log().has(r#"get response x-early -> 0 "1""#);
}

fn after_the_header_has_left_it_is_refused(engine: Engine) {
    let script = "response_body: add response x-late 1; replace response x-late 2; remove response x-up";
    let up = Upstream::new();
    let tap = up.tap();
    let ng = Nginx::new(engine).script("/", script, ("proxy_buffering off;", up.pass())).start();
    let mut connection = ng.request("GET", "/").begin();
    tap.send("first");
    let head = connection.until("first");
    tap.send("second");
    drop(tap);
    let (rest, _) = connection.rest();
    assert!(!head.contains("x-late") && !String::from_utf8_lossy(&rest).contains("x-late"), "{head}");
    ng.log()
        .lacks("add response x-late 1 -> 0")
        .lacks("replace response x-late 2 -> 0")
        .has("add response x-late 1 ->");
}

fn a_line_break_in_a_value_smuggles_nothing(engine: Engine) {
    let ng = with(engine, "add response x-a 1%0D%0Ax-smuggled: 1; add response x-b%0Ax-smuggled 1", "return 200;");
    let response = ng.get("/");
    response.no_header("x-smuggled");
}

fn a_head_request_has_the_same_headers(engine: Engine) {
    let ng = with(engine, "add response x-new value", "return 200 body;");
    ng.request("HEAD", "/").send().status(200).header("x-new", "value").header("content-length", "4").body("");
}
