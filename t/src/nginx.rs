//! An nginx to be: its configuration and its folder.

mod conf_test;
mod config;
mod process;
mod running;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

pub use conf_test::ConfTest;
pub use config::Lines;
pub use process::many_descriptors;
pub use running::Running;

use crate::engine::Engine;
use crate::guests::guest;
use crate::paths::{Flavour, target};
use config::Config;

/// Puts together an nginx.conf. What a test does not say has a value that suits tests.
#[must_use = "nothing happens before start() or conf_test()"]
#[derive(Debug)]
pub struct Nginx {
    config: Config,
    /// The prefix: configuration, logs, documents, all of one test.
    dir: TempDir,
    listeners: Vec<TcpListener>,
    env: Vec<(String, String)>,
    /// A program that runs nginx, with its arguments.
    under: Vec<String>,
    allowed: Vec<String>,
    /// The listener that speaks HTTP/2.
    http2: Option<usize>,
}

impl Nginx {
    /// With the module loaded, and `wasm { engine NAME; }`.
    ///
    /// # Panics
    /// When its folder cannot be made.
    pub fn new(engine: Engine) -> Self {
        let mut nginx = Self::plain();
        nginx.config.module = Some(crate::paths::module());
        nginx.wasm_directive(format!("engine {engine};"))
    }

    /// Without the module.
    ///
    /// # Panics
    /// When its folder cannot be made.
    pub fn plain() -> Self {
        let parent = target().join("t");
        std::fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
        let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
        remove_old(&parent, &name);
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(&parent);
        let dir = dir.unwrap_or_else(|error| panic!("a folder in {}: {error}", parent.display()));
        open_to_workers(dir.path());
        for folder in ["logs", "html", "tmp"] {
            let _ = std::fs::create_dir(dir.path().join(folder));
        }
        let nginx = Self {
            config: Config::new(),
            dir,
            listeners: Vec::new(),
            env: Vec::new(),
            under: Vec::new(),
            allowed: Vec::new(),
            http2: None,
        };
        nginx.listener("")
    }

    /// A module for `wasm {}`: its name and its file.
    pub fn wasm(self, name: &str, file: impl AsRef<Path>) -> Self {
        let line = format!("module {name} {};", file.as_ref().display());
        self.wasm_directive(line)
    }

    /// A module with its configuration, which goes to `on_vm_start`, and options.
    pub fn wasm_with(self, name: &str, file: impl AsRef<Path>, arguments: &str) -> Self {
        let line = format!("module {name} {} {arguments};", file.as_ref().display());
        self.wasm_directive(line)
    }

    /// A module in text form, given here; `filter()` makes one of little text.
    pub fn wat(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let file = format!("{name}.wat");
        let path = self.prefix().join(&file);
        self.file(&file, text).wasm(name, path)
    }

    /// A directive for `wasm {}`.
    pub fn wasm_directive(mut self, lines: impl Lines) -> Self {
        lines.add_to(self.config.wasm.get_or_insert_default());
        self
    }

    /// No `wasm {}` at all, though the module is loaded.
    pub fn no_wasm_block(mut self) -> Self {
        self.config.wasm = None;
        self
    }

    /// Directives outside of all blocks.
    pub fn main(mut self, lines: impl Lines) -> Self {
        lines.add_to(&mut self.config.main);
        self
    }

    /// Directives for `http {}`.
    pub fn http(mut self, lines: impl Lines) -> Self {
        lines.add_to(&mut self.config.http);
        self
    }

    /// Directives for `server {}`.
    pub fn server(mut self, lines: impl Lines) -> Self {
        lines.add_to(&mut self.config.server);
        self
    }

    /// A location with its directives.
    pub fn location(mut self, path: &str, lines: impl Lines) -> Self {
        let mut body = Vec::new();
        lines.add_to(&mut body);
        self.config.locations.push((path.to_owned(), body));
        self
    }

    /// A location with the guest `script` as its filter, told what to do (see `t/guests/script/src/lib.rs`), and more
    /// directives.
    pub fn script(self, path: &str, statements: &str, lines: impl Lines) -> Self {
        let known = self.config.wasm.iter().flatten().any(|line| line.starts_with("module script "));
        let nginx = if known { self } else { self.wasm("script", guest("script")) };
        nginx.location(path, (format!("proxy_wasm script '{statements}';"), lines))
    }

