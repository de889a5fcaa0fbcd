//! Artefacts in files: packed, kept in a folder, and loaded by those they are for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use engines::artefact::{Folder, FolderError, Key, Keyed, Source};
use engines::{Config, WasmEngine};

use crate::host::{WIRING, bytes, config, otherwise};

on_every_engine!(
    what_is_kept_is_found_and_runs,
    an_engine_with_other_settings_refuses_it,
    what_others_may_write_is_not_run,
    an_engine_without_artefacts_makes_none,
);

const ANSWER: &str = r#"(module (memory (export "memory") 1) (data (i32.const 0) "*")
    (func (export "f") (result i32) (i32.load8_u (i32.const 0))))"#;
const DIGEST: [u8; 32] = [9; 32];

/// A folder of this test's own, which goes when it ends.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().replace("::", "-");
        Self(std::env::temp_dir().join(format!("wasmx-{}-{name}", std::process::id())))
    }

    fn open(&self) -> Folder {
        Folder::open(&self.0).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The engine, its key, and the artefact of a module that it has compiled; `None` when it makes none.
fn packed<E: WasmEngine>() -> Option<(Keyed<E>, Key, Vec<u8>)> {
    let engine = Keyed::<E>::new(&config()).unwrap();
    if otherwise::<E>(&["wasmi"], "keeps nothing") {
        return None;
    }
    let key = engine.key().unwrap().clone();
    let module = engine.engine().compile(&bytes(ANSWER)).unwrap();
    let artefact = engine.pack(&module, &DIGEST).unwrap();
    Some((engine, key, artefact))
}

fn what_is_kept_is_found_and_runs<E: WasmEngine>() {
    let Some((_, key, artefact)) = packed::<E>() else { return };
    let place = Place::new();
    let folder = place.open();
    assert!(folder.find(&key, &DIGEST).is_none());
    folder.store(&key, &DIGEST, &artefact).unwrap();
    folder.store(&key, &DIGEST, &artefact).unwrap();
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1);
    let source = folder.find(&key, &DIGEST).unwrap().unwrap();
    let engine = Keyed::<E>::new(&config()).unwrap();
    let module = engine.load(&source, Some(&DIGEST)).unwrap();
    let plan = engine.engine().plan(&engine.engine().linker::<crate::host::Host>(), &module, WIRING).unwrap();
    let instance = engine.engine().instantiate(&plan, Default::default(), None).unwrap();
    let answer: u32 = crate::host::Running::<E> { instance, plan: &plan }.call("f", ()).unwrap();
    assert_eq!(answer, 42);
    let other = engine.load(&source, Some(&[8; 32])).err().unwrap().to_string();
    assert_eq!(other, "compiled from another module");
}

fn an_engine_with_other_settings_refuses_it<E: WasmEngine>() {
    let Some((_, key, artefact)) = packed::<E>() else { return };
    let place = Place::new();
    place.open().store(&key, &DIGEST, &artefact).unwrap();
    let source = place.open().find(&key, &DIGEST).unwrap().unwrap();
    let mut others = vec![
        Config { memory_limit: config().memory_limit / 2, ..config() },
        Config { backtraces: !config().backtraces, ..config() },
    ];
    others.extend(E::COMPILERS.iter().skip(1).map(|it| Config { compiler: (*it).to_owned(), ..config() }));
    for config in others {
        let other = Keyed::<E>::new(&config).unwrap();
        assert!(other.load(&source, None).is_err(), "{config:?}");
        assert!(place.open().find(other.key().unwrap(), &DIGEST).is_none(), "{config:?}");
    }
}

fn what_others_may_write_is_not_run<E: WasmEngine>() {
    let Some((engine, key, artefact)) = packed::<E>() else { return };
    let place = Place::new();
    let folder = place.open();
    folder.store(&key, &DIGEST, &artefact).unwrap();
    let path = folder.place(&key, &DIGEST);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o606)).unwrap();
    let refused = engine.load(&Source::read(&path).unwrap(), None).err().unwrap().to_string();
    assert_eq!(refused, "others may write it (its mode is 0606)");
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o707)).unwrap();
    assert!(matches!(Folder::open(&place.0), Err(FolderError::Unusable(_))));
    assert!(matches!(Folder::open(&path), Err(FolderError::Mistake(_))), "a file");
    assert!(matches!(Folder::open(&place.0.join("not/there")), Err(FolderError::Mistake(_))));
}

fn an_engine_without_artefacts_makes_none<E: WasmEngine>() {
    let engine = Keyed::<E>::new(&config()).unwrap();
    let makes_some = !otherwise::<E>(&["wasmi"], "makes none");
    assert_eq!(engine.key().is_some(), makes_some);
    let module = engine.engine().compile(&bytes(ANSWER)).unwrap();
    assert_eq!(engine.pack(&module, &DIGEST).is_ok(), makes_some);
    assert_eq!(E::ARTEFACTS, makes_some);
}
