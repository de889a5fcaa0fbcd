//! What is compiled and what is loaded, over starts and reloads.

use std::os::unix::fs::PermissionsExt;
use std::{fs, thread};

use wasmx_t::{Engine, Nginx};

use crate::{COMPILED, Cache, IGNORING, LOADED, answer, keeps_nothing};

wasmx_t::on_every_engine![
    the_second_start_compiles_nothing,
    a_test_of_the_configuration_fills_the_cache,
    a_reload_takes_what_it_has_and_keeps_what_it_compiles,
    another_module_is_another_artefact,
    settings_that_change_the_code_are_other_artefacts,
    of_one_module_the_last_two_are_kept,
    text_and_binary_are_the_same_module,
    two_at_once_do_not_disturb_each_other,
    an_engine_without_a_compiled_form_says_so,
    without_a_cache_nothing_is_kept,
];

fn the_second_start_compiles_nothing(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    let first = cache.nginx(engine).start();
    first.get("/").status(201);
    first.log().has(COMPILED).lacks(LOADED);
    first.stop();
    let mode = fs::metadata(cache.artefact()).expect("the artefact").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let second = cache.nginx(engine).workers(2).start();
    second.get("/").status(201);
    second.log().has(LOADED).lacks(COMPILED).lacks(IGNORING);
    cache.artefact();
}

fn a_test_of_the_configuration_fills_the_cache(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    ng.log().has(LOADED).lacks(COMPILED);
}

fn a_reload_takes_what_it_has_and_keeps_what_it_compiles(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    let ng = cache.nginx(engine).start();
    let log = ng.log().from_here();
    ng.reload();
    log.has(r#"[wasm] reusing compiled "a" module"#).lacks(COMPILED).lacks(LOADED);
    ng.write("a.wat", answer(202));
    ng.reload();
    ng.get("/").status(202);
    log.has_times(1, COMPILED).lacks(LOADED);
    assert_eq!(cache.artefacts().len(), 2);
    // The first one again, which this master has let go of.
    let log = ng.log().from_here();
    ng.write("a.wat", answer(201));
    ng.reload();
    ng.get("/").status(201);
    log.has_times(1, LOADED).lacks(COMPILED);
}

fn another_module_is_another_artefact(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    let other = cache.nginx(engine).file("a.wat", answer(204)).start();
    other.get("/").status(204);
    other.log().has(COMPILED).lacks(LOADED);
    assert_eq!(cache.artefacts().len(), 2);
}

fn settings_that_change_the_code_are_other_artefacts(engine: Engine) {
    if engine != Engine::Wasmtime {
        return;
    }
    for settings in [
        "compiler winch;",
        "wasmtime { flag cranelift_opt_level none; }",
        "backtraces on;",
        "proxy_wasm_memory_limit 64m;",
    ] {
        let cache = Cache::new();
        cache.nginx(engine).conf_test().accepts();
        let first = cache.artefact();
        let ng = cache.nginx(engine).wasm_directive(settings).start();
        ng.get("/").status(201);
        ng.log().has(COMPILED).lacks(LOADED).lacks(IGNORING);
        assert_eq!(cache.artefacts().len(), 2, "{settings}");
        // One in the place of the other, by its name: each says what it is for.
        let second = cache.artefacts().into_iter().find(|it| *it != first).expect("the second");
        fs::copy(first, second).expect("a copy");
        let ng = cache.nginx(engine).wasm_directive(settings).start();
        ng.get("/").status(201);
        ng.log().has(": compiled ").has(IGNORING).has(COMPILED).lacks(LOADED);
    }
}

fn of_one_module_the_last_two_are_kept(engine: Engine) {
    if engine != Engine::Wasmtime {
        return;
    }
    let cache = Cache::new();
    let with = |level| cache.nginx(engine).wasm_directive(format!("wasmtime {{ flag cranelift_opt_level {level}; }}"));
    with("none").conf_test().accepts();
    let first = cache.artefact();
    with("speed").conf_test().accepts();
    assert_eq!(cache.artefacts().len(), 2);
    // It is of use again, and so the other one is the old one.
    with("none").conf_test().accepts();
    with("speed_and_size").conf_test().accepts();
    let artefacts = cache.artefacts();
    assert!(artefacts.len() == 2 && artefacts.contains(&first), "{artefacts:?}");
}

fn text_and_binary_are_the_same_module(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    let commented = cache.nginx(engine).file("a.wat", format!(";; the same\n{}", answer(201))).start();
    commented.get("/").status(201);
    commented.log().has(LOADED).lacks(COMPILED);
}

fn two_at_once_do_not_disturb_each_other(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    for _ in 0..3 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let ng = cache.nginx(engine).start();
                    ng.get("/").status(201);
                    ng.log().lacks(IGNORING).lacks("[warn]");
                });
            }
        });
        cache.artefact();
    }
}

fn an_engine_without_a_compiled_form_says_so(engine: Engine) {
    if !keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    ng.log().has(&format!("[wasm] nothing is cached for {engine}: it has no compiled form of modules"));
    ng.log().has(COMPILED);
    assert!(cache.artefacts().is_empty());
}

fn without_a_cache_nothing_is_kept(engine: Engine) {
    let ng = Nginx::new(engine).wat("a", answer(201)).location("/", "proxy_wasm a;").start();
    ng.get("/").status(201);
    ng.log().has(COMPILED).lacks("cache");
}
