//! Finds nginx, translates its headers and compiles the shim.
//!
//! `WASMX_NGINX` = `release`, `debug` (private builds of the `nginx-src` crate) or `debian` (the package `nginx-dev`)
//! chooses one. Without it: `NGINX_SOURCE_DIR` with `NGINX_BUILD_DIR`, then `nginx-dev`, then the private release build.
//!
//! What is learnt reaches this crate as cfgs and the root's build script as `DEP_NGX_WASMX_*`.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/facts.rs"]
mod facts;
#[path = "build/locate.rs"]
mod locate;
#[path = "build/private.rs"]
mod private;

use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() {
    if private::answer_source_question() {
        return;
    }
    if let Err(error) = run() {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    for file in ["build.rs", "build", "wrapper.h", "shim.h", "shim.c", "ssl.c", "ssl_client.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let nginx = locate::find()?;
    let facts = facts::read(&nginx)?;
    facts.emit(&nginx);
    bindings::shim(&facts)?;
    bindings::translate(&facts)
}
