//! Artefacts that are not what was written: each is told, ignored, and replaced.

use std::fs;

use wasmx_t::Engine;

use crate::{COMPILED, Cache, IGNORING, LOADED, keeps_nothing};

wasmx_t::on_every_engine![
    a_flipped_byte_anywhere,
    cut_off_anywhere,
    more_than_there_was,
    something_else,
    the_artefact_of_another_module,
    a_folder_in_its_place,
];

/// What becomes of nginx's start when `spoil` has changed the artefact, once for each.
fn each(engine: Engine, spoils: impl Iterator<Item = (usize, &'static str)>, spoil: impl Fn(&mut Vec<u8>, usize)) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    let path = cache.artefact();
    let good = fs::read(&path).expect("the artefact");
    for (at, reason) in spoils {
        let at = at.min(good.len() - 1);
        let mut bad = good.clone();
        spoil(&mut bad, at);
        fs::write(&path, &bad).expect("the artefact");
        let test = cache.nginx(engine).conf_test();
        test.accepts();
        let line = format!("{IGNORING}\"{}\": {reason}", path.display());
        assert!(test.log().contains(&line), "{at}: {line}\n{test}");
        assert!(test.log().contains(COMPILED) && !test.log().contains(LOADED), "{at}\n{test}");
        assert_eq!(fs::read(&path).expect("the artefact").len(), good.len(), "{at}: it was written anew");
    }
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    ng.log().has(LOADED).lacks(IGNORING);
}

fn a_flipped_byte_anywhere(engine: Engine) {
    let header = (0..56).chain((56..600).step_by(43));
    let body = [1000, 3000, 5000, usize::MAX];
    each(engine, header.chain(body).map(|at| (at, "")), |bytes, at| bytes[at] ^= 1 << (at % 8));
}

fn cut_off_anywhere(engine: Engine) {
    let cuts = [(0, "no artefact"), (7, "no artefact")].into_iter();
    let more = [8, 23, 24, 55, 56, 57, 200, 1000, usize::MAX].map(|at| (at, "the artefact is cut off"));
    each(engine, cuts.chain(more), Vec::truncate);
}

fn more_than_there_was(engine: Engine) {
    each(engine, [(1, "the artefact has more than it says")].into_iter(), |bytes, more| bytes.extend(vec![0; more]));
}

fn something_else(engine: Engine) {
    each(engine, [(0, "no artefact")].into_iter(), |bytes, _| *bytes = b"\0asm\x01\0\0\0".to_vec());
}

fn the_artefact_of_another_module(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    let first = cache.artefact();
    cache.nginx(engine).file("a.wat", crate::answer(202)).conf_test().accepts();
    let second = cache.artefacts().into_iter().find(|it| *it != first).expect("the second");
    fs::copy(second, first).expect("a copy");
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    ng.log().has("compiled from another module").has(IGNORING).has(COMPILED);
}

fn a_folder_in_its_place(engine: Engine) {
    if keeps_nothing(engine) {
        return;
    }
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    let path = cache.artefact();
    fs::remove_file(&path).expect("the artefact");
    fs::create_dir(&path).expect("a folder");
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    ng.log().has(IGNORING).has(COMPILED).has_times(1, "[wasm] cannot write to cache folder ");
}
