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

/// Name, description, baseline, configuration of the filter, isolation.
const WORKS: [(&str, &str, usize, &str, &str); 6] = [
    ("empty", "empty filter", PLAIN, "empty", "none"),
    ("set-header", "one header set", PLAIN, "set-header", "none"),
    ("all-headers", "all request headers read", PLAIN, "all-headers", "none"),
    ("header-calls", "60 header calls", PLAIN, "header-calls", "none"),
    ("stream", "empty filter, isolation stream", PLAIN, "empty", "stream"),
    ("read-body", "64 KB response body read", PLAIN_64K, "read-body", "none"),
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
    ];
    for engine in engines {
        for (work, what, baseline, configuration, isolation) in WORKS {
            variants.push(Variant {
                name: format!("{engine}/{work}"),
                what,
                baseline,
                directives: format!(
                    "proxy_wasm bench_{engine} {configuration}; proxy_wasm_isolation {isolation}; {}",
                    variants[baseline].directives
                ),
            });
        }
    }
    variants
}

/// `worker` is the lines that say how many workers there are and where they run.
pub fn nginx_conf(options: &Options, port: u16, worker: &str, variants: &[Variant], profiled: bool) -> String {
    let mut conf = String::new();
    let mut line = |text: &str| writeln!(conf, "{text}").unwrap_or_default();
    let wasm = variants.iter().any(|variant| variant.name.contains('/'));
    if wasm {
        let module = options.top.join("target/modules/release/ngx_wasmx_module.so");
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
    line("http {\n    access_log off;\n    keepalive_requests 1000000000;\n    server {");
    line(&format!("        listen 127.0.0.1:{port} reuseport;"));
    line("        location = /pid { return 200 $pid; }");
    for variant in variants {
        line(&format!("        location = {} {{ {} }}", variant.path(), variant.directives));
    }
    line("    }\n}");
    conf
}

fn runs_as_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
