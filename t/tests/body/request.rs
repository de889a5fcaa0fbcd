//! Request bodies.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_body_is_seen_whole_at_once,
    a_body_is_replaced,
    a_body_gets_an_end,
    a_body_gets_a_beginning,
    a_body_is_spliced,
    a_body_is_emptied,
    a_body_is_made_much_longer,
    a_body_in_chunks_is_seen_whole,
    a_body_that_nginx_spooled_is_read,
    a_body_that_nginx_spooled_is_changed,
    without_a_body_nothing_is_called,
    the_header_callback_knows_whether_a_body_comes,
    two_filters_change_one_body,
    a_body_is_changed_before_nginx_uses_it_itself,
    an_upgrade_keeps_its_bytes,
    a_second_request_on_the_connection_is_intact,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", &format!("request_body: {script}"), up.pass()).start()
}

/// What the upstream gets when `hello` was sent.
fn becomes(engine: Engine, script: &str, expected: &str) {
    let up = Upstream::new().ok("fine");
    let ng = with(engine, script, &up);
    ng.post("/", "hello").status(200).body("fine");
    up.saw(|req| {
        req.body(expected).header("content-length", &expected.len().to_string());
    });
}

fn a_body_is_seen_whole_at_once(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "say {size} {end}; body request 0 100; body request 1 3; buffer_size request", &up);
    ng.post("/", "hello").status(200);
    ng.log().has_times(1, "5 true").has(r#"body request 0 100 -> 0 "hello""#).has(r#"body request 1 3 -> 0 "ell""#);
    ng.log().has(r#"buffer_size request -> 0 "5 "#);
    up.saw(|req| {
        req.body("hello");
    });
}

fn a_body_is_replaced(engine: Engine) {
    becomes(engine, "write request 0 5 new text", "new text");
    becomes(engine, "write request 0 0xffffffff new", "new");
}

fn a_body_gets_an_end(engine: Engine) {
    becomes(engine, "write request 5 0 , world", "hello, world");
    becomes(engine, "write request 100 100 , world", "hello, world");
}

fn a_body_gets_a_beginning(engine: Engine) {
    becomes(engine, "write request 0 0 oh%20", "oh hello");
}

fn a_body_is_spliced(engine: Engine) {
    becomes(engine, "write request 1 3 ipp", "hippo");
    becomes(engine, "write request 1 0 XX", "hXXello");
    becomes(engine, "write request 0 1 J", "Jello");
    becomes(engine, "write request 4 100 !", "hell!");
}

fn a_body_is_emptied(engine: Engine) {
    becomes(engine, "write request 0 5 ", "");
}

fn a_body_is_made_much_longer(engine: Engine) {
    let up = Upstream::new();
    // Doubled twelve times: 20 KB of 5 bytes.
    let ng = with(engine, &["body request 0 1000000; write request 0 0 {it}"; 12].join("; "), &up);
    ng.post("/", "hello").status(200);
    up.saw(|req| {
        req.body("hello".repeat(1 << 12));
    });
}

fn a_body_in_chunks_is_seen_whole(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "say {size} {end}; write request 100 0 !", &up);
    ng.request("POST", "/").chunked(["he", "llo"]).send().status(200);
    ng.log().has_times(1, "5 true");
    up.saw(|req| {
        req.body("hello!");
    });
}

/// More than `client_body_buffer_size`: nginx writes it to a file.
fn big() -> String {
    (0..20_000).map(|number| format!("{number:05}\n")).collect()
}

fn spooling(engine: Engine, script: &str, up: &Upstream) -> Running {
    let lines = ("client_body_buffer_size 8k;", up.pass());
    Nginx::new(engine).script("/", &format!("request_body: {script}"), lines).start()
}

fn a_body_that_nginx_spooled_is_read(engine: Engine) {
    let up = Upstream::new();
    let ng = spooling(engine, "say {size} {end}; body request 60000 5; body request 119994 100", &up);
    ng.post("/", big()).status(200);
    ng.log().has("120000 true").has(r#"-> 0 "10000""#).has(r#"-> 0 "19999\n""#);
    up.saw(|req| {
        req.body(big());
    });
}

fn a_body_that_nginx_spooled_is_changed(engine: Engine) {
    let up = Upstream::new();
    let ng = spooling(engine, "write request 0 5 first; write request 120000 0 last", &up);
    ng.post("/", big()).status(200);
    up.saw(|req| {
        req.body(big().replacen("00000", "first", 1) + "last");
    });
}

fn without_a_body_nothing_is_called(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "say called", &up);
    ng.get("/").status(200);
    ng.request("POST", "/").header("content-length", "0").send().status(200);
    ng.log().lacks("called");
}

fn the_header_callback_knows_whether_a_body_comes(engine: Engine) {
    let up = Upstream::new();
    let ng = Nginx::new(engine).script("/", "request_headers: get request :path; say {it} {end}", up.pass()).start();
    ng.get("/none").status(200);
    ng.post("/some", "hello").status(200);
    ng.request("POST", "/chunks").chunked(["hello"]).send().status(200);
    ng.log().has("/none true").has("/some false").has("/chunks false");
}

fn two_filters_change_one_body(engine: Engine) {
    let up = Upstream::new();
    let second = "proxy_wasm script 'request_body: body request 0 100; write request 100 0 2';";
    let ng = Nginx::new(engine).script("/", "request_body: write request 100 0 1", (second, up.pass())).start();
    ng.post("/", "hello").status(200);
    ng.log().has(r#"body request 0 100 -> 0 "hello1""#);
    up.saw(|req| {
        req.body("hello12");
    });
}

fn a_body_is_changed_before_nginx_uses_it_itself(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_set_body '<$request_body>';", up.pass());
    let ng = Nginx::new(engine).script("/", "request_body: write request 0 100 new", lines).start();
    ng.post("/", "hello").status(200);
    up.saw(|req| {
        req.body("<new>");
    });
}

fn an_upgrade_keeps_its_bytes(engine: Engine) {
    let up = Upstream::new().raw("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\nwelcome");
    let lines = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let ng = Nginx::new(engine).script("/", "request_body: say called", (lines, up.pass())).start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n");
    connection.until("101 Switching");
    connection.until("welcome");
    ng.log().lacks("called");
}

fn a_second_request_on_the_connection_is_intact(engine: Engine) {
    let up = Upstream::new().respond(|req| wasmx_t::Reply::ok(req.bytes()));
    let ng = with(engine, "write request 100 0 !", &up);
    let mut connection = ng.connect();
    for body in ["one", "three"] {
        let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.send(head + body).response().status(200).body(format!("{body}!"));
    }
}
