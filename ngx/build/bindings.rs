//! nginx's headers as Rust, and the C that Rust cannot say.

use std::{env, panic, path::PathBuf};

use crate::{Result, facts::Facts};

const NO_LIBCLANG: &str = "libclang, which reads nginx's headers, was not found: \
    install the package libclang-dev (Debian, Ubuntu) or clang-devel (Fedora), or set LIBCLANG_PATH";

pub fn shim(facts: &Facts) -> Result<()> {
    let mut build = cc::Build::new();
    build
        .files(["shim.c", "ssl.c", "ssl_client.c"])
        .includes(&facts.includes)
        .warnings(true)
        .flag_if_supported("-Wno-unused-parameter");
    for define in &facts.defines {
        build.flag(define);
    }
    build.cargo_warnings(true).try_compile("ngx_wasmx_shim").map_err(|e| format!("shim.c: {e}").into())
}

pub fn translate(facts: &Facts) -> Result<()> {
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    // bindgen loads libclang at its first use and panics when there is none.
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let loaded = panic::catch_unwind(bindgen::clang_version).is_ok();
    panic::set_hook(quiet);
    if !loaded {
        return Err(NO_LIBCLANG.into());
    }

    let out = PathBuf::from(env::var("OUT_DIR")?).join("bindings.rs");
    bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(facts.includes.iter().map(|dir| format!("-I{}", dir.display())))
        .clang_args(&facts.defines)
        .allowlist_function("(ngx|wasmx)_.*")
        .allowlist_type("ngx_.*")
        .allowlist_var("(ngx|NGX|nginx|NGINX|wasmx|WASMX)_.*")
        // Layouts of the system's and OpenSSL's types are none of our business; pointers to them are enough.
        .opaque_type("(ssl|SSL|X509|x509|EVP|evp|BIO|bio|crypto).*")
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate_comments(false)
        .layout_tests(false)
        .derive_debug(false)
        .prepend_enum_name(false)
        .sort_semantically(true)
        .merge_extern_blocks(true)
        .generate()
        .map_err(|e| format!("translating nginx's headers: {e}"))?
        .write_to_file(&out)
        .map_err(|e| format!("{}: {e}", out.display()).into())
}
