//! SDKs that filters are written with: the suite of `t/guests/suite` and some examples are there for each.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::engine::{Engine, skipped};
use crate::guests::{absolute, guest, run};
use crate::paths::{target, workspace};

/// An SDK, and the toolchain that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    Rust,
    Go,
    AssemblyScript,
}

impl Sdk {
    /// The filter `suite`, written with it.
    ///
    /// # Errors
    /// Why there is none, when the toolchain is missing.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn suite(self) -> Result<PathBuf, String> {
        match self {
            Self::Rust => Ok(guest("suite")),
            Self::Go => built(self.script(), "t/guests/suite/go", "guests/go", "suite"),
            Self::AssemblyScript => {
                built(self.script(), "t/guests/suite/assemblyscript", "guests/assemblyscript", "suite")
            }
        }
    }

    /// A filter of `examples/`, written with it.
    ///
    /// # Errors
    /// Why there is none, when the toolchain is missing.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn example(self, name: &str) -> Result<PathBuf, String> {
        match self {
            Self::Rust => built(self.script(), "examples/rust", "examples", name),
            Self::Go => built(self.script(), "examples/go", "examples/go", name),
            Self::AssemblyScript => built(self.script(), "examples/assemblyscript", "examples/assemblyscript", name),
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Rust => "scripts/build-guests.sh",
            Self::Go => "scripts/build-go.sh",
            Self::AssemblyScript => "scripts/build-assemblyscript.sh",
        }
    }
}

/// Runs a test with a filter of an SDK, or says that it does not and why. Called by
/// [`on_every_sdk!`](crate::on_every_sdk).
pub fn with(filter: Result<PathBuf, String>, engine: Engine, test: fn(Engine, &Path), name: &str) {
    match filter {
        Ok(filter) => test(engine, &filter),
        Err(why) => skipped(name, &why),
    }
}

/// Builds the filters of a folder, once in a process, and gives the file of one.
fn built(script: &str, folder: &str, out: &str, name: &str) -> Result<PathBuf, String> {
    static DONE: Mutex<Vec<(String, i32)>> = Mutex::new(Vec::new());
    let out = target().join(out);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let code = done.iter().find(|(known, _)| known == folder).map(|(_, code)| *code).unwrap_or_else(|| {
        let code = run(script, &[&workspace().join(folder), &out]).unwrap_or_else(|why| panic!("{folder}: {why}"));
        done.push((folder.to_owned(), code));
        code
    });
    if code != 0 {
        let why = std::fs::read_to_string(out.join(".missing")).unwrap_or_default();
        return Err(format!("{folder} is not built: {}", why.trim()));
    }
    Ok(absolute(&out.join(format!("{name}.wasm"))))
}

/// Mounts each of these `fn name(engine: Engine, filter: &Path)` as a test for each SDK and engine:
/// `FILE::go::wasmtime::NAME`, and so on. Which filter it is, `fn filter(sdk: Sdk)` beside them says.
///
/// Where a toolchain is missing, those tests say so and do nothing.
#[macro_export]
macro_rules! on_every_sdk {
    ($($name:ident),* $(,)?) => {
        $crate::on_every_sdk! { @mount rust Rust $($name)* }
        $crate::on_every_sdk! { @mount go Go $($name)* }
        $crate::on_every_sdk! { @mount assemblyscript AssemblyScript $($name)* }
    };
    (@mount $module:ident $sdk:ident $($name:ident)*) => {
        mod $module {
            $crate::on_every_engine![$($name),*];
            $(
                fn $name(engine: $crate::Engine) {
                    let name = concat!(module_path!(), "::", stringify!($name));
                    $crate::with(super::filter($crate::Sdk::$sdk), engine, super::$name, name);
                }
            )*
        }
    };
}
