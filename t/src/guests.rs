//! The filters of the tests: built from `t/guests` when something there changed, or written in a test as text.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::paths::{target, workspace};

/// The file of a guest in `t/guests`: a Rust crate of that name, or `NAME.wat`.
///
/// # Panics
/// When there is none, or when the Rust guests cannot be built.
pub fn guest(name: &str) -> PathBuf {
    let text = workspace().join("t/guests").join(format!("{name}.wat"));
    if text.exists() {
        return absolute(&text);
    }
    build();
    let built = target().join("guests").join(format!("{name}.wasm"));
    assert!(built.exists(), "there is no guest {name}: neither {} nor {}", text.display(), built.display());
    absolute(&built)
}

/// The file of a filter of `examples/rust`, by the name of its crate.
///
/// # Panics
/// When there is none, or when it cannot be built.
pub fn example(name: &str) -> PathBuf {
    let out = target().join("examples");
    std::fs::create_dir_all(&out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
    // Tests of other processes may want the same file at the same time.
    let mut command = Command::new("flock");
    command.arg(out.join(".lock")).arg(workspace().join("scripts/build-guests.sh"));
    command.arg(workspace().join("examples/rust")).arg(&out).arg(name);
    let run = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(run.status.success(), "{command:?}: {}\n{}", run.status, String::from_utf8_lossy(&run.stderr));
    absolute(&out.join(format!("{}.wasm", name.replace('-', "_"))))
}

/// A small filter in text form: all that the host asks of a filter, and `more`.
///
/// It has one page of memory, `malloc` gives `$heap` and moves it on, and `proxy_log` is imported as `$log`. What
/// `more` imports must come first in it, as always in the text format.
pub fn filter(more: &str) -> String {
    format!(
        r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  {more}
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (func (export "malloc") (param i32) (result i32)
    global.get $heap
    global.get $heap local.get 0 i32.add global.set $heap)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_context_create") (param i32 i32))
)
"#
    )
}

/// Builds the Rust guests, once in a process; `build.sh` returns at once when nothing changed.
fn build() {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match run("t/guests/build.sh", &[]) {
        Ok(0) => Ok(()),
        Ok(code) => Err(format!("exit code {code}")),
        Err(why) => Err(why),
    });
    if let Err(why) = built {
        panic!("the guests are not built: {why}");
    }
}

/// Runs a script that builds guests, in the tree. Its exit code is 0 or 3, which says that a toolchain is missing; any
/// other is an error, with what the script said.
pub(crate) fn run(script: &str, arguments: &[&Path]) -> Result<i32, String> {
    let path = workspace().join(script);
    let run = Command::new(&path).args(arguments).stdin(Stdio::null()).output();
    let run = run.map_err(|error| format!("{script}: {error}"))?;
    let said = || format!("{script}: {}\n{}", run.status, String::from_utf8_lossy(&run.stderr));
    run.status.code().filter(|code| matches!(code, 0 | 3)).ok_or_else(said)
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
