//! An nginx that serves, and what must hold when it has ended.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use crate::client::{Connection, Exchanges, Request, Response};
use crate::http2::Http2;
use crate::log::Log;
use crate::nginx::{Nginx, process, write};
use crate::wait::{eventually, patience, within};

/// An nginx that serves. It is stopped and judged when this goes out of scope.
#[derive(Debug)]
pub struct Running {
    nginx: Nginx,
    child: RefCell<Child>,
    exchanges: Exchanges,
    allowed: RefCell<Vec<String>>,
    /// Workers that the test killed: they need not end with 0.
    killed: RefCell<Vec<u32>>,
    stopped: Cell<bool>,
}

impl Running {
    #[track_caller]
    pub(super) fn start(mut nginx: Nginx) -> Self {
        let prefix = nginx.prefix();
        write(&prefix.join("nginx.conf"), nginx.text().as_bytes());
        let mut command = process::command(&prefix, &nginx.listeners, &nginx.env, &nginx.under);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // From here on they are nginx's: if it ends, connecting fails at once.
        nginx.listeners.clear();
        let allowed = RefCell::new(std::mem::take(&mut nginx.allowed));
        let running = Self {
            nginx,
            child: RefCell::new(child),
            exchanges: Exchanges::default(),
            allowed,
            killed: RefCell::default(),
            stopped: Cell::new(false),
        };
        running.await_start();
        running
    }