    /// `http {}` before `wasm {}`.
    pub fn http_first(mut self) -> Self {
        self.config.http_first = true;
        self
    }

    /// One more `listen` of the server, with parameters as `ssl` or `http2`. The first is 0 and has none.
    ///
    /// # Panics
    /// When there is no port left.
    pub fn listener(mut self, parameters: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind nginx to 127.0.0.1:0");
        // nginx makes its own listeners so and leaves inherited ones as they are: of two workers that wake for one
        // connection, the second would wait in accept() for ever.
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the address of a bound listener");
        self.listeners.push(listener);
        self.config.listeners.push((address, parameters.to_owned()));
        self
    }

    /// Where a listener will listen, for directives that name it.
    pub fn address_of(&self, listener: usize) -> SocketAddr {
        self.config.listeners[listener].0
    }

    /// Makes it speak HTTP/2 in the clear ([`Running::http2`]); HTTP/1 as well.
    pub fn http2(mut self) -> Self {
        // 1.25.1 made it a directive, and told of the parameter at warn from then on.
        if Flavour::current() == Flavour::Debian {
            self.http2 = Some(self.listeners.len());
            return self.listener("http2");
        }
        self.http2 = Some(0);
        self.server("http2 on;")
    }

    /// The number of workers; 1 unless it is said.
    pub fn workers(mut self, count: usize) -> Self {
        self.config.workers = count;
        self
    }

    /// The most connections that a worker may have; 512 unless it is said.
    pub fn connections(mut self, count: usize) -> Self {
        self.config.connections = count;
        self
    }

    /// `master_process off`: one process that is master and worker.
    pub fn single_process(mut self) -> Self {
        self.config.master = false;
        self
    }

    /// Whether the nginx under test crashes by itself with [`Nginx::single_process`]; says that `test` is skipped then.
    ///
    /// 1.22.1 does, without any module; 1.28 does not.
    pub fn lacks_single_process(test: &str) -> bool {
        let lacks = Flavour::current() == Flavour::Debian;
        if lacks {
            crate::engine::skipped(test, "this nginx crashes with listeners it adopted and no master");
        }
        lacks
    }

    /// Whether the nginx under test drops the trailers of HTTP/1 upstreams; says that `test` is skipped then.
    ///
    /// `proxy_pass_trailers` came with 1.27.2.
    pub fn lacks_proxied_trailers(test: &str) -> bool {
        let lacks = Flavour::current() == Flavour::Debian;
        if lacks {
            crate::engine::skipped(test, "this nginx has no proxy_pass_trailers");
        }
        lacks
    }

    /// The level of the error log; `info` unless it is said.
    pub fn log_level(mut self, level: &str) -> Self {
        level.clone_into(&mut self.config.log_level);
        self
    }

    /// A variable of nginx's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs nginx under another program, as `valgrind` is one.
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// A file in the prefix.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        write(&self.dir.path().join(path), bytes.as_ref());
        self
    }

    /// The folder of this nginx: `-p`.
    pub fn prefix(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Log lines with this text are no failure, whatever their level.
    pub fn allow(mut self, text: &str) -> Self {
        self.allowed.push(text.to_owned());
        self
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start(self) -> Running {
        Running::start(self)
    }

    /// Runs `nginx -t`.
    #[track_caller]
    pub fn conf_test(self) -> ConfTest {
        ConfTest::run(&self)
    }

    fn allows(&self, line: &str) -> bool {
        self.allowed.iter().any(|text| line.contains(text.as_str()))
    }

    /// The configuration as text.
    pub fn text(&self) -> String {
        self.config.to_string()
    }
}

fn write(path: &Path, bytes: &[u8]) {
    if let Some(parent) = path.parent() {
        let _ = std::fs::create_dir_all(parent);
    }
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Workers may run as another user.
fn open_to_workers(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755));
}

/// Removes what failed runs of this test left, unless they may still be looked at.
fn remove_old(parent: &Path, name: &str) {
    let Ok(folders) = std::fs::read_dir(parent) else { return };
    for folder in folders.flatten() {
        let age = folder.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        let old = age.is_some_and(|age| age > Duration::from_secs(600));
        if old && folder.file_name().to_string_lossy().starts_with(&format!("{name}-")) {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}
