//! Which function runs when.

use super::{nginx, teller, tellers};
use wasmx_t::{Engine, Reply, Upstream};

wasmx_t::on_every_engine![
    each_phase_runs_its_functions_in_its_turn,
    functions_of_a_phase_run_in_the_order_of_the_file,
    results_are_ignored,
    the_log_phase_comes_last,
    the_content_phase_is_before_any_handler,
    a_large_body_runs_a_function_for_each_part,
    the_file_of_a_response_stays_as_it_is,
    a_body_that_is_not_there_runs_none,
    rewrites_do_not_run_a_phase_again,
    an_error_page_runs_no_phase_again,
    a_fallback_has_calls_of_its_own,
    postponed_functions_come_after_nginxs_handlers,
    a_request_that_nginx_refuses_is_logged,
    a_mirrored_request_has_its_own,
    an_included_part_has_its_own,
    lines_have_their_level_and_their_request,
    over_http2_too,
    a_connection_that_is_kept_goes_through_it_again,
];

const PHASES: &str = "wasm_call log a log; wasm_call body_filter a body; wasm_call header_filter a header;
    wasm_call content a content; wasm_call access a access; wasm_call rewrite a rewrite;";
const NAMES: [&str; 6] = ["rewrite", "access", "content", "header", "body", "log"];
const IN_TURN: [&str; 6] = ["in rewrite", "in access", "in content", "in header", "in body", "in log"];

fn each_phase_runs_its_functions_in_its_turn(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = tellers(engine, &NAMES).location("/", (PHASES, up.pass())).start();
    ng.get("/").status(200).body("up");
    ng.log().wait("in log");
    ng.log().in_order(&IN_TURN);
    for text in IN_TURN.into_iter().filter(|text| *text != "in body") {
        ng.log().has_times(1, text);
    }
}

fn functions_of_a_phase_run_in_the_order_of_the_file(engine: Engine) {
    for phase in ["rewrite", "access", "content", "header_filter", "body_filter", "log"] {
        let calls = ["two", "one", "two", "three"].map(|name| format!("wasm_call {phase} a {name};")).concat();
        let ng = tellers(engine, &["one", "two", "three"]).location("/", (calls, "root html;"));
        let ng = ng.file("html/file", "the file").start();
        ng.get("/file").status(200).body("the file");
        ng.log().wait("in three");
        ng.log().in_order(&["in two", "in one", "in two", "in three"]);
    }
}

fn results_are_ignored(engine: Engine) {
    let results = ["i32", "i64", "f32", "f64"];
    let functions = results
        .map(|of| format!("(func (export \"{of}\") (result {of}) (call $log (i32.const 7) 'in {of}') ({of}.const 7))"));
    let calls = results.map(|of| format!("wasm_call access a {of};")).concat();
    let ng = nginx(engine, &functions.concat()).location("/", (calls, "root html;")).file("html/f", "fine").start();
    ng.get("/f").status(200).body("fine");
    ng.log().in_order(&["in i32", "in i64", "in f32", "in f64"]);
}

fn the_log_phase_comes_last(engine: Engine) {
    let ng = tellers(engine, &["log"]).location("/", "wasm_call log a log; return 204;").start();
    for count in 1..4 {
        ng.get("/").status(204);
        ng.log().wait_for(count, "in log");
        ng.log().has_times(count, "in log");
    }
}

fn the_content_phase_is_before_any_handler(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = tellers(engine, &["content"])
        .location("/up", ("wasm_call content a content;", up.pass()))
        .location("/html", "wasm_call content a content; root .;")
        .location("/dir/", "wasm_call content a content; alias html/; autoindex on;")
        .location("/tried", "wasm_call content a content; root html; try_files /not/there /file =404;")
        .location("/empty", "wasm_call content a content; empty_gif;")
        .file("html/file", "the file")
        .start();
    ng.get("/up").body("up");
    ng.get("/html/file").body("the file");
    ng.get("/html/none").status(404);
    ng.get("/dir/").status(200).body_has("file");
    ng.get("/tried").body("the file");
    ng.get("/empty").status(200).header("content-type", "image/gif");
    ng.log().has_times(6, "in content");
    // Where the rewrite phase answers, there is none.
    up.saw_times(1);
}

