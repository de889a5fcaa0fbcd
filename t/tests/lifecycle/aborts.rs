//! A client that leaves in the middle: every context has one end, nothing is left, and nobody calls it an error.

use wasmx_t::{Connection, Engine, Nginx, Reply, Running, Upstream};

wasmx_t::on_every_engine![
    before_its_headers_are_there,
    before_its_body_is_there,
    while_its_body_comes_unbuffered,
    while_the_upstream_thinks,
    while_a_filter_holds,
    in_the_middle_of_the_response,
    in_the_middle_of_the_second_request,
    while_an_end_is_refused,
    many_at_once,
];

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Reset,
    Close,
}

const BOTH: [Leave; 2] = [Leave::Reset, Leave::Close];

impl Leave {
    fn go(self, connection: Connection) {
        match self {
            Self::Reset => connection.reset(),
            Self::Close => drop(connection),
        }
    }
}

/// All contexts of the requests so far, `count` of them, had exactly one end each.
fn ended(ng: &Running, count: usize) {
    let log = ng.log();
    log.wait_for(count, "on delete #");
    for callback in ["create", "done", "log", "delete"] {
        log.has_times(count, &format!("on {callback} #"));
    }
    ng.get("/balance").body(format!("created={} deleted={count} living=1", count + 1));
    log.lacks("[error]").lacks("trap");
}

fn with(engine: Engine, script: &str, lines: &str) -> Running {
    Nginx::new(engine)
        .script("/", &format!("trace; {script}"), lines)
        .location("= /balance", "proxy_wasm script 'request_headers: balance; reply 200 {it}';")
        .start()
}

fn before_its_headers_are_there(engine: Engine) {
    for leave in BOTH {
        let ng = with(engine, "", "return 200;");
        let mut connection = ng.connect();
        connection.send("GET / HTTP/1.1\r\nHost: local");
        leave.go(connection);
        ng.log().wait("while reading client request");
        ended(&ng, 0);
    }
}

fn before_its_body_is_there(engine: Engine) {
    for leave in BOTH {
        let up = Upstream::new();
        let ng = with(engine, "request_body: say early", &up.pass());
        let mut connection = ng.request("POST", "/").header("Content-Length", "100").begin();
        connection.send("a part of it");
        ng.log().wait("on request_headers #");
        leave.go(connection);
        ended(&ng, 1);
        ng.log().lacks("on request_body");
        up.saw_nothing();
    }
}

fn while_its_body_comes_unbuffered(engine: Engine) {
    for leave in BOTH {
        let up = Upstream::new();
        let lines = format!("proxy_request_buffering off; proxy_http_version 1.1; {}", up.pass());
        let ng = with(engine, "", &lines);
        let mut connection = ng.request("POST", "/").header("Content-Length", "100").begin();
        connection.send("a part of it");
        ng.log().wait("on request_headers #");
        leave.go(connection);
        ended(&ng, 1);
    }
}

fn while_the_upstream_thinks(engine: Engine) {
    for leave in BOTH {
        let up = Upstream::new();
        let tap = up.tap();
        let ng = with(engine, "", &up.pass());
        let connection = ng.request("GET", "/").begin();
        up.saw(|_| {});
        leave.go(connection);
        ended(&ng, 1);
        drop(tap);
    }
}

fn while_a_filter_holds(engine: Engine) {
    for callback in ["request_headers", "request_body", "response_headers", "response_body"] {
        for leave in BOTH {
            let up = Upstream::new().ok("an answer");
            let ng = with(engine, &format!("{callback}: say held; pause"), &up.pass());
            let connection = ng.request("POST", "/").body("hello").begin();
            ng.log().wait("held");
            leave.go(connection);
            ended(&ng, 1);
            ng.log().has_times(1, "held");
        }
    }
}

fn in_the_middle_of_the_response(engine: Engine) {
    for leave in BOTH {
        let up = Upstream::new().respond(|_| Reply::ok(vec![b'x'; 16 << 20]));
        let ng = with(engine, "", &up.pass());
        let mut connection = ng.request("GET", "/").begin();
        connection.until("xxxxxxxx");
        leave.go(connection);
        ended(&ng, 1);
    }
}

fn in_the_middle_of_the_second_request(engine: Engine) {
    for leave in BOTH {
        let up = Upstream::new().ok("an answer");
        let ng = with(engine, "request_body: say early", &up.pass());
        let mut connection = ng.connect();
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        connection.response().status(200).body("an answer");
        ng.log().wait_for(2, "on request_headers #");
        leave.go(connection);
        ended(&ng, 2);
    }
}

fn while_an_end_is_refused(engine: Engine) {
    for leave in BOTH {
        let ng =
            with(engine, "configure: tick 50; request_headers: pause; done: refuse; tick: each finish", "return 200;");
        let connection = ng.request("GET", "/").begin();
        ng.log().wait("on request_headers #");
        leave.go(connection);
        ended(&ng, 1);
        ng.log().in_order(&["on done #", "finish -> 0", "on log #", "on delete #"]);
    }
}

fn many_at_once(engine: Engine) {
    const COUNT: usize = 30;
    let up = Upstream::new();
    let ng = with(engine, "request_headers: pause", &up.pass());
    let connections: Vec<_> = (0..COUNT).map(|_| ng.request("GET", "/").begin()).collect();
    ng.log().wait_for(COUNT, "on request_headers #");
    for (index, connection) in connections.into_iter().enumerate() {
        BOTH[index % 2].go(connection);
    }
    ended(&ng, COUNT);
    up.saw_nothing();
}
