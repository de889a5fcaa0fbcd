//! The suite's HTTP call: a filter asks another server whether a request may pass.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use wasmx_t::{Engine, Nginx, Reply, Sdk, Upstream};

use crate::heard::exchange;

wasmx_t::on_every_sdk![a_filter_asks_another_server];

fn filter(sdk: Sdk) -> Result<PathBuf, String> {
    sdk.suite()
}

fn a_filter_asks_another_server(engine: Engine, filter: &Path) {
    let up = Upstream::new().ok("served");
    let yes = Upstream::new().respond(|_| Reply::ok("by me").header("X-More", "1"));
    let no = Upstream::new().respond(|_| Reply::ok("not you").status(401));
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let call = |to: &str| (format!("proxy_wasm suite 'call {to}';"), up.pass());
    let ng = Nginx::new(engine)
        .wasm("suite", filter)
        .location("/yes", call(&yes.address().to_string()))
        .location("/no", call(&no.address().to_string()))
        .location("/nobody", call(&nobody.to_string()))
        .location("/nowhere", call(""))
        .start();

    let passed = "200\ncontent-length: 6\n\nserved\n\ninfo: answer: 4 headers, 5 bytes, 0 trailers, status 200\ninfo: logged GET 200";
    assert_eq!(exchange(&ng, ng.request("GET", "/yes")), passed);
    yes.saw(|request| {
        assert_eq!((request.method(), request.target()), ("POST", "/check?it=1"));
        request.header("host", "checker").header("x-from", "suite").body("may it pass?");
    });
    up.saw(|request| {
        request.header("x-checked", "by me");
    });

    let answer = |status: u16, body: &str, said: &str| {
        let length = body.len() + 1;
        format!(
            "{status}\ncontent-type: text/plain\ncontent-length: {length}\n\n{body}\n\n{said}\ninfo: logged GET {status}"
        )
    };
    let said = "info: answer: 3 headers, 7 bytes, 0 trailers, status 401";
    assert_eq!(exchange(&ng, ng.request("GET", "/no")), answer(403, "refused: 401 not you", said));
    let said = "info: answer: 0 headers, 0 bytes, 0 trailers, status ";
    assert_eq!(exchange(&ng, ng.request("GET", "/nobody")), answer(502, "no answer", said));
    assert_eq!(exchange(&ng, ng.request("GET", "/nowhere")), answer(500, "no call", "info: no call"));
    up.saw_times(1);
}
