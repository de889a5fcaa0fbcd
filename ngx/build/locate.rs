//! Where nginx's headers come from.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, private};

/// A configured nginx: sources (at least the headers) and the folder that `configure` filled.
pub struct Nginx {
    pub flavour: &'static str,
    pub source: PathBuf,
    pub objs: PathBuf,
    /// The server itself, where we built it.
    pub binary: Option<PathBuf>,
}

/// Finds nginx as `build.rs` says.
pub fn find() -> Result<Nginx> {
    for name in ["WASMX_NGINX", "NGINX_SOURCE_DIR", "NGINX_BUILD_DIR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let asked = env::var("WASMX_NGINX").unwrap_or_default();
    match asked.as_str() {
        "release" => private::build(private::Flavour::Release),
        "debug" => private::build(private::Flavour::Debug),
        "debian" => debian()?.ok_or_else(|| "WASMX_NGINX=debian, but the package nginx-dev is not installed".into()),
        "" => match from_environment()? {
            Some(nginx) => Ok(nginx),
            None => match debian()? {
                Some(nginx) => Ok(nginx),
                None => private::build(private::Flavour::Release),
            },
        },
        other => Err(format!("WASMX_NGINX={other}: must be release, debug or debian").into()),
    }
}

fn from_environment() -> Result<Option<Nginx>> {
    let Some(source) = env::var_os("NGINX_SOURCE_DIR") else {
        return Ok(None);
    };
    let source = PathBuf::from(source);
    let objs = env::var_os("NGINX_BUILD_DIR").map_or_else(|| source.join("objs"), PathBuf::from);
    let config = objs.join("ngx_auto_config.h");
    if !config.is_file() {
        return Err(format!(
            "{} is missing: run nginx's configure, and set NGINX_BUILD_DIR when it was told another --builddir",
            config.display()
        )
        .into());
    }
    println!("cargo::rerun-if-changed={}", config.display());
    Ok(Some(Nginx { flavour: "source", source, objs, binary: None }))
}

/// Debian's `nginx-dev`: headers, `configure` and the flags of the stock nginx, without a configured folder.
fn debian() -> Result<Option<Nginx>> {
    let Some(installed) = debian_source() else {
        return Ok(None);
    };
    let flags_file = installed.join("conf_flags");
    println!("cargo::rerun-if-changed={}", flags_file.display());
    println!("cargo::rerun-if-changed={}", installed.join("src/core/nginx.h").display());

    let flags = debian_flags(&flags_file)?;
    let tree = Tree::new(&installed, &target_dir()?.join("nginx/debian"));
    tree.configure(&flags)?;
    Ok(Some(Nginx { flavour: "debian", source: tree.root, objs: tree.objs, binary: None }))
}

fn debian_source() -> Option<PathBuf> {
    let usual = PathBuf::from("/usr/share/nginx/src");
    if usual.join("conf_flags").is_file() {
        return Some(usual);
    }
    let listed = Command::new("dpkg").args(["-L", "nginx-dev"]).output().ok()?;
    let listed = String::from_utf8(listed.stdout).ok()?;
    let flags = listed.lines().find(|line| line.ends_with("/conf_flags"))?;
    Some(Path::new(flags).parent()?.to_path_buf())
}

/// `conf_flags` is a bash array: let bash read it.
fn debian_flags(file: &Path) -> Result<Vec<String>> {
    let printed = Command::new("bash")
        .args(["-c", r#". "$0" && printf '%s\n' "${NGX_CONF_FLAGS[@]}""#])
        .arg(file)
        .output()
        .map_err(|e| format!("bash, to read {}: {e}", file.display()))?;
    let mut flags: Vec<String> = String::from_utf8(printed.stdout)?.lines().map(str::to_owned).collect();
    if flags.is_empty() {
        return Err(format!("{} sets no NGX_CONF_FLAGS", file.display()).into());
    }
    // Not part of the array: the package's dependency on the headers of OpenSSL, PCRE and zlib is checked by configure.
    flags.retain(|flag| !flag.is_empty());
    Ok(flags)
}

/// A folder of our own in which `configure` runs: nginx's script writes a Makefile where it stands, and the sources may
/// be read-only. What it reads is linked to.
pub struct Tree {
    pub root: PathBuf,
    pub objs: PathBuf,
    installed: PathBuf,
}

impl Tree {
    pub fn new(installed: &Path, root: &Path) -> Self {
        Tree { root: root.to_path_buf(), objs: root.join("objs"), installed: installed.to_path_buf() }
    }

    /// Runs `configure`, unless it ran with the same flags and sources before. Says whether it ran.
    pub fn configure(&self, flags: &[String]) -> Result<bool> {
        let stamp = self.root.join("stamp");
        let version = fs::read_to_string(self.installed.join("src/core/nginx.h"))?;
        let wanted = format!("{}\n{}\n{version}", self.installed.display(), flags.join("\n"));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && self.objs.join("Makefile").is_file() {
            return Ok(false);
        }
        fs::create_dir_all(&self.root)?;
        let _ = fs::remove_file(&stamp);
        let _ = fs::remove_dir_all(&self.objs);
        for name in ["auto", "conf", "configure", "docs", "src"] {
            self.link(name)?;
        }
        let script = if self.root.join("configure").is_file() { "configure" } else { "auto/configure" };
        let mut command = Command::new("sh");
        command.current_dir(&self.root).arg(script).arg(format!("--builddir={}", self.objs.display())).args(flags);
        run(&mut command, "nginx's configure (it needs the packages libpcre2-dev, libssl-dev and zlib1g-dev)")?;
        fs::write(stamp, wanted)?;
        Ok(true)
    }

    fn link(&self, name: &str) -> Result<()> {
        let (to, from) = (self.installed.join(name), self.root.join(name));
        let _ = fs::remove_file(&from);
        if to.exists() {
            std::os::unix::fs::symlink(&to, &from).map_err(|e| format!("linking {}: {e}", from.display()))?;
        }
        Ok(())
    }
}

/// Runs a command; its output is shown only when it fails.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|e| format!("{what}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.trim().lines().collect();
    let tail = lines[lines.len().saturating_sub(30)..].join("\n");
    Err(format!("{what} failed ({}):\n{tail}", output.status).into())
}

/// Cargo's target folder, wherever `CARGO_TARGET_DIR` or a configuration file put it: the topmost folder above
/// `OUT_DIR` that cargo marked as a cache.
pub fn target_dir() -> Result<PathBuf> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let marked = out.ancestors().filter(|dir| dir.join("CACHEDIR.TAG").is_file()).last();
    let fallback = out.ancestors().nth(4);
    Ok(marked.or(fallback).ok_or("OUT_DIR is not inside a target folder")?.to_path_buf())
}
