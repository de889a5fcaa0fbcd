//! Subrequests have contexts of their own, which end with the request that they serve.

use wasmx_t::{Engine, Log, Nginx, Upstream};

wasmx_t::on_every_engine![
    a_mirrored_request,
    an_authorization_request,
    a_filter_refuses_in_an_authorization_request,
    an_included_part,
    many_included_parts,
    a_part_before_and_one_after,
    a_part_that_is_held,
    a_part_that_answers_by_itself,
    a_part_with_the_chain_of_its_request,
    a_client_that_leaves_ends_all_of_them,
];

const MAIN: &str = "trace; request_headers: say main; property request.is_subrequest; \
                    response_headers: add response x-main 1";
const PART: &str = "trace; request_headers: say part; property request.is_subrequest; \
                    set_property wasmx.kept part; response_headers: property wasmx.kept; get response :status";

/// Each of `count` contexts was made and ended once, and saw a request and a response.
fn each_lived_once(log: &Log, count: usize) {
    log.wait_for(count, "on delete #");
    for callback in ["create", "request_headers", "response_headers", "done", "log", "delete"] {
        log.has_times(count, &format!("on {callback} #"));
    }
}

fn a_mirrored_request(engine: Engine) {
    let (up, copy) = (Upstream::new().ok("fine"), Upstream::new().ok("unseen"));
    let ng = Nginx::new(engine)
        .script("/", MAIN, ("mirror /mirror;", up.pass()))
        .script("= /mirror", PART, ("internal;", copy.pass()))
        .start();
    ng.post("/", "body").status(200).header("x-main", "1").body("fine");
    copy.saw(|seen| _ = seen.body("body"));
    each_lived_once(&ng.log(), 2);
    ng.log().has(r#"property request.is_subrequest -> 0 "false""#).has(r#"property wasmx.kept -> 0 "part""#);
    ng.log().has(r#"property request.is_subrequest -> 0 "true""#);
}

fn an_authorization_request(engine: Engine) {
    let (up, auth) = (Upstream::new().ok("fine"), Upstream::new().ok("yes"));
    let ng = Nginx::new(engine)
        .script("/", MAIN, ("auth_request /auth;", up.pass()))
        .script("= /auth", PART, ("internal; proxy_pass_request_body off;", auth.pass()))
        .start();
    ng.get("/").status(200).header("x-main", "1").body("fine");
    each_lived_once(&ng.log(), 2);
    ng.log().in_order(&["] main", "] part"]);
}

fn a_filter_refuses_in_an_authorization_request(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = Nginx::new(engine)
        .script("/", MAIN, ("auth_request /auth;", up.pass()))
        .script("= /auth", "trace; request_headers: reply 403 no", "internal; return 200;")
        .start();
    ng.get("/").status(403).header("x-main", "1");
    up.saw_nothing();
    ng.log().wait_for(2, "on delete #");
    ng.log().has_times(2, "on create #").has_times(2, "on done #").has_times(2, "on delete #");
}

fn an_included_part(engine: Engine) {
    let part = format!("{PART}; response_body: at_end write response 0xffffffff 0 !");
    let ng = Nginx::new(engine)
        .file("html/page.html", r#"<<!--# include virtual="/part" -->>"#)
        .script("/", MAIN, "ssi on; root html;")
        .script("/part", &part, "return 200 part;")
        .start();
    ng.get("/page.html").status(200).header("x-main", "1").body("<part!>");
    each_lived_once(&ng.log(), 2);
}

fn many_included_parts(engine: Engine) {
    let page: String = (0..10).map(|n| format!(r#"<!--# include virtual="/part/{n}" --> "#)).collect();
    let part = "trace; request_headers: get request :path; set_property wasmx.path {it}; \
                response_body: property wasmx.path; at_end write response 0xffffffff 0 {it}";
    let up = Upstream::new().ok("part of ");
    let ng = Nginx::new(engine)
        .file("html/page.html", page)
        .script("/", MAIN, "ssi on; root html;")
        .script("/part", part, up.pass())
        .start();
    let expected: String = (0..10).map(|n| format!("part of /part/{n} ")).collect();
    ng.get("/page.html").status(200).body(expected);
    each_lived_once(&ng.log(), 11);
}

fn a_part_before_and_one_after(engine: Engine) {
    let up = Upstream::new().ok("middle");
    let ng = Nginx::new(engine)
        .script("/", MAIN, ("add_before_body /part/1; add_after_body /part/2; addition_types *;", up.pass()))
        .script("/part", PART, "return 200 part;")
        .start();
    ng.get("/").status(200).header("x-main", "1").body("partmiddlepart");
    each_lived_once(&ng.log(), 3);
}

fn a_part_that_is_held(engine: Engine) {
    for (callback, side) in [("request_headers", 0), ("response_headers", 1), ("response_body", 1)] {
        let up = Upstream::new().ok("part");
        let part = format!("trace; configure: tick 10; {callback}: pause; tick: each continue {side}");
        let ng = Nginx::new(engine)
            .file("html/page.html", r#"<<!--# include virtual="/part" -->>"#)
            .script("/", MAIN, "ssi on; root html;")
            .script("/part", &part, up.pass())
            .start();
        ng.get("/page.html").status(200).body("<part>");
        each_lived_once(&ng.log(), 2);
    }
}

fn a_part_that_answers_by_itself(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/page.html", r#"<<!--# include virtual="/part" -->>"#)
        .script("/", MAIN, "ssi on; root html;")
        .script("/part", "trace; request_headers: reply 200 mine", "return 200 never;")
        .start();
    ng.get("/page.html").status(200).header("x-main", "1").body("<mine>");
    each_lived_once(&ng.log(), 2);
}

fn a_part_with_the_chain_of_its_request(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/page.html", r#"<<!--# include virtual="/part.txt" -->>"#)
        .file("html/part.txt", "part")
        .script("/", "trace; response_body: at_end write response 0 0 +", "ssi on; root html;")
        .start();
    ng.get("/page.html").status(200).body("+<+part>");
    each_lived_once(&ng.log(), 2);
}

fn a_client_that_leaves_ends_all_of_them(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/page.html", r#"<<!--# include virtual="/part/1" --><!--# include virtual="/part/2" -->>"#)
        .script("/", MAIN, "ssi on; root html;")
        .script("/part", "trace; request_headers: pause", "return 200 part;")
        .start();
    let connection = ng.request("GET", "/page.html").begin();
    ng.log().wait_for(3, "on request_headers #");
    connection.reset();
    ng.log().wait_for(3, "on delete #");
    for callback in ["create", "done", "log", "delete"] {
        ng.log().has_times(3, &format!("on {callback} #"));
    }
}
