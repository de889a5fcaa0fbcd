//! A real gRPC server: Google's own, of PyPI, in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::paths::{target, workspace};
use crate::tls::Certificate;
use crate::wait::{eventually, patience, soon};

/// `t/peers/grpc_server.py`, whose service is `wasmx.test.Echo`.
#[derive(Debug)]
pub struct GrpcServer {
    child: Child,
    port: u16,
    said: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    _files: Option<TempDir>,
}

impl Default for GrpcServer {
    fn default() -> Self {
        Self::new()
    }
}

impl GrpcServer {
    /// In the clear.
    ///
    /// # Panics
    /// When its virtual environment cannot be made, or it does not start.
    pub fn new() -> Self {
        Self::start(&[], None)
    }

    /// With TLS.
    ///
    /// # Panics
    /// As [`GrpcServer::new`].
    pub fn tls(certificate: &Certificate) -> Self {
        let parent = target().join("t");
        let _ = std::fs::create_dir_all(&parent);
        let files =
            TempDir::new_in(&parent).unwrap_or_else(|error| panic!("a folder in {}: {error}", parent.display()));
        let (pem, key) = (files.path().join("pem"), files.path().join("key"));
        let written = std::fs::write(&pem, &certificate.pem).and_then(|()| std::fs::write(&key, &certificate.key));
        written.unwrap_or_else(|error| panic!("{}: {error}", files.path().display()));
        Self::start(&[&pem, &key], Some(files))
    }

    fn start(arguments: &[&Path], files: Option<TempDir>) -> Self {
        build();
        let python = target().join("peers/venv/bin/python");
        let script = workspace().join("t/peers/grpc_server.py");
        let mut command = Command::new(&python);
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // gRPC tells of itself at times; a test that fails shows what the server said.
        command.env("GRPC_VERBOSITY", "NONE").stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let said = Arc::<Mutex<Vec<String>>>::default();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let reader = std::thread::spawn({
            let said = said.clone();
            move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let mut server = Self { child, port: 0, said, reader: Some(reader), _files: files };
        let line = server.wait("port ");
        server.port = line["port ".len()..].parse().unwrap_or_else(|_| panic!("no port: {line}"));
        server
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it said so far, a line for each thing that happened.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that has `text` in it, and gives it.
    #[track_caller]
    pub fn wait(&self, text: &str) -> String {
        let found = soon(|| self.said().into_iter().find(|line| line.contains(text)));
        found.unwrap_or_else(|| {
            panic!("waited {:?} in vain for {text:?} of the gRPC server, which said {:?}", patience(), self.said())
        })
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if !std::thread::panicking() {
            eventually("the end of the gRPC server", || self.child.try_wait().ok().flatten());
        }
        self.kill();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn build() {
    let script = workspace().join("t/peers/build.sh");
    let run = Command::new(&script).stdin(Stdio::null()).output();
    let run = run.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(run.status.success(), "{}: {}\n{}", script.display(), run.status, String::from_utf8_lossy(&run.stderr));
}
