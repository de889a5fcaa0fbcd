//! What nginx does with responses beside their bodies goes on as ever behind a filter that only looks at them.

use std::io::{Read, Write};
use std::net::TcpListener;

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    a_part_of_a_file_that_was_only_looked_at,
    a_file_that_was_not_modified,
    a_changed_file_is_another_one,
    the_header_of_a_file,
    a_page_made_of_others,
    every_part_of_a_page_is_changed_by_its_own_filter,
    a_response_that_ends_with_its_header,
    a_protocol_that_was_switched,
    a_body_that_nginx_expands,
    a_body_that_nginx_rewrites,
];

const LOOK: &str = "response_body: body response 0 4; say piece {size} {end}";
const APPEND: &str = "response_body: at_end write response 0xffffffff 0 !";

fn a_part_of_a_file_that_was_only_looked_at(engine: Engine) {
    let ng = Nginx::new(engine).file("html/file", "0123456789").script("/", LOOK, "root html;").start();
    let response = ng.request("GET", "/file").header("range", "bytes=2-4").send();
    response.status(206).header("content-range", "bytes 2-4/10").header("content-length", "3").body("234");
    // The filter has seen the whole.
    ng.log().has("piece 10 true");
}

fn a_file_that_was_not_modified(engine: Engine) {
    let ng = Nginx::new(engine).file("html/file", "hello").script("/", LOOK, "root html;").start();
    let mut connection = ng.connect();
    let first = connection.get("/file").response();
    first.status(200).body("hello");
    for (name, value) in [("If-Modified-Since", "last-modified"), ("If-None-Match", "etag")] {
        let value = first.value(value).expect("what to ask for");
        connection.send(format!("GET /file HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n\r\n"));
        connection.response().status(304);
    }
    connection.get("/file").response().status(200).body("hello");
}

fn a_changed_file_is_another_one(engine: Engine) {
    let ng = Nginx::new(engine).file("html/file", "hello").script("/", APPEND, "root html;").start();
    ng.get("/file").status(200).no_header("accept-ranges").header("content-length", "6").body("hello!");
}

fn the_header_of_a_file(engine: Engine) {
    let ng = Nginx::new(engine).file("html/file", "hello").script("/", APPEND, "root html;").start();
    let mut connection = ng.connect();
    connection.send("HEAD /file HTTP/1.1\r\nHost: localhost\r\n\r\nGET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = connection.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    connection.response().status(200).body("hello!");
}

fn a_page_made_of_others(engine: Engine) {
    let up = Upstream::new().respond(|req| Reply::ok(format!("[{}]", req.target())));
    let page = r#"<a><!--# include virtual="/up/1" --><b><!--# include virtual="/own" --><c>"#;
    let ng = Nginx::new(engine)
        .file("html/page.html", page)
        .script("/page.html", LOOK, "root html; ssi on;")
        .script("/up", LOOK, up.pass())
        .location("/own", "return 200 own;")
        .start();
    ng.get("/page.html").status(200).body("<a>[/up/1]<b>own<c>");
    ng.log().has(&format!("piece {} true", page.len())).has_times(2, " true while");
}

fn a_response_that_ends_with_its_header(engine: Engine) {
    let up = Upstream::new();
    let script = "response_headers: say header {end}; response_body: say piece {size} {end}";
    let ng = Nginx::new(engine).script("/", script, up.pass()).script("/none", script, "return 204;").start();
    ng.get("/").status(200).header("content-length", "0").body("");
    ng.get("/none").status(204);
    let mut connection = ng.connect();
    connection.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").until("\r\n\r\n");
    connection.get("/none").response().status(204);
    ng.log().has_times(4, "header true").lacks("piece");
}

fn every_part_of_a_page_is_changed_by_its_own_filter(engine: Engine) {
    let up = Upstream::new().respond(|req| Reply::ok(format!("[{}]", req.target())));
    let page = r#"<a><!--# include virtual="/up/1" --><b><!--# include virtual="/up/2" --><c>"#;
    let collect = "response_body: collect; at_end write response 0 0 ?";
    let ng = Nginx::new(engine)
        .file("html/page.html", page)
        .script("/page.html", APPEND, "root html; ssi on;")
        .script("/up", collect, ("proxy_buffering off;", up.pass()))
        .start();
    // The page itself is changed before its includes are looked for.
    ng.get("/page.html").status(200).body("<a>?[/up/1]<b>?[/up/2]<c>!");
}

fn a_protocol_that_was_switched(engine: Engine) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("nginx");
        let (mut room, mut seen) = ([0; 256], Vec::new());
        while !seen.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut room).expect("the header");
            seen.extend_from_slice(&room[..count]);
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n";
        stream.write_all(answer).expect("an answer");
        while let Ok(count @ 1..) = stream.read(&mut room) {
            stream.write_all(&room[..count].to_ascii_uppercase()).expect("an echo");
        }
    });
    let script = "request_body: say request body; write request 0 0 x; response_headers: get response :status
                  response_body: say response body; write response 0 0 x";
    let lines = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let pass = format!("proxy_request_buffering off; proxy_pass http://{address};");
    let ng = Nginx::new(engine).script("/", script, (lines, pass)).start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    connection.until("101 Switching");
    connection.until("\r\n\r\nwelcome\n");
    for text in ["one\n", "two\n", "three\n"] {
        assert_eq!(connection.send(text).until("\n"), text.to_ascii_uppercase());
    }
    connection.finish();
    connection.rest();
    drop(connection);
    server.join().expect("the server");
    ng.log().has(r#"get response :status -> 0 "101""#).lacks("request body").lacks("response body");
}

fn a_body_that_nginx_expands(engine: Engine) {
    // `hello`, as gzip wrote it.
    let zipped = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00";
    let up = Upstream::new().respond(move |_| Reply::ok(zipped).header("content-encoding", "gzip"));
    let ng = Nginx::new(engine).script("/", LOOK, ("gunzip on;", up.pass())).start();
    ng.get("/").status(200).no_header("content-encoding").body("hello");
    ng.log().has(&format!("piece {} true", zipped.len()));
}

fn a_body_that_nginx_rewrites(engine: Engine) {
    let lines = "sub_filter world there; sub_filter_types *; return 200 'hello world';";
    let ng = Nginx::new(engine).script("/", APPEND, lines).start();
    ng.get("/").status(200).body("hello there!");
}