fn a_large_body_runs_a_function_for_each_part(engine: Engine) {
    let large = "0123456789abcdef".repeat(200_000);
    let up = Upstream::new().ok(&large);
    for buffering in ["on", "off"] {
        let lines = (format!("wasm_call body_filter a body; proxy_buffering {buffering};"), up.pass());
        let ng = tellers(engine, &["body"]).location("/", lines).start();
        ng.get("/").status(200).header("content-length", &large.len().to_string()).body(&large);
        let parts = ng.log().lines_with("in body").len();
        assert!(parts > 10, "{parts}");
    }
}

fn the_file_of_a_response_stays_as_it_is(engine: Engine) {
    let large = "0123456789abcdef".repeat(100_000);
    let lines = "wasm_call header_filter a header; wasm_call body_filter a body; root html; sendfile on;";
    let ng = tellers(engine, &["header", "body"]).location("/", lines).file("html/file", &large).start();
    ng.get("/file").status(200).header("content-length", "1600000").header("accept-ranges", "bytes").body(&large);
    let ranged = ng.request("GET", "/file").header("range", "bytes=16-31").send();
    ranged.status(206).body("0123456789abcdef");
    ng.log().has_times(2, "in header").has("in body");
}

fn a_body_that_is_not_there_runs_none(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = tellers(engine, &NAMES).location("/", (PHASES, up.pass())).start();
    ng.request("HEAD", "/").send().status(200).header("content-length", "2").body("");
    ng.log().wait("in log");
    ng.log().in_order(&["in rewrite", "in access", "in content", "in header", "in log"]).lacks("in body");
}

fn rewrites_do_not_run_a_phase_again(engine: Engine) {
    let ng = tellers(engine, &["rewrite", "access", "content"])
        .server("wasm_call rewrite a rewrite; wasm_call access a access; wasm_call content a content;")
        .location("/a", "rewrite ^ /b last;")
        .location("/b", "root html; try_files /none /c;")
        .location("/c", "root html; index file;")
        .location("/c/", "alias html/; index file;")
        .location("/file", "root html;")
        .file("html/file", "the file")
        .start();
    ng.get("/a").status(404);
    ng.get("/c/").status(200).body("the file");
    for text in ["in rewrite", "in access"] {
        ng.log().has_times(2, text);
    }
}

fn an_error_page_runs_no_phase_again(engine: Engine) {
    let ng = tellers(engine, &["rewrite", "access", "content", "log"])
        .server("wasm_call rewrite a rewrite; wasm_call content a content; wasm_call log a log;")
        .server("error_page 403 404 /page;")
        .location("/page", "root html;")
        .location("/denied", "deny all;")
        .location("/none", "root html;")
        .file("html/page", "the page")
        .start();
    ng.get("/denied").status(403).body("the page");
    ng.log().wait("in log");
    ng.log().has_times(1, "in rewrite").lacks("in content");
    ng.get("/none").status(404).body("the page");
    ng.log().wait_for(2, "in log");
    ng.log().has_times(2, "in rewrite").has_times(1, "in content");
}

fn a_fallback_has_calls_of_its_own(engine: Engine) {
    let functions = "(func (export \"say\") (call $say 'instead'))";
    let ng = nginx(engine, functions)
        .location("/", "root html; error_page 404 = @app;")
        .location("@app", "wasm_call content a say;")
        .start();
    ng.get("/none").status(200).body("instead\n");
}

fn postponed_functions_come_after_nginxs_handlers(engine: Engine) {
    let names = ["rewrite", "access"];
    let calls = "wasm_call rewrite a rewrite; wasm_call access a access;";
    let ng = tellers(engine, &names)
        .location("/first/rewrite", (calls, "return 200 first;"))
        .location("/first/access", (calls, "deny all;"))
        .location("/last/rewrite", (calls, "wasm_postpone_rewrite on; return 200 last;"))
        .location("/last/access", (calls, "wasm_postpone_access on; deny all;"))
        .location("/last/both", (calls, "wasm_postpone_rewrite on; wasm_postpone_access on; root html;"))
        .start();
    ng.get("/first/rewrite").status(200);
    ng.log().has_times(1, "in rewrite").lacks("in access");
    ng.get("/first/access").status(403);
    ng.log().has_times(2, "in rewrite").has_times(1, "in access");
    ng.get("/last/rewrite").status(200);
    ng.log().has_times(2, "in rewrite");
    ng.get("/last/access").status(403);
    ng.log().has_times(3, "in rewrite").has_times(1, "in access");
    ng.get("/last/both/none").status(404);
    ng.log().has_times(4, "in rewrite").has_times(2, "in access");
}

