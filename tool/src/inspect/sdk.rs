//! Which SDK a filter may be written with: no section says so, and there are traces.

use engines::{Export, Import};

use super::facts::Facts;

/// Texts in a module that one SDK leaves: paths of its sources in the messages of panics, and names of functions.
const TRACES: &[(&str, &str)] = &[
    ("10proxy_wasm", "Rust SDK"),
    ("proxy-wasm-go-sdk", "Go SDK"),
    ("proxy-runtime/assembly", "AssemblyScript SDK"),
    ("proxy-wasm-sdk-as", "AssemblyScript SDK"),
    ("proxy_wasm_intrinsics", "C++ SDK"),
    ("RootContext", "C++ SDK"),
];

/// What comes before the version of the Rust SDK in paths of its sources.
const RUST: &[u8] = b"/proxy-wasm-";

/// `None` when nothing gives a hint.
pub fn guess(wasm: &[u8], facts: &Facts, imports: &[Import], exports: &[Export]) -> Option<String> {
    if let Some(version) = rust_version(wasm) {
        return Some(format!("Rust SDK {version}"));
    }
    let found = TRACES.iter().find(|(trace, _)| find(wasm, trace.as_bytes()).is_some());
    found.map(|(_, sdk)| (*sdk).to_owned()).or_else(|| {
        let language = language(facts, imports, exports)?;
        Some(format!("not known; the language is {language}"))
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// `0.2.4`, out of `…/proxy-wasm-0.2.4/src/…`.
fn rust_version(wasm: &[u8]) -> Option<&str> {
    let mut rest = wasm;
    loop {
        rest = &rest[find(rest, RUST)? + RUST.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        if rest[end] == b'/' && end > 0 {
            return str::from_utf8(&rest[..end]).ok();
        }
    }
}

fn language(facts: &Facts, imports: &[Import], exports: &[Export]) -> Option<&'static str> {
    let made_by = |name: &str| facts.producers.iter().any(|(_, value)| value.contains(name));
    let has_export = |name: &str| exports.iter().any(|export| export.name == name);
    let has_import = |name: &str| imports.iter().any(|import| import.module == "env" && import.name == name);
    let signs = [
        ("Rust", made_by("rustc")),
        ("Go (TinyGo)", made_by("TinyGo")),
        ("Go", made_by("Go cmd/compile") || has_export("go_scheduler")),
        ("Zig", made_by("zig")),
        ("AssemblyScript", has_import("abort") || has_export("__new")),
        ("C++", made_by("C_plus_plus") || has_import("emscripten_notify_memory_growth")),
        ("C", made_by("clang")),
    ];
    signs.into_iter().find_map(|(language, found)| found.then_some(language))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        guess(text.as_bytes(), &Facts::default(), &[], &[])
    }

    #[test]
    fn traces_are_found() {
        assert_eq!(of("…/proxy-wasm-x/proxy-wasm-0.2.4/src/lib.rs").as_deref(), Some("Rust SDK 0.2.4"));
        assert_eq!(of("_ZN10proxy_wasm10dispatcher").as_deref(), Some("Rust SDK"));
        assert_eq!(of("github.com/proxy-wasm/proxy-wasm-go-sdk/properties").as_deref(), Some("Go SDK"));
        assert_eq!(of("@solo-io/proxy-runtime/assembly/runtime").as_deref(), Some("AssemblyScript SDK"));
        for nothing in ["", "/proxy-wasm-", "/proxy-wasm-/", "/proxy-wasm-0.2"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn without_traces_there_may_be_the_language() {
        let facts = Facts { producers: vec![("processed-by".into(), "rustc 1.95.0".into())], ..Facts::default() };
        assert_eq!(guess(b"", &facts, &[], &[]).as_deref(), Some("not known; the language is Rust"));
    }
}
