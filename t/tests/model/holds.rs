//! Three filters, of which any hold in any of their callbacks.

use proptest::prelude::*;
use wasmx_t::{Engine, Nginx, Reply, Upstream};

use crate::bodies::{any_body, bytes, pieces};
use crate::check;

wasmx_t::on_every_engine![any_filters_hold_anywhere];

const FILTERS: usize = 3;
const CALLBACKS: [&str; 4] = ["request_headers", "request_body", "response_headers", "response_body"];

/// The header by which a request makes a filter hold in a callback.
fn switch(filter: usize, callback: usize) -> String {
    format!("x-hold-{filter}-{callback}")
}

/// A filter that adds its number to both bodies and both headers, and holds where it is told to.
fn filter(number: usize) -> String {
    let edits = [
        format!("add request x-seen {number}"),
        format!("at_end write request 0xffffffff 0 {number}"),
        format!("add response x-seen {number}"),
        format!("at_end write response 0xffffffff 0 {number}"),
    ];
    let callbacks = (0..CALLBACKS.len()).map(|callback| {
        let (name, switch, edit) = (CALLBACKS[callback], switch(number, callback), &edits[callback]);
        format!("{name}: {edit}; when {switch} pause; ")
    });
    let script: String = callbacks.collect();
    format!("proxy_wasm script 'configure: tick 1; {script} tick: each continue 0; each continue 1';")
}

fn any_filters_hold_anywhere(engine: Engine) {
    let up = Upstream::new().respond(|seen| {
        let lengths: Vec<usize> = seen.values("x-pieces")[0].split(' ').filter_map(|text| text.parse().ok()).collect();
        Reply::chunks(pieces(seen.bytes(), &lengths))
    });
    let filters: String = (0..FILTERS).map(filter).collect();
    let lines = (filters, "proxy_http_version 1.1;", up.pass());
    let ng = Nginx::new(engine).wasm("script", wasmx_t::guest("script")).location("/", lines).start();
    let holds = any::<[[bool; CALLBACKS.len()]; FILTERS]>();
    check(&(any_body(), holds), |((size, lengths), holds)| {
        let lengths: Vec<_> = lengths.iter().map(usize::to_string).collect();
        let mut request = ng.request("POST", "/").body(bytes(size)).header("x-pieces", &lengths.join(" "));
        for (number, holds) in holds.iter().enumerate() {
            for callback in (0..CALLBACKS.len()).filter(|callback| holds[*callback]) {
                request = request.header(&switch(number, callback), "1");
            }
        }
        let log = ng.log().from_here();
        let response = request.send();
        response.status(200).headers("x-seen", &["0", "1", "2"]).body([&bytes(size)[..], b"012012"].concat());
        up.saw(|seen| {
            seen.body([&bytes(size)[..], b"012"].concat());
            assert_eq!(seen.values("x-seen"), ["0", "1", "2"]);
        });
        log.lacks("[error]");
        Ok(())
    });
}