fn a_request_that_nginx_refuses_is_logged(engine: Engine) {
    let server = "wasm_call rewrite a rewrite; wasm_call header_filter a header; wasm_call log a log;";
    let ng = tellers(engine, &NAMES).server(server).location("/", "return 200;").start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\n\r\n").response().status(400);
    ng.log().wait("in log");
    ng.log().in_order(&["in header", "in log"]).lacks("in rewrite");
}

fn a_mirrored_request_has_its_own(engine: Engine) {
    let (up, copy) = (Upstream::new().ok("up"), Upstream::new().ok("unseen"));
    let mirrored = "internal; wasm_call rewrite a rewrite; wasm_call access a access; wasm_call content a content; \
                    wasm_call header_filter a header; wasm_call log a log;";
    let ng = tellers(engine, &NAMES)
        .location("/", ("mirror /mirror;", up.pass()))
        .location("= /mirror", (mirrored, copy.pass()))
        .start();
    ng.get("/").status(200).body("up");
    ng.log().wait("in header");
    ng.log().in_order(&["in rewrite", "in content", "in header"]);
    // nginx has no access phase for them, and logs the request that they serve only.
    ng.stop();
    ng.log().lacks("in access").lacks("in log");
}

fn an_included_part_has_its_own(engine: Engine) {
    let functions = "(func (export \"part\") (call $say 'a part'))";
    let ng = nginx(engine, functions)
        .location("/", "root html; ssi on; ssi_types *;")
        .location("/part", "wasm_call content a part;")
        .file("html/page", "before <!--# include virtual=\"/part\" --> after")
        .start();
    let mut connection = ng.connect();
    for _ in 0..2 {
        connection.get("/page").response().status(200).body("before a part\n after");
    }
}

fn lines_have_their_level_and_their_request(engine: Engine) {
    let levels = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];
    let lines: String = (1..=8).map(|level| format!("(call $log (i32.const {level}) 'at {level}.')")).collect();
    let ng = nginx(engine, &format!("(func (export \"f\") {lines})"))
        .location("/", "wasm_call rewrite a f; return 200;")
        .allow("[wasm] at ")
        .start();
    ng.get("/asked");
    for (level, name) in (1..).zip(levels).take(7) {
        let line = ng.log().wait(&format!("[wasm] at {level}."));
        assert!(line.contains(&format!("[{name}]")), "{line}");
        assert!(line.contains("client: 127.0.0.1") && line.contains("\"GET /asked HTTP/1.1\""), "{line}");
    }
    ng.log().lacks("at 8.");
}

fn over_http2_too(engine: Engine) {
    let functions = NAMES.map(teller).concat() + "(func (export \"say\") (call $say 'said'))";
    let calls = "wasm_call rewrite a rewrite; wasm_call content a say; wasm_call header_filter a header; \
                 wasm_call body_filter a body; wasm_call log a log;";
    let ng = nginx(engine, &functions).http2().location("/", calls).start();
    let http2 = ng.http2();
    for _ in 0..2 {
        http2.get("/").response().status(200).body("said\n");
    }
    ng.log().wait_for(2, "in log");
    ng.log().in_order(&["in rewrite", "in header", "in body", "in log"]);
}

fn a_connection_that_is_kept_goes_through_it_again(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::chunks(["u", "p"]));
    let ng = tellers(engine, &NAMES).location("/", (PHASES, "proxy_http_version 1.1;", up.pass())).start();
    let mut connection = ng.connect();
    for count in 1..4 {
        connection.get("/").response().status(200).body("up");
        ng.log().wait_for(count, "in log");
    }
    ng.log().has_times(3, "in rewrite").has_times(3, "in content").has_times(3, "in header");
}
