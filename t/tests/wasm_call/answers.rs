//! What functions answer.

use super::nginx;
use wasmx_t::{Engine, Reply, Upstream};

wasmx_t::on_every_engine![
    what_is_said_is_the_response,
    lines_of_several_functions_are_one_body,
    saying_nothing_is_a_response_too,
    without_an_answer_the_request_goes_on,
    an_answer_ends_the_phases_before_the_response,
    a_local_response_has_status_reason_and_body,
    it_is_sent_when_the_phase_ends,
    the_first_of_two_stays,
    it_can_be_discarded,
    it_goes_before_what_was_said,
    it_takes_the_place_of_a_response,
    head_has_no_body,
    a_body_that_came_is_read_away,
    connections_are_kept,
    a_large_response,
    a_response_may_not_grow_for_ever,
    headers_that_a_filter_set_go_along,
];

const SAY: &str = "(func (export \"hello\") (call $say 'hello')) (func (export \"world\") (call $say 'world'))
    (func (export \"nothing\") (call $say (i32.const 0) (i32.const 0))) (func (export \"nop\"))";
const ANSWER: &str = "(func (export \"answer\") (call $answer (i32.const 451) 'Not Here' 'blocked'))
    (func (export \"plain\") (call $answer (i32.const 403) (i32.const 0) (i32.const 0) 'no'))
    (func (export \"discard\") (call $discard)) (func (export \"say\") (call $say 'said'))
    (func (export \"tell\") (call $log (i32.const 7) 'told'))";

fn what_is_said_is_the_response(engine: Engine) {
    let up = Upstream::new().ok("up");
    for phase in ["rewrite", "access", "content"] {
        let calls = format!("wasm_call {phase} a hello;");
        let ng = nginx(engine, SAY).location("/", (calls, up.pass())).start();
        let response = ng.get("/");
        response.status(200).reason("OK").header("content-length", "6").header("content-type", "text/plain");
        response.body("hello\n");
    }
    up.saw_nothing();
}

fn lines_of_several_functions_are_one_body(engine: Engine) {
    let calls = "wasm_call content a hello; wasm_call content a nop; wasm_call content a world;";
    let ng = nginx(engine, SAY).location("/", calls).start();
    ng.get("/").status(200).header("content-length", "12").body("hello\nworld\n");
}

fn saying_nothing_is_a_response_too(engine: Engine) {
    let ng = nginx(engine, SAY).location("/", "wasm_call content a nothing; root html;").start();
    ng.get("/none").status(200).header("content-length", "0").body("");
}

fn without_an_answer_the_request_goes_on(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = nginx(engine, SAY)
        .location("/up", ("wasm_call content a nop;", up.pass()))
        .location("/", "wasm_call content a nop; root html;")
        .start();
    ng.post("/up", "body").status(200).body("up");
    up.saw(|seen| _ = seen.body("body"));
    ng.get("/none").status(404);
}

fn an_answer_ends_the_phases_before_the_response(engine: Engine) {
    let calls = "wasm_call rewrite a say; wasm_call rewrite a tell; wasm_call access a tell; wasm_call content a tell;
        wasm_call header_filter a tell; wasm_call log a tell;";
    let ng = nginx(engine, ANSWER).location("/", calls).start();
    ng.get("/").status(200).body("said\n");
    ng.log().wait_for(3, "told");
    ng.stop();
    // The rest of its phase, and those of the response.
    ng.log().has_times(3, "told");
}

fn a_local_response_has_status_reason_and_body(engine: Engine) {
    let up = Upstream::new().ok("up");
    for phase in ["rewrite", "access", "content", "header_filter"] {
        let calls = |name: &str| format!("wasm_call {phase} a {name};");
        let ng = nginx(engine, ANSWER)
            .location("/reason", (calls("answer"), up.pass()))
            .location("/plain", (calls("plain"), up.pass()))
            .start();
        let response = ng.get("/reason");
        response.status(451).reason("Not Here").header("content-length", "7").body("blocked");
        ng.get("/plain").status(403).reason("Forbidden").body("no");
    }
}

fn it_is_sent_when_the_phase_ends(engine: Engine) {
    for phase in ["rewrite", "access", "content", "header_filter"] {
        let calls = ["answer", "tell"].map(|name| format!("wasm_call {phase} a {name};")).concat();
        let ng = nginx(engine, ANSWER).location("/", (calls, "root html;")).file("html/file", "file").start();
        ng.get("/file").status(451).body("blocked");
        ng.log().has_times(1, "told");
    }
}

fn the_first_of_two_stays(engine: Engine) {
    let calls = "wasm_call access a plain; wasm_call access a answer;";
    let ng = nginx(engine, ANSWER).location("/", calls).start();
    ng.get("/").status(403).reason("Forbidden").body("no");
}

fn it_can_be_discarded(engine: Engine) {
    for phase in ["rewrite", "access", "content", "header_filter"] {
        let calls =
            |names: &[&str]| names.iter().map(|name| format!("wasm_call {phase} a {name};")).collect::<String>();
        let ng = nginx(engine, ANSWER)
            .location("/once", (calls(&["answer", "discard"]), "root html;"))
            .location("/twice", (calls(&["answer", "discard", "plain"]), "root html;"))
            .location("/none", (calls(&["discard"]), "root html;"))
            .file("html/once", "file")
            .file("html/twice", "file")
            .file("html/none", "file")
            .start();
        ng.get("/once").status(200).body("file");
        ng.get("/twice").status(403).reason("Forbidden").body("no");
        ng.get("/none").status(200).body("file");
    }
}

fn it_goes_before_what_was_said(engine: Engine) {
    let ng = nginx(engine, ANSWER).location("/", "wasm_call content a say; wasm_call content a plain;").start();
    ng.get("/").status(403).body("no");
}

fn it_takes_the_place_of_a_response(engine: Engine) {
    let up =
        Upstream::new().respond(|_| Reply::ok("secret".repeat(100_000)).header("x-up", "1").header("etag", "\"1\""));
    for buffering in ["on", "off"] {
        let lines = (format!("wasm_call header_filter a answer; proxy_buffering {buffering};"), up.pass());
        let ng = nginx(engine, ANSWER).location("/", lines).start();
        let mut connection = ng.connect();
        for _ in 0..2 {
            let response = connection.get("/").response();
            response.status(451).no_header("x-up").no_header("etag").body("blocked");
        }
    }
}

fn head_has_no_body(engine: Engine) {
    let ng = nginx(engine, ANSWER)
        .location("/say", "wasm_call content a say;")
        .location("/answer", "wasm_call content a answer;")
        .location("/late", "wasm_call header_filter a answer; return 200 text;")
        .start();
    let mut connection = ng.connect();
    for (path, status, length) in [("/say", 200, "5"), ("/answer", 451, "7"), ("/late", 451, "7")] {
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.send(head).head_response().status(status).header("content-length", length);
    }
    connection.get("/say").response().body("said\n");
}

fn a_body_that_came_is_read_away(engine: Engine) {
    let ng = nginx(engine, ANSWER)
        .location("/say", "wasm_call content a say;")
        .location("/answer", "wasm_call rewrite a answer;")
        .start();
    let mut connection = ng.connect();
    for (path, status) in [("/say", 200), ("/answer", 451), ("/say", 200)] {
        let body = "b".repeat(50_000);
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.send(head + &body).response().status(status);
    }
}

fn connections_are_kept(engine: Engine) {
    let ng = nginx(engine, ANSWER)
        .location("/say", "wasm_call content a say;")
        .location("/answer", "wasm_call access a answer;")
        .start();
    let mut connection = ng.connect();
    for _ in 0..3 {
        connection.get("/say").response().status(200).body("said\n");
        connection.get("/answer").response().status(451).body("blocked");
    }
}

/// Says a page of memory so many times.
fn pages(count: u32) -> String {
    format!(
        "(func (export \"f\") (local $n i32) (loop $more (call $say (i32.const 0) (i32.const 65535))
           (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $more (i32.lt_u (local.get $n) (i32.const {count})))))"
    )
}

fn a_large_response(engine: Engine) {
    let ng = nginx(engine, &pages(50)).location("/", "wasm_call content a f; gzip off;").start();
    let response = ng.get("/");
    response.status(200).header("content-length", "3276800");
    assert_eq!(response.bytes().len(), 3_276_800);
}

fn a_response_may_not_grow_for_ever(engine: Engine) {
    let lines = "wasm_call content a f; proxy_wasm_time_limit 10s;";
    let ng = nginx(engine, &pages(1_000_000)).location("/", lines).start();
    ng.get("/").status(500);
    ng.log().has("ngx_http_resp_say: the response is too large");
}

fn headers_that_a_filter_set_go_along(engine: Engine) {
    let lines = "wasm_call rewrite a answer;";
    let ng = nginx(engine, ANSWER).script("/", "request_headers: add response x-filter 1", lines).start();
    ng.get("/").status(451).header("x-filter", "1").body("blocked");
}
