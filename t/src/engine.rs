//! Every test that loads a guest runs on every engine, under a name that carries it.

use std::fmt;
use std::io::Write;

/// An engine that the module may have been built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Wasmtime,
    Wasmer,
    Wasmi,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wasmtime, Self::Wasmer, Self::Wasmi];

    /// Another engine that the module has; `None` when it has no other.
    pub fn other(self) -> Option<Self> {
        Self::ALL.into_iter().find(|other| *other != self && other.is_listed())
    }

    /// Its name in nginx.conf and in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime",
            Self::Wasmer => "wasmer",
            Self::Wasmi => "wasmi",
        }
    }

    /// Whether the module under test has it: `WASMX_ENGINES`, a list with commas; all when it is not set.
    pub fn is_listed(self) -> bool {
        match std::env::var("WASMX_ENGINES") {
            Ok(list) => list.split(',').any(|name| name.trim() == self.name()),
            Err(_) => true,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Runs a test on an engine, or says that it does not and why. Called by [`on_every_engine!`](crate::on_every_engine).
pub fn on(engine: Engine, test: fn(Engine), name: &str) {
    if engine.is_listed() {
        test(engine);
    } else {
        skipped(name, &format!("{engine} is not in WASMX_ENGINES"));
    }
}

/// Says that a test does not run, and why.
pub(crate) fn skipped(test: &str, why: &str) {
    // Straight to the descriptor: the test runner would keep what print! writes to itself.
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
}

/// Mounts each of these `fn name(engine: Engine)` as a test for each engine: `FILE::wasmtime::NAME`, and so on.
///
/// Once in a file, at its top, where it serves as the contents. A test that is not listed is dead code, which clippy
/// refuses.
#[macro_export]
macro_rules! on_every_engine {
    ($($name:ident),* $(,)?) => {
        $crate::on_every_engine! { @mount wasmtime Wasmtime $($name)* }
        $crate::on_every_engine! { @mount wasmer Wasmer $($name)* }
        $crate::on_every_engine! { @mount wasmi Wasmi $($name)* }
    };
    (@mount $module:ident $engine:ident $($name:ident)*) => {
        mod $module {
            $( $crate::on_every_engine! { @test $engine $name } )*
        }
    };
    (@test $engine:ident $name:ident) => {
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name));
            $crate::on($crate::Engine::$engine, super::$name, name);
        }
    };
}
