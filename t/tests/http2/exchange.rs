//! A request and its response over HTTP/2.

use wasmx_t::{Engine, Nginx, Reply, Running, Upstream};

wasmx_t::on_every_engine![
    callbacks_come_in_order,
    pseudo_headers_are_readable,
    pseudo_headers_reach_the_upstream,
    the_host_is_the_authority,
    headers_are_changed_both_ways,
    large_bodies_pass_both_ways,
    bodies_are_changed_both_ways,
    a_response_is_held,
    a_slow_client_gets_a_large_held_body,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).http2().script("/", script, ("client_max_body_size 0;", up.pass())).start()
}

fn callbacks_come_in_order(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let ng = with(engine, "trace", &up);
    ng.http2().post("/", "body").response().status(200).body("hello");
    ng.log().wait("on delete #");
    let callbacks =
        ["create", "request_headers", "request_body", "response_headers", "response_body", "done", "log", "delete"];
    let lines = callbacks.map(|callback| format!("on {callback} #"));
    ng.log().in_order(&lines.each_ref().map(String::as_str));
    lines.iter().for_each(|line| _ = ng.log().has_times(1, line));
    let log = ng.log().from_here();
    ng.http2().get("/").response().status(200);
    log.wait("on delete #");
    assert!(log.wait("on request_headers #").contains("end=true"), "no body follows");
    log.lacks("on request_body #");
}

fn pseudo_headers_are_readable(engine: Engine) {
    let script = "request_headers: get request :method; get request :path; get request :authority; \
                  get request :scheme; get request host; headers request; pairs request; \
                  response_headers: get response :status";
    let ng = Nginx::new(engine).http2().script("/", script, "return 201;").start();
    let connection = ng.http2();
    connection.request("POST", "/a?b=c").authority("example.org:81").send().response().status(201);
    ng.log().has(r#"get request :method -> 0 "POST""#).has(r#"get request :path -> 0 "/a?b=c""#);
    ng.log().has(r#"get request :authority -> 0 "example.org:81""#).has(r#"get request :scheme -> 0 "http""#);
    ng.log().has(r#"get response :status -> 0 "201""#);
    let pairs = ":method=POST, :path=/a?b=c, :authority=example.org:81, :scheme=http";
    ng.log().has(&format!("pairs request -> 0 \"{pairs}"));
}

fn pseudo_headers_reach_the_upstream(engine: Engine) {
    let up = Upstream::new().ok("");
    let script = "request_headers: replace request :method PUT; replace request :path /new?x=1; \
                  replace request :authority other.example; response_headers: replace response :status 202";
    let lines = ("proxy_set_header Host $host;", up.pass());
    let ng = Nginx::new(engine).http2().script("/", script, lines).start();
    ng.http2().get("/old").response().status(202);
    up.saw(|seen| {
        assert_eq!((seen.method(), seen.target()), ("PUT", "/new?x=1"));
        seen.header("host", "other.example");
    });
}

fn the_host_is_the_authority(engine: Engine) {
    let up = Upstream::new().ok("");
    let script = "request_headers: replace request host third.example; get request :authority";
    let lines = ("proxy_set_header Host $host;", up.pass());
    let ng = Nginx::new(engine).http2().script("/", script, lines).start();
    ng.http2().get("/").response().status(200);
    ng.log().has(r#"get request :authority -> 0 "third.example""#);
    up.saw(|seen| {
        seen.header("host", "third.example");
    });
}

fn headers_are_changed_both_ways(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("hello").header("X-Up", "1"));
    let script = "request_headers: add request X-New a; remove request x-old; \
                  response_headers: add response X-New b; add response Set-Cookie 1; add response Set-Cookie 2; \
                  add response connection close; get response x-up";
    let ng = with(engine, script, &up);
    let connection = ng.http2();
    for _ in 0..2 {
        let response = connection.request("GET", "/").header("x-old", "1").send().response();
        // A connection header of HTTP/1 would make the client refuse the response.
        response.status(200).header("x-new", "b").headers("set-cookie", &["1", "2"]).no_header("connection");
    }
    up.saw(|seen| {
        seen.header("x-new", "a").no_header("x-old");
    });
    ng.log().has(r#"get response x-up -> 0 "1""#);
}

fn text(lines: u32) -> String {
    (0..lines).map(|number| format!("{number:07}\n")).collect()
}

fn large_bodies_pass_both_ways(engine: Engine) {
    let (question, answer) = (text(100_000), text(200_000));
    let up = Upstream::new().ok(&answer);
    let ng = with(engine, "request_body: buffer_size request; response_body: buffer_size response", &up);
    let connection = ng.http2();
    connection.post("/", &question).response().status(200).body(&answer);
    up.saw(|seen| {
        seen.body(&question).header("content-length", "800000");
    });
    let mut stream = connection.request("POST", "/").begin();
    for piece in question.as_bytes().chunks(1000) {
        stream.send(piece);
    }
    stream.finish();
    stream.response().body(&answer);
    up.saw(|seen| _ = seen.body(&question));
}

fn bodies_are_changed_both_ways(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "request_body: write request 0 0 new%20; \
                  response_body: at_end write response 1000 0 , world";
    let ng = with(engine, script, &up);
    ng.http2().post("/", "body").response().status(200).header("content-length", "12").body("hello, world");
    up.saw(|seen| {
        seen.body("new body").header("content-length", "8");
    });
}

fn a_response_is_held(engine: Engine) {
    let up = Upstream::new().ok("late");
    for callback in ["request_headers", "response_headers", "response_body"] {
        let part = if callback == "request_headers" { 0 } else { 1 };
        let script = format!("configure: tick 10; {callback}: say held; pause; tick: each continue {part}");
        let ng = with(engine, &script, &up);
        ng.http2().get("/").response().status(200).body("late");
        ng.log().in_order(&["held", &format!("continue {part} -> 0")]);
    }
}

fn a_slow_client_gets_a_large_held_body(engine: Engine) {
    let answer = text(200_000);
    let up = Upstream::new().ok(&answer);
    let script = "configure: tick 10; response_headers: pause; tick: each continue 1";
    let ng = with(engine, script, &up);
    let connection = ng.http2();
    let mut stream = connection.get("/");
    stream.until("0000001");
    stream.response().status(200).body(&answer);
}
