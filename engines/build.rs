//! The versions of the engines, for what they have compiled: `NAME=VERSION+FINGERPRINT`, the fingerprint being that of every
//! package that the engine is made from. The same engine over another code generator is another compiler.

use std::collections::BTreeSet;
use std::{env, fs};

/// A package of Cargo.lock.
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    dependencies: Vec<&'a str>,
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let lock = fs::read_to_string("../Cargo.lock").expect("the workspace's Cargo.lock");
    let packages: Vec<_> = lock.split("[[package]]").skip(1).map(package).collect();
    let own = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let own = packages.iter().find(|package| package.name == own).expect("this package in Cargo.lock");
    // An engine is a feature, and a dependency by the same name.
    let features = env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let is_dependency = |name: &String| own.dependencies.iter().any(|it| it.split(' ').next() == Some(name));
    let versions: Vec<_> = features.filter(is_dependency).map(|engine| version(&packages, &engine)).collect();
    println!("cargo::rustc-env=WASMX_ENGINE_VERSIONS={}", versions.join(" "));
}

fn package(text: &str) -> Package<'_> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim_matches('"');
    let listed = text.lines().filter_map(|line| line.strip_prefix(" \""));
    Package {
        name: value("name = "),
        version: value("version = "),
        dependencies: listed.map(|line| line.trim_end_matches("\",")).collect(),
    }
}

/// A dependency is `NAME`, or `NAME VERSION` when there are several of that name.
fn find<'a>(packages: &'a [Package<'a>], dependency: &str) -> Option<usize> {
    let mut words = dependency.split(' ');
    let (name, version) = (words.next()?, words.next());
    packages.iter().position(|it| it.name == name && version.is_none_or(|version| it.version == version))
}

fn version(packages: &[Package<'_>], engine: &str) -> String {
    let first = find(packages, engine).expect("the engine in Cargo.lock");
    let (mut seen, mut next) = (BTreeSet::new(), vec![first]);
    while let Some(index) = next.pop() {
        if seen.insert(index) {
            next.extend(packages[index].dependencies.iter().filter_map(|it| find(packages, it)));
        }
    }
    let all: String = seen.iter().map(|&it| format!("{} {}\n", packages[it].name, packages[it].version)).collect();
    format!("{engine}={}+{:08x}", packages[first].version, fnv(&all))
}

/// FNV-1a: the same in every version of Rust.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
