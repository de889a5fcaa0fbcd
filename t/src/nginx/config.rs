//! The text of an nginx.conf.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;

/// One or more lines of configuration: a text, or several in a tuple.
pub trait Lines {
    /// Adds them to a block.
    fn add_to(self, block: &mut Vec<String>);
}

impl Lines for &str {
    fn add_to(self, block: &mut Vec<String>) {
        block.extend(self.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
    }
}

impl Lines for String {
    fn add_to(self, block: &mut Vec<String>) {
        self.as_str().add_to(block);
    }
}

impl<A: Lines, B: Lines> Lines for (A, B) {
    fn add_to(self, block: &mut Vec<String>) {
        self.0.add_to(block);
        self.1.add_to(block);
    }
}

impl<A: Lines, B: Lines, C: Lines> Lines for (A, B, C) {
    fn add_to(self, block: &mut Vec<String>) {
        (self.0, self.1).add_to(block);
        self.2.add_to(block);
    }
}

/// What an nginx.conf is made of.
#[derive(Debug)]
pub(super) struct Config {
    pub module: Option<PathBuf>,
    pub workers: usize,
    /// The most connections of a worker.
    pub connections: usize,
    pub master: bool,
    pub log_level: String,
    pub main: Vec<String>,
    /// The lines of `wasm {}`; `None` when there is no such block.
    pub wasm: Option<Vec<String>>,
    pub http: Vec<String>,
    pub server: Vec<String>,
    pub locations: Vec<(String, Vec<String>)>,
    pub listeners: Vec<(SocketAddr, String)>,
    pub http_first: bool,
}

impl Config {
    pub fn new() -> Self {
        Self {
            module: None,
            workers: 1,
            connections: 512,
            master: true,
            log_level: "info".to_owned(),
            main: Vec::new(),
            wasm: None,
            http: Vec::new(),
            server: Vec::new(),
            locations: Vec::new(),
            listeners: Vec::new(),
            http_first: false,
        }
    }

    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(module) = &self.module {
            writeln!(f, "load_module {};", module.display())?;
        }
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            writeln!(f, "user root;")?;
        }
        writeln!(f, "daemon off;")?;
        writeln!(f, "master_process {};", if self.master { "on" } else { "off" })?;
        writeln!(f, "worker_processes {};", self.workers)?;
        writeln!(f, "error_log logs/error.log {};", self.log_level)?;
        writeln!(f, "pid logs/nginx.pid;")?;
        writeln!(f, "lock_file logs/nginx.lock;")?;
        for line in &self.main {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "events {{\n    worker_connections {};\n}}", self.connections)
    }

    fn wasm(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(lines) = &self.wasm else { return Ok(()) };
        writeln!(f, "wasm {{")?;
        block(f, 1, lines)?;
        writeln!(f, "}}")
    }

    fn http(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "http {{")?;
        for (directive, folder) in [
            ("client_body_temp_path", "body"),
            ("proxy_temp_path", "proxy"),
            ("fastcgi_temp_path", "fastcgi"),
            ("uwsgi_temp_path", "uwsgi"),
            ("scgi_temp_path", "scgi"),
        ] {
            writeln!(f, "    {directive} tmp/{folder};")?;
        }
        if !self.http.iter().any(|line| line.starts_with("access_log")) {
            writeln!(f, "    access_log off;")?;
        }
        block(f, 1, &self.http)?;
        writeln!(f, "    server {{")?;
        for (address, parameters) in &self.listeners {
            let space = if parameters.is_empty() { "" } else { " " };
            writeln!(f, "        listen {address}{space}{parameters};")?;
        }
        block(f, 2, &self.server)?;
        for (path, lines) in &self.locations {
            writeln!(f, "        location {path} {{")?;
            block(f, 3, lines)?;
            writeln!(f, "        }}")?;
        }
        writeln!(f, "    }}\n}}")
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        if self.http_first {
            self.http(f)?;
            self.wasm(f)
        } else {
            self.wasm(f)?;
            self.http(f)
        }
    }
}

fn block(f: &mut Formatter<'_>, depth: usize, lines: &[String]) -> fmt::Result {
    lines.iter().try_for_each(|line| writeln!(f, "{:1$}{line}", "", depth * 4))
}
