//! Response headers that are set before there is a response.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    they_are_read_as_they_were_set,
    they_are_merged_into_what_comes,
    a_type_set_before_counts,
    what_was_removed_before_does_not_come,
    the_whole_map_may_be_set,
    a_length_set_before_has_no_effect,
    a_status_is_that_of_what_has_none_of_its_own,
    an_error_page_has_them,
    a_reply_has_them_and_its_own,
    a_bad_one_is_refused,
];

fn they_are_read_as_they_were_set(engine: Engine) {
    let script = "request_headers: get response :status; pairs response; add response x-a 1; add response X-A 2; \
                  replace response x-b 3; get response x-a; pairs response; replace response x-a 4; \
                  replace response :status 203; get response x-A; get response :status; remove response x-b; \
                  get response x-b";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").header("x-a", "4").no_header("x-b");
    ng.log().has("get response :status -> 1").has(r#"pairs response -> 0 """#).has("x-a=1, x-a=2, x-b=3");
    ng.log().has(r#"get response x-A -> 0 "4""#).has(r#"get response :status -> 0 "203""#);
    ng.log().has("get response x-b -> 1");
}

fn they_are_merged_into_what_comes(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").header("x-a", "up").header("x-b", "up").header("x-c", "up"));
    let script = "request_headers: add response x-a early; replace response x-b early; add response x-b too";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    let response = ng.get("/");
    response.headers("x-a", &["up", "early"]).headers("x-b", &["early", "too"]).header("x-c", "up").body("up");
}

fn a_type_set_before_counts(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").header("content-type", "text/html"));
    let script = "request_headers: replace response content-type a/b; replace response server mine";
    let ng = Nginx::new(engine)
        .file("html/file/it.txt", "file")
        .script("/up", script, up.pass())
        .script("/file", script, "root html;")
        .script("/return", script, "return 200 text;")
        .start();
    for path in ["/up", "/file/it.txt", "/return"] {
        ng.get(path).status(200).header("content-type", "a/b").header("server", "mine");
    }
}

fn what_was_removed_before_does_not_come(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").header("x-secret", "1"));
    let script = "request_headers: remove response X-Secret; remove response server";
    let ng = Nginx::new(engine)
        .script("/up", script, up.pass())
        .script("/reply", &format!("{script}; reply 200 text"), "")
        .start();
    ng.get("/up").status(200).no_header("x-secret").no_header("server");
    ng.get("/reply").status(200).no_header("server").body("text");
}

fn the_whole_map_may_be_set(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").header("x-a", "up").header("x-other", "up"));
    let script = "request_headers: add response x-gone 1; set response x-a=1 x-a=2 x-b=3; pairs response";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    let response = ng.get("/");
    response.headers("x-a", &["1", "2"]).header("x-b", "3").header("x-other", "up").no_header("x-gone");
    ng.log().has(r#"pairs response -> 0 "x-a=1, x-a=2, x-b=3""#);
}

fn a_length_set_before_has_no_effect(engine: Engine) {
    let script = "request_headers: replace response content-length 2";
    let ng = Nginx::new(engine).script("/", script, "return 200 text;").start();
    ng.get("/").header("content-length", "4").body("text");
}

fn a_status_is_that_of_what_has_none_of_its_own(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").status(202));
    let script = "request_headers: replace response :status 203";
    let ng = Nginx::new(engine)
        .file("html/file", "a file")
        .script("/file", script, "root html;")
        .script("/none", script, "root html;")
        .script("/up", script, up.pass())
        .script("/reply", &format!("{script}; reply 201 text"), "")
        .start();
    ng.get("/file").status(203).body("a file");
    ng.get("/none").status(404);
    ng.get("/up").status(202).body("up");
    ng.get("/reply").status(201).body("text");
}

fn an_error_page_has_them(engine: Engine) {
    let script = "request_headers: add response x-a 1";
    let ng = Nginx::new(engine)
        .script("/fails", &format!("{script}\nresponse_headers: trap unreachable"), "return 200 text;")
        .script("/page", script, "error_page 404 =404 /sorry; root html;")
        .location("= /sorry", "internal; return 404 sorry;")
        .start();
    ng.get("/page").status(404).headers("x-a", &["1"]).body("sorry");
    ng.get("/fails").status(500).headers("x-a", &["1"]);
}

fn a_reply_has_them_and_its_own(engine: Engine) {
    let script = "request_headers: add response x-a 1; replace response content-type a/b; \
                  reply_with 200 x-a=2,content-type=c/d text";
    let late = "request_headers: add response x-a 1\nresponse_headers: reply 200 mine";
    let ng = Nginx::new(engine).script("/", script, "").script("/late", late, "return 200 never;").start();
    ng.get("/").headers("x-a", &["1", "2"]).headers("content-type", &["c/d"]).body("text");
    ng.get("/late").headers("x-a", &["1"]).body("mine");
}

fn a_bad_one_is_refused(engine: Engine) {
    let script = "request_headers: add response x-a 1%0A; replace response :status 42; replace response :path /; \
                  set response x-c=1 x-d%20=2";
    let ng = Nginx::new(engine).script("/", script, "return 200 text;").start();
    ng.get("/").status(200).no_header("x-a").no_header("x-c").body("text");
    ng.log().has("add response x-a 1%0A -> 2").has("replace response :status 42 -> 2");
    ng.log().has("replace response :path / -> 2").has("set response x-c=1 x-d%20=2 -> 2");
}
