//! Which folder: `cache_path`, the `directory` that `cache_config` leads to, and mistakes in both.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use wasmx_t::{Engine, Nginx};

use crate::{COMPILED, LOADED, answer, artefacts, keeps_nothing};

wasmx_t::on_every_engine![
    a_missing_folder_is_made,
    a_folder_below_a_missing_one_is_a_mistake,
    what_is_no_folder_is_a_mistake,
    there_is_one_cache_path,
    a_folder_that_cannot_be_written_is_told_once,
    the_cache_file_of_wasmtime_names_the_folder,
    a_cache_file_that_turns_the_cache_off,
    mistakes_in_a_cache_file_are_told,
];

fn nginx(engine: Engine, directive: &str) -> Nginx {
    Nginx::new(engine).wasm_directive(directive).wat("a", answer(201)).location("/", "proxy_wasm a;")
}

fn a_missing_folder_is_made(engine: Engine) {
    let ng = nginx(engine, "cache_path kept/;").start();
    ng.get("/").status(201);
    let folder = ng.prefix().join("kept");
    assert_eq!(fs::metadata(&folder).expect("the folder").permissions().mode() & 0o7777, 0o700);
    assert_eq!(artefacts(&folder).len(), usize::from(!keeps_nothing(engine)));
}

fn a_folder_below_a_missing_one_is_a_mistake(engine: Engine) {
    let test = nginx(engine, "cache_path not/there;").conf_test();
    test.refuses().blames("cache_path", "[wasm] invalid cache folder ").says("No such file or directory");
}

fn what_is_no_folder_is_a_mistake(engine: Engine) {
    let test = nginx(engine, "cache_path nginx.conf;").conf_test();
    test.refuses().blames("cache_path", "/nginx.conf\": it is no folder");
    nginx(engine, "cache_path nginx.conf/x;").conf_test().refuses().blames("cache_path", "Not a directory");
    nginx(engine, "cache_path '';").conf_test().refuses().blames("cache_path", "invalid cache_path \"\"");
}

fn there_is_one_cache_path(engine: Engine) {
    let test = nginx(engine, "cache_path one;").wasm_directive("cache_path two;").conf_test();
    test.refuses().blames("two", "\"cache_path\" directive is duplicate");
}

fn a_folder_that_cannot_be_written_is_told_once(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    // Not even root writes there.
    let folder = "/sys/kernel";
    if !fs::metadata(folder).is_ok_and(|it| it.is_dir()) {
        eprintln!("SKIPPED: no {folder} here");
        return;
    }
    let nginx = nginx(engine, &format!("cache_path {folder};")).wat("b", answer(202)).location("/b", "proxy_wasm b;");
    let ng = nginx.start();
    ng.get("/").status(201);
    ng.get("/b").status(202);
    ng.log().has_times(1, &format!("[wasm] cannot write to cache folder \"{folder}\" (")).has_times(1, "[warn]");
}

fn the_cache_file_of_wasmtime_names_the_folder(engine: Engine) {
    if engine != Engine::Wasmtime {
        return;
    }
    let (own, all) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let file = format!("[cache]\nenabled = true\ndirectory = \"{}\"\n", own.path().display());
    let nginx = || {
        let directives = format!("wasmtime {{ cache_config cache.toml; }}\ncache_path {};", all.path().display());
        nginx(engine, &directives).file("cache.toml", &file)
    };
    nginx().start().log().has(COMPILED);
    assert_eq!((artefacts(own.path()).len(), artefacts(all.path()).len()), (1, 0));
    let ng = nginx().start();
    ng.get("/").status(201);
    ng.log().has(LOADED).lacks(COMPILED);
}

fn a_cache_file_that_turns_the_cache_off(engine: Engine) {
    if engine != Engine::Wasmtime {
        return;
    }
    let nginx = nginx(engine, "wasmtime { cache_config cache.toml; }");
    let ng = nginx.file("cache.toml", "[cache]\nenabled = false\ndirectory = '/not/there'\n").start();
    ng.log().has(COMPILED);
}

fn mistakes_in_a_cache_file_are_told(engine: Engine) {
    let directives = "wasmtime {\ncache_config cache.toml;\n}";
    if engine != Engine::Wasmtime {
        // Another engine's block: what is wrong there is still wrong, if this build has that engine.
        if Engine::Wasmtime.is_listed() {
            nginx(engine, directives)
                .conf_test()
                .refuses()
                .blames("cache_config", "failed configuring wasmtime cache; ");
        }
        return;
    }
    let missing = nginx(engine, directives).conf_test();
    missing.refuses().blames("cache_config", "failed configuring wasmtime cache; failed to read \"");
    missing.says("cache.toml\" (2: No such file or directory)");
    for (text, reason) in [
        ("directory = 7", "\"directory\" outside of \"[cache]\" in line 1"),
        ("[cache]\ndirektory = '/a'", "unknown key \"direktory\" in line 2"),
        ("[cache]\n", "no \"directory\" in \"[cache]\""),
    ] {
        let test = nginx(engine, directives).file("cache.toml", text).conf_test();
        test.refuses().blames("cache_config", "failed configuring wasmtime cache; failed to parse \"").says(reason);
    }
    let twice = "wasmtime {\ncache_config cache.toml;\ncache_config again.toml;\n}";
    let test = nginx(engine, twice).file("cache.toml", "[cache]\nenabled = false").conf_test();
    test.refuses().blames("again.toml", "\"cache_config\" directive is duplicate");
}
