//! Edits of bodies.

use proptest::collection::vec;
use proptest::prelude::*;
use wasmx_t::{Engine, Nginx, Reply, Upstream};

use crate::{check, gives};

wasmx_t::on_every_engine![edits_of_request_bodies, edits_of_response_bodies];

#[derive(Clone, Debug)]
enum Edit {
    Size,
    Read(u32, u32),
    Write(u32, u32, String),
}

/// Makes an edit as the specification has it, and gives the statement and what the script logs for it.
fn apply(body: &mut Vec<u8>, buffer: &str, edit: &Edit) -> (String, String) {
    let part = |start: u32, length: u32| {
        let start = (start as usize).min(body.len());
        start..start + (length as usize).min(body.len() - start)
    };
    match edit {
        Edit::Size => {
            let statement = format!("buffer_size {buffer}");
            let shown = gives(&statement, &format!("{} 0", body.len()));
            (statement, shown)
        }
        Edit::Read(start, length) => {
            let statement = format!("body {buffer} {start} {length}");
            let shown = gives(&statement, &String::from_utf8_lossy(&body[part(*start, *length)]));
            (statement, shown)
        }
        Edit::Write(start, length, text) => {
            body.splice(part(*start, *length), text.bytes());
            let statement = format!("write {buffer} {start} {length} {text}").trim_end().to_owned();
            (statement.clone(), format!("{statement} -> 0"))
        }
    }
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let place = || prop_oneof![3 => 0..20u32, 2 => 0..4000u32, 1 => Just(u32::MAX), 1 => Just(0)];
    // What is read is logged, and log lines end at 2 KB.
    let read = prop_oneof![3 => (place(), 0..200u32), 1 => (Just(u32::MAX), place())];
    prop_oneof![
        1 => Just(Edit::Size),
        2 => read.prop_map(|(start, length)| Edit::Read(start, length)),
        4 => (place(), place(), "[a-z]{0,30}").prop_map(|(start, length, text)| Edit::Write(start, length, text)),
    ]
}

/// A body of `size` bytes, and where it is cut into pieces.
pub fn any_body() -> impl Strategy<Value = (usize, Vec<usize>)> {
    (prop_oneof![1..30usize, 1..3000usize], vec(1..1000usize, 1..4))
}

pub fn bytes(size: usize) -> Vec<u8> {
    (b'0'..=b'9').chain(b'A'..=b'Z').cycle().take(size).collect()
}

/// The pieces of a body: cut to these lengths, again and again.
pub fn pieces(mut body: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, rest) = body.split_at((*length).min(body.len()));
        pieces.push(piece.to_vec());
        body = rest;
        if body.is_empty() {
            break;
        }
    }
    pieces
}

fn edits_of_request_bodies(engine: Engine) {
    let up = Upstream::new();
    // What is larger is in a file.
    let lines = ("client_body_buffer_size 1k;", up.pass());
    let ng = Nginx::new(engine).script("/", "request_body: run x-edits", lines).start();
    check(&(any_body(), any::<bool>(), vec(any_edit(), 0..8)), |((size, lengths), chunked, edits)| {
        let mut model = bytes(size);
        let request = ng.request("POST", "/");
        let request = if chunked { request.chunked(pieces(&model, &lengths)) } else { request.body(&model) };
        let (statements, lines): (Vec<_>, Vec<_>) = edits.iter().map(|edit| apply(&mut model, "request", edit)).unzip();
        let log = ng.log().from_here();
        request.header("x-edits", &statements.join(";")).send().status(200);
        log.in_order(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        up.saw(|seen| {
            seen.body(&model).header("content-length", &model.len().to_string());
        });
        Ok(())
    });
}

fn edits_of_response_bodies(engine: Engine) {
    let up = Upstream::new().respond(|seen| {
        let numbers: Vec<usize> =
            seen.values("x-body").first().unwrap_or(&"").split(' ').filter_map(|number| number.parse().ok()).collect();
        let body = bytes(numbers[1]);
        if numbers[0] == 1 { Reply::chunks(pieces(&body, &numbers[2..])) } else { Reply::ok(&body) }
    });
    let ng = Nginx::new(engine)
        .script("/", "response_body: collect; at_end run x-edits", ("proxy_http_version 1.1;", up.pass()))
        .start();
    check(&(any_body(), any::<bool>(), vec(any_edit(), 0..8)), |((size, lengths), chunked, edits)| {
        let mut model = bytes(size);
        let (statements, lines): (Vec<_>, Vec<_>) =
            edits.iter().map(|edit| apply(&mut model, "response", edit)).unzip();
        let log = ng.log().from_here();
        let wanted: Vec<_> = lengths.iter().map(usize::to_string).collect();
        let wanted = format!("{} {size} {}", u8::from(chunked), wanted.join(" "));
        let response = ng.request("GET", "/").header("x-body", &wanted).header("x-edits", &statements.join(";")).send();
        response.status(200).body(&model);
        log.in_order(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(())
    });
}
