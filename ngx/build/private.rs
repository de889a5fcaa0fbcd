//! Private builds of nginx from the sources in the crate `nginx-src`: for tests, benches and the demo, so that nothing
//! is started or changed on the user's system. The binary is `target/nginx/<flavour>/nginx`.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    Result,
    locate::{Nginx, Tree, run, target_dir},
};

/// Set for the child that only says where `nginx-src` lies.
const QUESTION: &str = "WASMX_WHERE_IS_NGINX_SRC";

/// What users commonly have; paths are relative, so that `nginx -p DIR` moves all of them.
const FLAGS: &[&str] = &[
    "--prefix=.",
    "--sbin-path=nginx",
    "--modules-path=modules",
    "--conf-path=nginx.conf",
    "--error-log-path=stderr",
    "--http-log-path=access.log",
    "--pid-path=nginx.pid",
    "--lock-path=nginx.lock",
    "--with-compat",
    "--with-threads",
    "--with-pcre",
    "--with-pcre-jit",
    "--with-http_ssl_module",
    "--with-http_v2_module",
    "--with-http_realip_module",
    "--with-http_addition_module",
    "--with-http_sub_module",
    "--with-http_dav_module",
    "--with-http_flv_module",
    "--with-http_mp4_module",
    "--with-http_gunzip_module",
    "--with-http_gzip_static_module",
    "--with-http_auth_request_module",
    "--with-http_random_index_module",
    "--with-http_secure_link_module",
    "--with-http_slice_module",
    "--with-http_stub_status_module",
    "--with-stream",
    "--with-stream_ssl_module",
    "--with-stream_ssl_preread_module",
    "--with-stream_realip_module",
];

#[derive(Clone, Copy)]
pub enum Flavour {
    Release,
    /// `--with-debug`: debug log lines, and nginx's own assertions.
    Debug,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Flavour::Release => "release",
            Flavour::Debug => "debug",
        }
    }

    fn flags(self) -> Vec<String> {
        let own: &[&str] = match self {
            Flavour::Release => &["--with-cc-opt=-g -O2"],
            Flavour::Debug => &["--with-debug", "--with-cc-opt=-g -O1"],
        };
        FLAGS.iter().chain(own).map(|flag| (*flag).to_owned()).collect()
    }
}

/// Configures and compiles nginx, once.
pub fn build(flavour: Flavour) -> Result<Nginx> {
    let home = target_dir()?.join("nginx").join(flavour.name());
    let tree = Tree::new(&source()?, &home);
    let fresh = tree.configure(&flavour.flags())?;
    let binary = home.join("nginx");
    if fresh || !binary.is_file() {
        make(&tree)?;
        // By rename: a server that runs from the old file keeps it.
        let staged = home.join("nginx.new");
        fs::copy(tree.objs.join("nginx"), &staged)?;
        fs::rename(&staged, &binary)?;
    }
    println!("cargo::rerun-if-changed={}", binary.display());
    Ok(Nginx { flavour: flavour.name(), source: tree.root, objs: tree.objs, binary: Some(binary) })
}

/// Compiles with cargo's jobserver when there is one, so that both share the cores they were given.
fn make(tree: &Tree) -> Result<()> {
    let mut command = Command::new("make");
    command.current_dir(&tree.root).arg("-f").arg(tree.objs.join("Makefile")).arg("binary");
    command.env_remove("MFLAGS").env_remove("MAKELEVEL");
    match env::var_os("CARGO_MAKEFLAGS") {
        Some(flags) => command.env("MAKEFLAGS", flags),
        None => command.env_remove("MAKEFLAGS").arg(format!("-j{}", env::var("NUM_JOBS").unwrap_or_default())),
    };
    run(&mut command, "compiling nginx")
}

/// The folder of nginx's sources. `nginx-src` has no function that tells it, but names its files in what it prints for
/// cargo; so a child of this very script prints that into a pipe.
fn source() -> Result<PathBuf> {
    let said = Command::new(env::current_exe()?).env(QUESTION, "1").stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8(said.stdout)?;
    let folder = said
        .lines()
        .find_map(|line| line.strip_prefix("cargo::rerun-if-changed=")?.strip_suffix("/src/lib.rs"))
        .ok_or("nginx-src does not say where it lies")?;
    let source = PathBuf::from(folder).join("nginx");
    if source.join("src/core/nginx.h").is_file() {
        Ok(source)
    } else {
        Err(format!("{} holds no nginx sources", source.display()).into())
    }
}

/// In the child: answers and says that it did.
pub fn answer_source_question() -> bool {
    let asked = env::var_os(QUESTION).is_some();
    if asked {
        nginx_src::print_cargo_metadata();
    }
    asked
}
