//! Where things are: the tree, nginx, the module.

use std::path::{Path, PathBuf};

/// The top of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of everything that is built.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// An nginx and the module that was built for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The private build.
    Release,
    /// The private build with `--with-debug`.
    Debug,
    /// The one of the distribution.
    Debian,
}

impl Flavour {
    /// The one that this run tests, by `WASMX_FLAVOUR`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn current() -> Self {
        match std::env::var("WASMX_FLAVOUR").as_deref() {
            Err(_) | Ok("release") => Self::Release,
            Ok("debug") => Self::Debug,
            Ok("debian") => Self::Debian,
            Ok(other) => panic!("WASMX_FLAVOUR={other}: it is one of release, debug, debian"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
            Self::Debian => "debian",
        }
    }
}

/// The nginx to start.
pub(crate) fn nginx() -> PathBuf {
    let flavour = Flavour::current();
    given("WASMX_NGINX_BIN").unwrap_or_else(|| match flavour {
        Flavour::Debian => PathBuf::from("/usr/sbin/nginx"),
        Flavour::Release | Flavour::Debug => built(target().join("nginx").join(flavour.name()).join("nginx")),
    })
}

/// The module to load into it.
pub fn module() -> PathBuf {
    let folder = target().join("modules").join(Flavour::current().name());
    given("WASMX_MODULE").unwrap_or_else(|| built(folder.join("ngx_wasmx_module.so")))
}

fn given(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is not there: `make test` builds it", path.display());
    path.canonicalize().unwrap_or(path)
}
