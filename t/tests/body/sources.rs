//! Where response bodies come from: all are seen, and what is not looked at goes its usual way.

use wasmx_t::{Engine, Nginx, Reply, Upstream, filter};

wasmx_t::on_every_engine![
    a_body_of_the_configuration,
    a_static_file,
    a_large_static_file,
    a_part_of_a_static_file,
    an_error_page,
    an_error_page_of_our_own,
    a_large_proxied_body,
    a_proxied_body_that_nginx_spooled,
    a_changed_body_is_compressed_after_that,
    a_filter_without_a_body_callback_leaves_files_alone,
    a_body_after_an_internal_redirect,
    a_body_made_of_subrequests,
];

const APPEND: &str = "response_body: at_end write response 0xffffffff 0 !";

fn a_body_of_the_configuration(engine: Engine) {
    let ng = Nginx::new(engine).script("/", APPEND, "return 200 hello;").start();
    ng.get("/").body("hello!");
}

fn a_static_file(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "hello").file("html/empty", "");
    let ng = nginx.script("/", APPEND, "root html; sendfile on;").start();
    ng.get("/file").status(200).no_header("accept-ranges").body("hello!");
    ng.get("/empty").status(200);
}

fn a_large_static_file(engine: Engine) {
    let body: String = (0..200_000).map(|number| format!("{number:06}\n")).collect();
    for sendfile in ["on", "off"] {
        let nginx = Nginx::new(engine).file("html/file", &body);
        let ng = nginx.script("/", APPEND, format!("root html; sendfile {sendfile};")).start();
        ng.get("/file").status(200).body(format!("{body}!"));
    }
}

fn a_part_of_a_static_file(engine: Engine) {
    let ng = Nginx::new(engine).file("html/file", "0123456789").script("/", APPEND, "root html;").start();
    // A body that may change has no parts.
    ng.request("GET", "/file").header("range", "bytes=2-4").send().status(200).body("0123456789!");
}

fn an_error_page(engine: Engine) {
    let ng = Nginx::new(engine).script("/", APPEND, "return 404;").start();
    let response = ng.get("/");
    response.status(404).body_has("404 Not Found");
    assert!(response.text().ends_with('!'), "{response}");
}

fn an_error_page_of_our_own(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/sorry.html", "sorry")
        .script("/", APPEND, "error_page 404 /sorry.html; root html;")
        .start();
    ng.get("/not/there").status(404).body("sorry!");
}

fn a_large_proxied_body(engine: Engine) {
    let body: String = (0..200_000).map(|number| format!("{number:06}\n")).collect();
    let up = Upstream::new().ok(&body);
    for buffering in ["on", "off"] {
        let lines = (format!("proxy_buffering {buffering};"), up.pass());
        let ng = Nginx::new(engine).script("/", APPEND, lines).start();
        ng.get("/").status(200).body(format!("{body}!"));
    }
}

fn a_proxied_body_that_nginx_spooled(engine: Engine) {
    let body: String = (0..400_000).map(|number| format!("{number:06}\n")).collect();
    let up = Upstream::new().ok(&body);
    let lines = ("proxy_buffers 2 4k; proxy_buffer_size 4k; proxy_busy_buffers_size 4k;", up.pass());
    let ng = Nginx::new(engine).script("/", APPEND, lines).start();
    ng.get("/").status(200).body(format!("{body}!"));
}

fn a_changed_body_is_compressed_after_that(engine: Engine) {
    let lines = "gzip on; gzip_min_length 1; gzip_types *; return 200 'hello hello hello hello hello hello';";
    let ng = Nginx::new(engine).script("/", APPEND, lines).start();
    let response = ng.request("GET", "/").header("accept-encoding", "gzip").send();
    response.status(200).header("content-encoding", "gzip");
    ng.get("/").no_header("content-encoding").body("hello hello hello hello hello hello!");
}

fn a_filter_without_a_body_callback_leaves_files_alone(engine: Engine) {
    let body: String = (0..20_000).map(|number| format!("{number:06}\n")).collect();
    let ng = Nginx::new(engine)
        .file("html/file", &body)
        .wat("plain", filter(""))
        .location("/", "proxy_wasm plain; root html; sendfile on;")
        .start();
    let response = ng.request("GET", "/file").header("range", "bytes=6-12").send();
    response.status(206).header("content-range", "bytes 6-12/140000").body(&body[6..13]);
    ng.get("/file").status(200).header("accept-ranges", "bytes").header("content-length", "140000").body(&body);
}

fn a_body_after_an_internal_redirect(engine: Engine) {
    let ng = Nginx::new(engine)
        .file("html/a/index.html", "index")
        .script("/", APPEND, "root html; index index.html;")
        .start();
    ng.get("/a/").status(200).body("index!");
}

fn a_body_made_of_subrequests(engine: Engine) {
    let up = Upstream::new().respond(|req| Reply::ok(format!("<{}>", req.target())));
    let main = ("add_before_body /before; add_after_body /after; addition_types *;", up.pass());
    let ng = Nginx::new(engine)
        .script("/main", "response_headers: add response x-new 1", main)
        .location("/", up.pass())
        .start();
    ng.get("/main").status(200).header("x-new", "1").body("</before></main></after>");
}
