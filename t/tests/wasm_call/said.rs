//! What functions say of a response that is there: it comes before its body.

use super::{nginx, raw};
use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    it_comes_before_the_body,
    lines_of_several_functions_come_in_order,
    what_was_said_for_content_comes_behind_it,
    a_file_is_served_whole,
    an_empty_body_gets_one,
    a_response_without_a_body_stays_without,
    filters_see_the_body_without_it,
    a_filter_that_pauses_does_not_change_the_order,
    a_local_response_goes_before_it,
    a_failure_forgets_it,
    an_included_part_has_its_own,
    gzip_takes_it_along,
    a_large_one_reaches_a_slow_client,
    over_http2_too,
];

const SAY: &str = "(func (export \"say\") (call $say 'said')) (func (export \"more\") (call $say 'more'))
    (func (export \"nothing\") (call $say (i32.const 0) (i32.const 0))) (func (export \"nop\"))
    (func (export \"answer\") (call $answer (i32.const 403) (i32.const 0) (i32.const 0) 'no'))
    (func (export \"discard\") (call $discard)) (func (export \"trap\") (unreachable))";

const CALL: &str = "wasm_call header_filter a say;";

/// With the guest `script` as well.
fn with_script(engine: Engine) -> Nginx {
    Nginx::new(engine).wat("a", raw(SAY)).wasm("script", wasmx_t::guest("script"))
}

fn it_comes_before_the_body(engine: Engine) {
    let known = Upstream::new().respond(|_| Reply::ok("up").header("x-up", "1").header("accept-ranges", "bytes"));
    let chunked = Upstream::new().respond(|_| Reply::chunks(["u", "p"]));
    let ng = nginx(engine, SAY)
        .location("/own", (CALL, "return 202 own;"))
        .location("/known", (CALL, known.pass()))
        .location("/unbuffered", (CALL, "proxy_buffering off;", known.pass()))
        .location("/chunked", (CALL, "proxy_http_version 1.1;", chunked.pass()))
        .location("/nothing", ("wasm_call header_filter a nothing;", known.pass()))
        .start();
    let mut connection = ng.connect();
    for _ in 0..2 {
        // As long as it says, so that the connection can be kept.
        connection.get("/own").response().status(202).header("content-length", "8").body("said\nown");
        for path in ["/known", "/unbuffered"] {
            let response = connection.get(path).response();
            response.status(200).header("x-up", "1").no_header("accept-ranges").header("content-length", "7");
            response.body("said\nup");
        }
        connection.get("/chunked").response().status(200).body("said\nup");
        connection.get("/nothing").response().status(200).header("content-length", "2").body("up");
    }
}

fn lines_of_several_functions_come_in_order(engine: Engine) {
    let calls = "wasm_call header_filter a say; wasm_call header_filter a nop; wasm_call header_filter a more;";
    let ng = nginx(engine, SAY).location("/", (calls, "return 200 own;")).start();
    ng.get("/").status(200).header("content-length", "13").body("said\nmore\nown");
}

fn what_was_said_for_content_comes_behind_it(engine: Engine) {
    let ng = nginx(engine, SAY).location("/", ("wasm_call content a more;", CALL)).start();
    ng.get("/").status(200).header("content-length", "10").body("said\nmore\n");
}

fn a_file_is_served_whole(engine: Engine) {
    let file = "0123456789".repeat(50_000);
    let ng = nginx(engine, SAY)
        .location("/", (CALL, "root html; sendfile on; output_buffers 2 8k;"))
        .file("html/file", &file)
        .start();
    let whole = format!("said\n{file}");
    ng.get("/file").status(200).header("content-length", &whole.len().to_string()).body(&whole);
    // Ranges would be those of another body.
    ng.request("GET", "/file").header("range", "bytes=1-3").send().status(200).body(&whole);
}

fn an_empty_body_gets_one(engine: Engine) {
    let up = Upstream::new().ok("");
    let ng = nginx(engine, SAY)
        .location("/own", (CALL, "return 200;"))
        .location("/up", (CALL, up.pass()))
        .location("/file/", (CALL, "alias html/;"))
        .file("html/empty", "")
        .start();
    let mut connection = ng.connect();
    for path in ["/own", "/up", "/file/empty", "/own"] {
        connection.get(path).response().status(200).header("content-length", "5").body("said\n");
    }
}

fn a_response_without_a_body_stays_without(engine: Engine) {
    let ng = nginx(engine, SAY)
        .location("/none", (CALL, "return 204;"))
        .location("/own", (CALL, "return 200 own;"))
        .location("/file", (CALL, "root html;"))
        .file("html/file", "file")
        .start();
    let mut connection = ng.connect();
    for _ in 0..2 {
        connection.get("/none").response().status(204).body("");
        let head = "HEAD /own HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.send(head).head_response().status(200).header("content-length", "8");
        connection.get("/own").response().status(200).body("said\nown");
    }
    let modified = ng.get("/file").status(200).value("last-modified").expect("a date").to_owned();
    ng.request("GET", "/file").header("if-modified-since", &modified).send().status(304).body("");
}

/// Also when the header is held until they have seen the body.
fn filters_see_the_body_without_it(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::chunks(["u", "p"]));
    let filter = |script: &str| format!("proxy_wasm script 'response_body: {script}';");
    let ng = with_script(engine)
        .location("/seen", (filter("body response 0 100"), CALL, "return 200 own;"))
        .location("/before", (filter("write response 0 0 filter%20"), CALL, "return 200 own;"))
        .location("/behind", (CALL, filter("write response 0 0 filter%20"), "return 200 own;"))
        .location("/emptied", (CALL, filter("write response 0 100 "), "return 200 own;"))
        .location("/chunks", ((CALL, filter("write response 0 100 x")), "proxy_http_version 1.1;", up.pass()))
        .location("/collected", ((CALL, filter("collect; at_end say all")), "proxy_http_version 1.1;", up.pass()))
        .start();
    let mut connection = ng.connect();
    connection.get("/seen").response().status(200).body("said\nown");
    ng.log().has("body response 0 100 -> 0 \"own\"");
    for path in ["/before", "/behind"] {
        connection.get(path).response().status(200).header("content-length", "15").body("said\nfilter own");
    }
    connection.get("/emptied").response().status(200).header("content-length", "5").body("said\n");
    let text = connection.get("/chunks").response().status(200).text();
    assert!(text.starts_with("said\nx") && !text[5..].contains("said"), "{text:?}");
    connection.get("/collected").response().status(200).body("said\nup");
}

fn a_filter_that_pauses_does_not_change_the_order(engine: Engine) {
    let up = Upstream::new().ok("up");
    let paused = "proxy_wasm script 'configure: tick 10; response_headers: pause; tick: each continue 1';";
    let alone = "proxy_wasm script 'response_headers: pause; response_body: at_end say seen';
                 proxy_wasm_allow_on_headers_stop_iteration on;";
    for (filter, isolation) in [(paused, "none"), (alone, "none"), (alone, "stream")] {
        let ng = with_script(engine)
            .location("/first", ((filter, CALL), format!("proxy_wasm_isolation {isolation};"), up.pass()))
            .location("/last", ((CALL, filter), "proxy_buffering off;", up.pass()))
            .start();
        let mut connection = ng.connect();
        for path in ["/first", "/last", "/first"] {
            connection.get(path).response().status(200).body("said\nup");
        }
    }
}

fn a_local_response_goes_before_it(engine: Engine) {
    let up = Upstream::new().ok("up");
    let calls =
        |names: &[&str]| names.iter().map(|name| format!("wasm_call header_filter a {name};")).collect::<String>();
    let replies = "proxy_wasm script 'response_headers: reply 402 filter';";
    let late = "proxy_wasm script 'response_body: reply 402 filter';";
    let ng = with_script(engine)
        .location("/answer", (calls(&["say", "answer", "more"]), up.pass()))
        .location("/discard", (calls(&["say", "answer", "discard"]), up.pass()))
        .location("/replies", ((CALL, replies), "wasm_call body_filter a nop;", up.pass()))
        .location("/late", ((CALL, late), "wasm_call body_filter a nop;", up.pass()))
        .start();
    let mut connection = ng.connect();
    connection.get("/answer").response().status(403).body("no");
    connection.get("/discard").response().status(200).body("said\nup");
    connection.get("/replies").response().status(402).body("filter");
    connection.get("/late").response().status(402).body("filter");
}

fn a_failure_forgets_it(engine: Engine) {
    let up = Upstream::new().ok("up");
    for first in ["say", "answer"] {
        let calls =
            format!("wasm_call header_filter a {first}; wasm_call header_filter a trap; wasm_call body_filter a nop;");
        let ng = nginx(engine, SAY)
            .location("/closed", (&*calls, up.pass()))
            .location("/open", (&*calls, "proxy_wasm_failure_policy open;", up.pass()))
            .start();
        let text = ng.get("/closed").status(500).text();
        assert!(text.contains("500") && !text.contains("said"), "{text}");
        let (status, body) = if first == "say" { (200, "said\nup") } else { (403, "no") };
        ng.get("/open").status(status).body(body);
    }
}

fn an_included_part_has_its_own(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = nginx(engine, SAY)
        .location("/", "root html; ssi on; ssi_types *;")
        .location("/part", (CALL, up.pass()))
        .file("html/page", "before <!--# include virtual=\"/part\" --> after")
        .start();
    let mut connection = ng.connect();
    for _ in 0..2 {
        connection.get("/page").response().status(200).body("before said\nup after");
    }
}

fn gzip_takes_it_along(engine: Engine) {
    let lines = "gzip on; gzip_min_length 1; gzip_types *; return 200 'hello hello hello hello hello hello';";
    let ng = nginx(engine, SAY).location("/", (CALL, lines)).start();
    let response = ng.request("GET", "/").header("accept-encoding", "gzip").send();
    response.status(200).header("content-encoding", "gzip").no_header("content-length");
    ng.get("/").status(200).body("said\nhello hello hello hello hello hello");
}

fn a_large_one_reaches_a_slow_client(engine: Engine) {
    let many = "(func (export \"f\") (local $n i32) (loop $more (call $say (i32.const 0) (i32.const 65535))
        (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $more (i32.lt_u (local.get $n) (i32.const 50)))))";
    let up = Upstream::new().respond(|_| Reply::ok("u".repeat(2_000_000)));
    for buffering in ["on", "off"] {
        let lines = (format!("wasm_call header_filter a f; proxy_buffering {buffering};"), up.pass());
        let ng = nginx(engine, many).location("/", lines).start();
        let mut connection = ng.request("GET", "/").begin();
        // By then the sockets are full.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let response = connection.response();
        response.status(200).header("content-length", "5276800");
        assert!(response.bytes()[3_276_800..].iter().all(|byte| *byte == b'u'));
    }
}

fn over_http2_too(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = nginx(engine, SAY)
        .http2()
        .location("/", (CALL, up.pass()))
        .location("/empty", (CALL, "return 200;"))
        .location("/none", (CALL, "return 204;"))
        .start();
    let http2 = ng.http2();
    for _ in 0..2 {
        http2.get("/").response().status(200).body("said\nup");
        http2.get("/empty").response().status(200).body("said\n");
        http2.get("/none").response().status(204).body("");
    }
}
