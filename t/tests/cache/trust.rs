//! Whose artefacts are run: those that nobody but root and nginx's own user can have written.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use wasmx_t::Engine;

use crate::{COMPILED, Cache, IGNORING, LOADED, chmod, keeps_nothing};

wasmx_t::on_every_engine![
    a_file_of_another_user_is_ignored,
    a_file_that_others_may_write_is_ignored,
    a_folder_of_another_user_is_not_used,
    a_folder_that_others_may_write_is_not_used,
    a_link_to_what_another_user_wrote_is_ignored,
];

/// The user "nobody".
const NOBODY: u32 = 65534;

/// Only root can give files away.
fn can_give_away(path: &Path) -> bool {
    let can = fs::metadata("/proc/self").expect("this process").uid() == 0;
    if can {
        chown(path, Some(NOBODY), None).expect("chown");
    } else {
        eprintln!("SKIPPED {}: not root", path.display());
    }
    can
}

/// A cache with an artefact in it; `None` for engines that keep nothing.
fn filled(engine: Engine) -> Option<Cache> {
    let cache = Cache::new();
    cache.nginx(engine).conf_test().accepts();
    Some(cache).filter(|_| !keeps_nothing(engine))
}

fn is_ignored(cache: &Cache, engine: Engine, reason: &str) {
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    ng.log().has(&format!("{IGNORING}\"{}\": {reason}", cache.artefact().display())).has(COMPILED).lacks(LOADED);
    ng.stop();
    // There is one that nginx trusts in its place.
    let ng = cache.nginx(engine).start();
    ng.log().has(LOADED).lacks(COMPILED);
}

fn a_file_of_another_user_is_ignored(engine: Engine) {
    let Some(cache) = filled(engine) else { return };
    if can_give_away(&cache.artefact()) {
        is_ignored(&cache, engine, "it belongs to user 65534, who is neither root nor user 0");
    }
}

fn a_file_that_others_may_write_is_ignored(engine: Engine) {
    let Some(cache) = filled(engine) else { return };
    for mode in [0o602, 0o620, 0o666] {
        chmod(&cache.artefact(), mode);
        is_ignored(&cache, engine, &format!("others may write it (its mode is {mode:04o})"));
    }
}

fn a_link_to_what_another_user_wrote_is_ignored(engine: Engine) {
    let Some(cache) = filled(engine) else { return };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (artefact, copy) = (cache.artefact(), elsewhere.path().join("copy"));
    fs::copy(&artefact, &copy).expect("a copy");
    if can_give_away(&copy) {
        fs::remove_file(&artefact).expect("the artefact");
        symlink(&copy, &artefact).expect("a link");
        is_ignored(&cache, engine, "it belongs to user 65534");
        assert!(!artefact.is_symlink(), "the link was replaced, not what it leads to");
        assert_eq!(fs::metadata(copy).expect("the copy").uid(), NOBODY);
    }
}

fn is_not_used(cache: &Cache, engine: Engine, reason: &str) {
    let before = cache.artefacts();
    let ng = cache.nginx(engine).start();
    ng.get("/").status(201);
    let line = format!("[wasm] not using cache folder \"{}\": {reason}", cache.path().display());
    ng.log().has_times(1, &line).has(COMPILED).lacks(LOADED);
    assert_eq!(cache.artefacts(), before);
}

fn a_folder_of_another_user_is_not_used(engine: Engine) {
    let Some(cache) = filled(engine) else { return };
    if can_give_away(cache.path()) {
        is_not_used(&cache, engine, "it belongs to user 65534");
    }
}

fn a_folder_that_others_may_write_is_not_used(engine: Engine) {
    let Some(cache) = filled(engine) else { return };
    for mode in [0o770, 0o702, 0o1777] {
        chmod(cache.path(), mode);
        is_not_used(&cache, engine, &format!("others may write it (its mode is {mode:04o})"));
    }
    chmod(cache.path(), 0o755);
    cache.nginx(engine).start().log().has(LOADED);
}
