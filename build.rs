//! The link step of `ngx_wasmx_module.so`, and what the build found out about nginx.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_NGINX").is_none() {
        return;
    }
    // A reload may dlclose() the module while an engine's signal handlers still point into it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Lets a core dump or a packaged debug file be matched to the module.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--build-id=sha1");
}
