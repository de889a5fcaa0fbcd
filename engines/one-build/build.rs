//! Only here to have build dependencies.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
