//! What a configured nginx says about itself: version, features, where its headers are.

use std::{fs, path::PathBuf};

use crate::{Result, locate::Nginx};

/// Feature name → the macro in ngx_auto_config.h.
const FEATURES: &[(&str, &str)] = &[
    ("compat", "NGX_COMPAT"),
    ("debug", "NGX_DEBUG"),
    ("threads", "NGX_THREADS"),
    ("pcre", "NGX_PCRE"),
    ("http", "NGX_HTTP"),
    ("http_cache", "NGX_HTTP_CACHE"),
    ("http_gzip", "NGX_HTTP_GZIP"),
    ("http_ssl", "NGX_HTTP_SSL"),
    ("http_v2", "NGX_HTTP_V2"),
    ("http_v3", "NGX_HTTP_V3"),
    ("http_x_forwarded_for", "NGX_HTTP_X_FORWARDED_FOR"),
    ("http_realip", "NGX_HTTP_REALIP"),
    ("http_dav", "NGX_HTTP_DAV"),
    ("ssl", "NGX_SSL"),
    ("stream", "NGX_STREAM"),
    ("stat_stub", "NGX_STAT_STUB"),
];

pub struct Facts {
    version: String,
    number: u32,
    features: Vec<&'static str>,
    /// Whether `pass_trailers` of an upstream's configuration is a setting (1.27.2), and not a bit.
    conf_pass_trailers: bool,
    /// `-I` and `-D` for a C compiler that is to see nginx as its own sources do.
    pub includes: Vec<PathBuf>,
    pub defines: Vec<String>,
}

pub fn read(nginx: &Nginx) -> Result<Facts> {
    let header = fs::read_to_string(nginx.source.join("src/core/nginx.h"))?;
    let number = defined(&header, "nginx_version").ok_or("nginx.h defines no nginx_version")?;
    let version = defined(&header, "NGINX_VERSION").ok_or("nginx.h defines no NGINX_VERSION")?;

    let config = fs::read_to_string(nginx.objs.join("ngx_auto_config.h"))?;
    let enabled = |name: &str| defined(&config, name).is_some_and(|value| value != "0");
    let features: Vec<_> = FEATURES.iter().filter(|(_, name)| enabled(name)).map(|(feature, _)| *feature).collect();
    if !features.contains(&"http") && !config.contains("NGX_HTTP") {
        return Err("this nginx is configured --without-http".into());
    }

    let upstream = fs::read_to_string(nginx.source.join("src/http/ngx_http_upstream.h"))?;
    let pass_trailers = upstream.lines().find(|line| line.contains("pass_trailers"));

    let makefile = fs::read_to_string(nginx.objs.join("Makefile"))?.replace("\\\n", " ");
    let includes = words(&makefile, "ALL_INCS").filter(|word| word != "-I");
    Ok(Facts {
        version: version.trim_matches('"').to_owned(),
        number: number.parse()?,
        features,
        conf_pass_trailers: pass_trailers.is_some_and(|line| line.contains("ngx_flag_t")),
        includes: includes.map(|dir| nginx.source.join(dir)).collect(),
        defines: words(&makefile, "CFLAGS")
            .filter(|word| word.starts_with("-D") && !word.contains("FORTIFY"))
            .collect(),
    })
}

impl Facts {
    /// Tells cargo: cfgs for this crate, metadata for the root's build script.
    pub fn emit(&self, nginx: &Nginx) {
        let known: Vec<String> = FEATURES.iter().map(|(feature, _)| format!("{feature:?}")).collect();
        println!("cargo::rustc-check-cfg=cfg(ngx_feature, values({}))", known.join(", "));
        println!("cargo::rustc-check-cfg=cfg(ngx_linked_headers)");
        for feature in &self.features {
            println!("cargo::rustc-cfg=ngx_feature={feature:?}");
        }
        // 1.23 made repeated headers linked lists, where there were arrays.
        let linked_headers = self.number >= 1_023_000;
        if linked_headers {
            println!("cargo::rustc-cfg=ngx_linked_headers");
        }
        println!("cargo::rustc-check-cfg=cfg(ngx_conf_pass_trailers)");
        if self.conf_pass_trailers {
            println!("cargo::rustc-cfg=ngx_conf_pass_trailers");
        }
        println!("cargo::rustc-env=WASMX_NGINX_VERSION={}", self.version);

        println!("cargo::metadata=version={}", self.version);
        println!("cargo::metadata=version_number={}", self.number);
        println!("cargo::metadata=features={}", self.features.join(","));
        let all: Vec<&str> = FEATURES.iter().map(|(feature, _)| *feature).collect();
        println!("cargo::metadata=all_features={}", all.join(","));
        println!("cargo::metadata=linked_headers={}", u8::from(linked_headers));
        println!("cargo::metadata=flavour={}", nginx.flavour);
        println!("cargo::metadata=build_dir={}", nginx.objs.display());
        // For the tests of this crate: the server that these headers are of.
        println!("cargo::rustc-env=WASMX_NGINX_FLAVOUR={}", nginx.flavour);
        if let Some(binary) = &nginx.binary {
            println!("cargo::rustc-env=WASMX_NGINX_BINARY={}", binary.display());
            println!("cargo::metadata=binary={}", binary.display());
        }
    }
}

/// The value of the first `#define NAME VALUE`.
fn defined<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.lines().find_map(|line| {
        let (found, value) = line.strip_prefix("#define")?.trim_start().split_once(char::is_whitespace)?;
        (found == name).then(|| value.trim())
    })
}

/// The words of the make variable `NAME = …`.
fn words<'a>(makefile: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    makefile
        .lines()
        .filter_map(move |line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
        .take(1)
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
}
