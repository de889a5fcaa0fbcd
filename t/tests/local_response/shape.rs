//! What such a response looks like.

use wasmx_t::{Engine, Nginx, Response, Running};

wasmx_t::on_every_engine![
    the_body_is_sent_byte_for_byte,
    an_empty_body_is_sent,
    a_long_body_is_sent,
    a_status_without_a_name_is_sent,
    a_status_that_is_none_is_refused_or_sent,
    a_head_request_gets_the_header,
    headers_of_several_values_are_sent,
    nginxs_error_pages_do_not_replace_it,
    a_redirect_is_sent,
    a_grpc_reply_is_one,
    a_line_break_in_a_header_smuggles_nothing,
    what_was_set_before_is_merged_in,
];

fn with(engine: Engine, reply: &str) -> Running {
    Nginx::new(engine).script("/", &format!("request_headers: {reply}"), "return 200 never;").start()
}

fn reply(engine: Engine, reply: &str) -> Response {
    with(engine, reply).get("/")
}

fn the_body_is_sent_byte_for_byte(engine: Engine) {
    let bytes: Vec<u8> = (0..=255).collect();
    let script: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    reply(engine, &format!("reply 200 {script}")).status(200).header("content-length", "256").body(bytes);
}

fn an_empty_body_is_sent(engine: Engine) {
    reply(engine, "reply 200 ").status(200).header("content-length", "0").body("");
    reply(engine, "reply 204 ").status(204).body("");
}

fn a_long_body_is_sent(engine: Engine) {
    let body = "0123456789".repeat(30_000);
    let nginx = Nginx::new(engine).file("long.conf", format!("request_headers: reply 200 {body}"));
    let nginx = nginx.wasm("script", wasmx_t::guest("script"));
    let ng = nginx.location("/", "proxy_wasm script config_file=long.conf; return 200 never;").start();
    ng.get("/").status(200).header("content-length", "300000").body(body);
}

fn a_status_without_a_name_is_sent(engine: Engine) {
    for status in [299, 418, 499, 599] {
        reply(engine, &format!("reply {status} text")).status(status).body("text");
    }
}

fn a_status_that_is_none_is_refused_or_sent(engine: Engine) {
    for status in ["0", "99", "1000", "0xffffffff"] {
        // Whatever is made of it, it is one response that HTTP knows.
        let code = reply(engine, &format!("reply {status} text")).code();
        assert!(code.is_some_and(|code| (100..1000).contains(&code)), "{status} became {code:?}");
    }
}

fn a_head_request_gets_the_header(engine: Engine) {
    let ng = with(engine, "reply 200 hello");
    ng.request("HEAD", "/").send().status(200).header("content-length", "5").body("");
}

fn headers_of_several_values_are_sent(engine: Engine) {
    reply(engine, "reply_with 200 set-cookie=a,set-cookie=b,server=mine text")
        .headers("set-cookie", &["a", "b"])
        .header("server", "mine")
        .body("text");
}

fn nginxs_error_pages_do_not_replace_it(engine: Engine) {
    let lines = "error_page 403 /sorry; return 200 never;";
    let ng = Nginx::new(engine)
        .script("/", "request_headers: reply 403 mine", lines)
        .location("= /sorry", "return 200 sorry;")
        .start();
    ng.get("/").status(403).body("mine");
}

fn a_redirect_is_sent(engine: Engine) {
    reply(engine, "reply_with 302 location=https://example.org/ ")
        .status(302)
        .header("location", "https://example.org/");
}

fn a_grpc_reply_is_one(engine: Engine) {
    let response = reply(engine, "grpc_reply 7 not%20you");
    response.status(200).header("content-type", "application/grpc").header("grpc-status", "7");
    response.header("grpc-message", "not you");
}

fn a_line_break_in_a_header_smuggles_nothing(engine: Engine) {
    reply(engine, "reply_with 200 x-a=1%0D%0Ax-smuggled:1 text").no_header("x-smuggled");
}

fn what_was_set_before_is_merged_in(engine: Engine) {
    reply(engine, "add response x-early 1; reply 200 text").status(200).header("x-early", "1").body("text");
}
