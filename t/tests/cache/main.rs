//! Compiled modules on disk: `cache_path` and `cache_config`.

mod damage;
mod folder;
mod starts;
mod trust;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wasmx_t::{Engine, Nginx, filter};

/// What the master says when it has compiled, when it has loaded, and when it has been warned.
const COMPILED: &str = r#"[wasm] successfully loaded "a" module in "#;
const LOADED: &str = r#"[wasm] loaded "a" module from cache in "#;
const IGNORING: &str = "[wasm] ignoring artefact ";

/// A folder that several nginxes share.
struct Cache(TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// An nginx with this cache and one small module.
    fn nginx(&self, engine: Engine) -> Nginx {
        let nginx = Nginx::new(engine).wasm_directive(format!("cache_path {};", self.path().display()));
        nginx.wat("a", answer(201)).location("/", "proxy_wasm a;")
    }

    /// The artefacts in it.
    fn artefacts(&self) -> Vec<PathBuf> {
        artefacts(self.path())
    }

    /// The only artefact in it.
    #[track_caller]
    fn artefact(&self) -> PathBuf {
        let artefacts = self.artefacts();
        assert_eq!(artefacts.len(), 1, "{artefacts:?}");
        artefacts[0].clone()
    }
}

/// Everything in a folder, sorted; all of it has to be artefacts.
fn artefacts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries.collect();
    all.sort_unstable();
    assert!(all.iter().all(|it| it.extension().is_some_and(|it| it == "wasmx")), "{all:?}");
    all
}

/// A filter that answers with a status.
fn answer(status: u16) -> String {
    filter(&format!(
        r#"(import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $reply (i32.const {status}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const -1)))
    (i32.const 0))"#
    ))
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// Whether the engine keeps nothing, having no compiled form of modules.
fn keeps_nothing(engine: Engine) -> bool {
    engine == Engine::Wasmi
}
