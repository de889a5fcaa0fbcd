//! `wasmx`: artefacts that are made ahead of nginx, and what it tells of files.

mod compile;
mod functions;
mod inspect;
mod refused;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wasmx_t::{Engine, Nginx, module};

/// The tool, in the folder of what cargo builds.
fn tool() -> PathBuf {
    let given = std::env::var_os("WASMX_TOOL").map(PathBuf::from);
    let built = || module().ancestors().nth(3).expect("the target folder").join("release/wasmx");
    let path = given.unwrap_or_else(built);
    assert!(path.exists(), "{} is not there: `make tool` builds it", path.display());
    path
}

/// Whether the tool has wasmtime, as most tests want: it is built with the engines of the module.
fn compiles() -> bool {
    let compiles = Engine::Wasmtime.is_listed();
    if !compiles {
        eprintln!("SKIPPED: wasmtime is not in WASMX_ENGINES");
    }
    compiles
}

/// What a run of the tool came to.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn wasmx(arguments: &[&str]) -> Run {
    let run = Command::new(tool()).args(arguments).stdin(Stdio::null()).output().expect("the tool runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { code: run.status.code(), stdout: text(run.stdout), stderr: text(run.stderr) }
}

impl Run {
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "{text:?} is not in {self:?}");
        self
    }
}

/// A folder of files to compile and to look at.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Where a file is, or will be.
    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.at(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// Compiles a module to an artefact.
    #[track_caller]
    fn compiled(&self, input: &Path, options: &[&str]) -> String {
        self.compiled_for(Engine::Wasmtime, input, options)
    }

    #[track_caller]
    fn compiled_for(&self, engine: Engine, input: &Path, options: &[&str]) -> String {
        let (input, output) = (input.to_str().expect("UTF-8"), self.at("compiled"));
        let engine = format!("--engine={engine}");
        wasmx(&[&["compile", input, &output, &engine], options].concat()).ends_with(0);
        output
    }
}

/// An nginx with that file as the filter of every request.
fn nginx(engine: Engine, file: &str) -> Nginx {
    Nginx::new(engine).wasm("a", file).location("/", "proxy_wasm a 'request_headers: reply 203 compiled';")
}

/// An artefact with another header, whose digest is right: it finds accidents, and is no signature.
fn retouched(artefact: &[u8], from: &str, to: &str) -> Vec<u8> {
    let length = u32::from_le_bytes(artefact[12..16].try_into().expect("four bytes")) as usize;
    let (header, code) = artefact[56..].split_at(length);
    let header = str::from_utf8(header).expect("a header");
    assert!(header.contains(from), "{from:?} is not in {header}");
    let header = header.replace(from, to);
    let mut start = artefact[..24].to_vec();
    start[12..16].copy_from_slice(&u32::try_from(header.len()).expect("a length").to_le_bytes());
    let digest = Sha256::new().chain_update(&start).chain_update(&header).chain_update(code).finalize();
    [&start[..], &digest, header.as_bytes(), code].concat()
}
