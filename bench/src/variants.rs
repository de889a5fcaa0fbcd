//! What is measured, and the nginx.conf for it.

use crate::Options;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;

/// One location of the measured nginx.
pub struct Variant {
    /// `plain`, `plain-64k`, or `ENGINE/WORK`.
    pub name: String,
    pub what: &'static str,
    /// The same without a filter: the index of the variant it is compared with.
    pub baseline: usize,
    directives: String,
}

impl Variant {
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

const PLAIN: usize = 0;
const PLAIN_64K: usize = 1;
const PROXY: usize = 2;

/// Name, description, baseline, configuration of the filter, isolation.
const WORKS: [(&str, &str, usize, &str, &str); 8] = [
    ("empty", "empty filter", PLAIN, "empty", "none"),
    ("set-header", "one header set", PLAIN, "set-header", "none"),
    ("all-headers", "all request headers read", PLAIN, "all-headers", "none"),
    ("header-calls", "60 header calls", PLAIN, "header-calls", "none"),
    ("stream", "empty filter, isolation stream", PLAIN, "empty", "stream"),
    ("read-body", "64 KB response body read", PLAIN_64K, "read-body", "none"),
    ("hash-body", "64 KB response body hashed", PLAIN_64K, "hash-body", "none"),
    ("call", "one call to another nginx", PROXY, "call", "none"),
];

pub fn all(engines: &[String]) -> Vec<Variant> {
    let plain = |name: &str, what, baseline, directives: &str| Variant {
        name: name.to_owned(),
        what,
        baseline,
        directives: directives.to_owned(),
    };
    let mut variants = vec![
        plain("plain", "return 200", PLAIN, "return 200 \"ok\\n\";"),
        plain("plain-64k", "a file of 64 KB", PLAIN_64K, "alias html/64k;"),
        plain("proxy", "proxy_pass to another nginx", PROXY, "proxy_pass http://peer/;"),
    ];
    for engine in engines {
        for (work, what, baseline, configuration, isolation) in WORKS {
            // A call is compared with what nginx itself does to reach the peer, and answered here.
            let content = if work == "call" { PLAIN } else { baseline };
            variants.push(Variant {
                name: format!("{engine}/{work}"),
                what,
                baseline,
                directives: format!(
                    "proxy_wasm bench_{engine} {configuration}; proxy_wasm_isolation {isolation}; {}",
                    variants[content].directives
                ),
            });
        }
    }
    variants
}

/// The other nginx, on the core of wrk: all that it does is to answer.
pub fn peer_conf(port: u16) -> String {
    let user = if runs_as_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;\npid nginx.pid;\nerror_log error.log warn;\nworker_processes 1;\nworker_cpu_affinity 10;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n    access_log off;\n    keepalive_requests 1000000000;\n\
         \x20   server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"ok\\n\"; }} }}\n}}\n"
    )
}

/// `worker` is the lines that say how many workers there are and where they run, `peer` the port of the other nginx.
pub fn nginx_conf(
    options: &Options,
    port: u16,
    peer: u16,
    worker: &str,
    variants: &[Variant],
    profiled: bool,
) -> String {
    let mut conf = String::new();
    let mut line = |text: &str| writeln!(conf, "{text}").unwrap_or_default();
    let wasm = variants.iter().any(|variant| variant.name.contains('/'));
    if wasm {
        let module = options.module();
        line(&format!("load_module {};", module.display()));
        line("wasm {");
        for engine in &options.engines {
            let guest = options.out().join("bench_guest.wasm");
            line(&format!("    module bench_{engine} {} engine={engine};", guest.display()));
        }
        if profiled && options.engines.iter().any(|engine| engine == "wasmtime") {
            line("    wasmtime { flag profiler perfmap; }");
        }
        line("}");
    }
    if runs_as_root() {
        // The measured file may lie where nobody else may go.
        line("user root;");
    }
    line("daemon off;\npid nginx.pid;\nerror_log error.log warn;");
    line(worker);
    line("events { worker_connections 1024; }");
    line("http {\n    access_log off;\n    keepalive_requests 1000000000;");
    line(&format!("    upstream peer {{ server 127.0.0.1:{peer}; keepalive 32; keepalive_requests 1000000000; }}"));
    line("    proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n    server {");
    line(&format!("        listen 127.0.0.1:{port} reuseport;"));
    line("        location = /pid { return 200 $pid; }");
    for variant in variants {
        line(&format!("        location = {} {{ {} }}", variant.path(), variant.directives));
    }
    line("    }\n}");
    conf
}

/// Then workers must be root's too: the files here may lie where nobody else may go.
pub fn runs_as_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
