//! All that can be observed of an exchange with a filter, as text that can be compared.

use wasmx_t::{Log, Request, Response, Running};

/// Sends a request, and gives the response and what the filter said of it.
#[track_caller]
pub fn exchange(ng: &Running, request: Request) -> String {
    let log = ng.log().from_here();
    let response = response(&request.send());
    log.wait("logged ");
    let mut said = said(&log);
    // The worker may have begun to serve with this request.
    said.retain(|line| !line.contains(": configured: "));
    format!("{response}\n{}", said.join("\n"))
}

/// A response, whole but for what is not the same in every run.
fn response(response: &Response) -> String {
    let mut text = format!("{}\n", response.code().unwrap_or_default());
    for (name, value) in response.all_headers() {
        let name = name.to_lowercase();
        if !["connection", "date", "server"].contains(&name.as_str()) {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text + "\n" + response.text().trim_end() + "\n"
}

/// What the filter said, a line for each: the level and the message.
pub fn said(log: &Log) -> Vec<String> {
    log.lines().iter().filter_map(|line| message(line)).collect()
}

/// `TIME [info] 7#7: *1 [proxy-wasm]["suite" #1] MESSAGE while DOING, client: …`
fn message(line: &str) -> Option<String> {
    let level = line.split_once(" [")?.1.split_once(']')?.0;
    let message = line.split_once("[proxy-wasm][\"suite\" #")?.1.split_once("] ")?.1;
    let message = message.split(", client: ").next()?.split(" while ").next()?;
    Some(format!("{level}: {message}"))
}