    /// A GET, and its response.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target).send()
    }

    /// A POST with a body, and its response.
    #[track_caller]
    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Response {
        self.request("POST", target).body(body).send()
    }

    /// A request to be put together.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address(), self.exchanges.clone(), method, target)
    }

    /// A connection to speak on.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address(), self.exchanges.clone())
    }

    /// An HTTP/2 connection, to an nginx with [`Nginx::http2`].
    #[track_caller]
    pub fn http2(&self) -> Http2 {
        let listener = self.nginx.http2.unwrap_or_default();
        Http2::open(self.address_of(listener), self.exchanges.clone())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// Where its listener of that number listens (see [`Nginx::listener`]).
    pub fn address_of(&self, listener: usize) -> SocketAddr {
        self.nginx.config.listeners[listener].0
    }

    /// The error log.
    pub fn log(&self) -> Log {
        Log::new(self.prefix().join("logs/error.log"))
    }

    /// A file of the prefix that grows as a log does.
    pub fn file_log(&self, path: &str) -> Log {
        Log::new(self.prefix().join(path))
    }

    /// The folder of this nginx.
    pub fn prefix(&self) -> PathBuf {
        self.nginx.prefix()
    }

    /// Writes a file of the prefix anew.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(&self.prefix().join(path), bytes.as_ref());
    }

    /// Log lines with this text are no failure, whatever their level.
    pub fn allow(&self, text: &str) {
        self.allowed.borrow_mut().push(text.to_owned());
    }

    /// The process that was started.
    pub fn master(&self) -> u32 {
        self.child.borrow().id()
    }

    /// The workers' processes.
    pub fn workers(&self) -> Vec<u32> {
        process::children(self.master())
    }

    /// The memory that the workers have in use, in KiB.
    #[track_caller]
    pub fn resident_kib(&self) -> u64 {
        let of = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker's status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        self.workers().iter().map(of).sum()
    }

    /// Kills a worker, and waits until the master has another in its place.
    #[track_caller]
    pub fn kill_worker(&self, pid: u32) {
        self.killed.borrow_mut().push(pid);
        self.allow(&format!("worker process {pid} exited on signal 9"));
        let count = self.workers().len();
        process::signal(pid, libc::SIGKILL);
        eventually("a new worker", || {
            let now = self.workers();
            (now.len() == count && !now.contains(&pid)).then_some(())
        });
    }

    /// Changes nginx.conf; [`Running::reload`] or [`Running::hangup`] makes it count.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.prefix().join("nginx.conf");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the change to nginx.conf changes nothing");
        write(&path, changed.as_bytes());
    }

    /// Reads the configuration anew, and waits until new workers serve and all old ones are gone.
    #[track_caller]
    pub fn reload(&self) {
        let before = self.workers();
        self.hangup();
        self.await_replacement(&before);
    }

    /// Waits until other workers than these serve.
    #[track_caller]
    pub fn await_replacement(&self, before: &[u32]) {
        eventually("new workers in place of the old", || {
            let now = self.workers();
            (now.len() >= before.len() && !now.iter().any(|pid| before.contains(pid))).then_some(())
        });
    }

    /// Tells the master to read its configuration anew, and does not wait.
    pub fn hangup(&self) {
        process::signal(self.master(), libc::SIGHUP);
    }

    /// Stops it in order and asserts what must hold then, as going out of scope does. The logs can be read after it.
    #[track_caller]
    pub fn stop(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "nginx ended badly:\n{}", faults.join("\n"));
    }

    #[track_caller]
    fn await_start(&self) {
        let count = self.nginx.config.workers;
        let log = self.log();
        let status = within(self.patience(), || {
            if let Ok(Some(status)) = self.child.borrow_mut().try_wait() {
                return Some(Some(status));
            }
            let up = if self.nginx.config.master {
                log.lines_with("start worker process ").len() >= count
            } else {
                self.prefix().join("logs/nginx.pid").metadata().is_ok_and(|pid| pid.len() > 0)
            };
            up.then_some(None)
        });
        match status {
            Some(None) => {}
            Some(Some(status)) => {
                self.stopped.set(true);
                panic!("nginx did not start, {status}");
            }
            None => panic!("nginx did not start in {:?}", self.patience()),
        }
    }

    /// How long its start and its end may take: longer under another program.
    fn patience(&self) -> Duration {
        if self.nginx.under.is_empty() { patience() } else { patience() * 6 }
    }

    /// Ends it, gently if that works.
    fn end(&self) -> Result<ExitStatus, String> {
        process::signal(self.master(), libc::SIGQUIT);
        if let Some(status) = within(self.patience(), || self.child.borrow_mut().try_wait().ok().flatten()) {
            return Ok(status);
        }
        for pid in self.workers() {
            process::signal(pid, libc::SIGKILL);
        }
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("nginx did not quit within {:?}", self.patience()))
    }

    /// What went wrong in its life, as far as its death tells.
    fn faults(&self) -> Vec<String> {
        if self.stopped.replace(true) {
            return Vec::new();
        }
        let mut faults = Vec::new();
        match self.end() {
            Ok(status) if status.success() => {}
            Ok(status) => faults.push(format!("nginx ended with {status}")),
            Err(why) => faults.push(why),
        }
        let lines = self.log().lines();
        faults.extend(self.workers_that_failed(&lines));
        let stderr = Log::new(self.prefix().join("logs/stderr")).lines();
        let bad = |line: &&String| is_bad(line) && !self.allows(line);
        faults.extend(lines.iter().chain(&stderr).filter(bad).cloned());
        faults
    }

    fn workers_that_failed(&self, log: &[String]) -> Vec<String> {
        let killed = self.killed.borrow();
        let started = log.iter().filter_map(|line| line.split("start worker process ").nth(1)?.trim().parse().ok());
        let failed = started.filter(|pid: &u32| {
            let end = format!("worker process {pid} exited with code 0");
            !killed.contains(pid) && !log.iter().any(|line| line.ends_with(&end))
        });
        failed.map(|pid| format!("worker {pid} did not end with 0")).collect()
    }

    fn allows(&self, line: &str) -> bool {
        self.allowed.borrow().iter().any(|text| line.contains(text.as_str()))
    }

    /// All that helps to understand a failure.
    fn report(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(self.prefix().join(path)).unwrap_or_default();
        format!(
            "--- {}/nginx.conf\n{}\n--- exchanges\n{}\n--- error.log\n{}--- stderr\n{}",
            self.prefix().display(),
            read(Path::new("nginx.conf")),
            self.exchanges.recent(),
            shortened(&read(Path::new("logs/error.log"))),
            read(Path::new("logs/stderr")),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let faults = self.faults();
        let failed = std::thread::panicking();
        if !failed && faults.is_empty() {
            return;
        }
        self.nginx.dir.disable_cleanup(true);
        let report = format!("nginx ended badly:\n{}\n{}", faults.join("\n"), self.report());
        assert!(failed, "{report}");
        eprintln!("{report}");
    }
}

/// Whether a line tells of something that must not happen.
fn is_bad(line: &str) -> bool {
    let leveled = ["[alert]", "[emerg]", "[crit]"].iter().any(|level| line.contains(level));
    let leak = line.contains("open socket #") || line.contains("LeakSanitizer") || line.contains("AddressSanitizer");
    // A filter's own panic is its own affair.
    let panic = line.contains("panicked at") && !line.contains("[proxy-wasm][");
    leveled || leak || panic
}

/// A long log without its middle.
fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    let lines: Vec<_> = text.lines().collect();
    if lines.len() <= MOST {
        return text.to_owned();
    }
    let (head, tail) = (&lines[..MOST / 3], &lines[lines.len() - MOST * 2 / 3..]);
    let left_out = lines.len() - head.len() - tail.len();
    format!("{}\n… {left_out} lines …\n{}\n", head.join("\n"), tail.join("\n"))
}
