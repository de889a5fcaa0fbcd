//! Request bodies of every size, kind and way through nginx: the upstream gets exactly what the chain left of them.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    bodies_of_every_size_arrive_as_the_chain_left_them,
    bodies_of_64_mib_arrive_as_the_chain_left_them,
];

/// How nginx keeps the body, and whether it passes it on before the end.
const WAYS: [(&str, &str); 4] = [
    ("memory", "client_body_buffer_size 2m;"),
    ("spooled", "client_body_buffer_size 1k;"),
    ("stream", "proxy_request_buffering off; proxy_http_version 1.1;"),
    ("old", "proxy_request_buffering off; proxy_http_version 1.0;"),
];

/// What a filter does, part by part or with the whole, and what comes of it.
type Edit = (&'static str, &'static str, fn(&str) -> String);

const EDITS: [Edit; 8] = [
    ("seen", "body request 0 4", str::to_owned),
    ("held", "collect", str::to_owned),
    ("replaced", "collect; at_end write request 0 0xffffffff new", |_| "new".to_owned()),
    ("appended", "at_end write request 0xffffffff 0 end", |body| format!("{body}end")),
    ("prepended", "collect; at_end write request 0 0 head", |body| format!("head{body}")),
    ("spliced", "collect; at_end write request 3 2 <splice>", |body| {
        let (head, rest) = body.split_at(body.len().min(3));
        format!("{head}<splice>{}", rest.get(2..).unwrap_or_default())
    }),
    ("emptied", "write request 0 0xffffffff ", |_| String::new()),
    ("answered", "collect; at_end body request 0 4; at_end continue 0; at_end pause", str::to_owned),
];

fn body(size: usize) -> String {
    "0123456789abcdef\n".repeat(size / 17 + 1)[..size].to_owned()
}

/// Sends a body both ways, and looks at what arrived. Filters are shown the end once, if there is a body at all.
fn sends(ng: &Running, up: &Upstream, way: &str, edit: Edit, body: &str, chunked: bool) {
    let (name, _, expected) = edit;
    let what = format!("{} bytes, {name}, {way}, chunked {chunked}", body.len());
    let log = ng.log().from_here();
    let request = ng.request("POST", &format!("/{way}/{name}"));
    let request = if chunked { request.chunked(body.as_bytes().chunks(50_000)) } else { request.body(body) };
    assert_eq!(request.send().code(), Some(200), "{what}");
    let seen = chunked || !body.is_empty();
    let expected = if seen { expected(body) } else { String::new() };
    up.saw(|req| {
        assert!(req.bytes() == expected.as_bytes(), "{what}: {} bytes arrived", req.bytes().len());
        let (length, coding) = (req.values("content-length"), req.values("transfer-encoding"));
        if coding.is_empty() && (seen || !length.is_empty()) {
            assert_eq!(length, [expected.len().to_string()], "{what}");
        } else if !coding.is_empty() {
            assert!(way == "stream" && length.is_empty(), "{what}: {length:?} {coding:?}");
        }
    });
    log.has_times(usize::from(seen), "the end");
}

fn nginx(engine: Engine, up: &Upstream, edits: &[Edit]) -> Running {
    let mut nginx = Nginx::new(engine).http("client_max_body_size 0;");
    for (way, lines) in WAYS {
        for (name, script, _) in edits {
            let script = format!("request_body: at_end say the end; {script}");
            nginx = nginx.script(&format!("/{way}/{name}"), &script, (lines, up.pass()));
        }
    }
    nginx.start()
}

fn bodies_of_every_size_arrive_as_the_chain_left_them(engine: Engine) {
    let up = Upstream::new();
    let ng = nginx(engine, &up, &EDITS);
    for size in [0, 1, 8191, 8192, 8193, 1 << 20] {
        let body = body(size);
        for edit in EDITS {
            for (way, _) in WAYS {
                sends(&ng, &up, way, edit, &body, false);
                sends(&ng, &up, way, edit, &body, true);
            }
        }
    }
}

fn bodies_of_64_mib_arrive_as_the_chain_left_them(engine: Engine) {
    let up = Upstream::new();
    let edits: Vec<Edit> = EDITS.into_iter().filter(|(name, ..)| matches!(*name, "appended" | "prepended")).collect();
    let ng = nginx(engine, &up, &edits);
    let body = body(64 << 20);
    sends(&ng, &up, "spooled", edits[0], &body, false);
    sends(&ng, &up, "stream", edits[1], &body, true);
}
