//! Artefacts that `nginx -t` refuses, and why.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use wasmx_t::{Engine, guest};

use crate::{Folder, compiles, nginx, retouched};

wasmx_t::on_every_engine![
    one_for_another_engine,
    other_settings,
    each_part_of_the_header,
    a_flipped_byte_anywhere,
    cut_off_anywhere,
    what_its_engine_does_not_take,
    a_file_that_others_may_write,
    a_file_of_another_user,
];

#[track_caller]
fn is_refused(engine: Engine, file: &str, directives: &str, reason: &str) {
    let test = nginx(engine, file).wasm_directive(directives).conf_test();
    test.refuses().blames("module a", &format!("[wasm] failed loading \"a\" module bytes: {reason}"));
}

/// An artefact for wasmtime, if that is the engine of the test.
fn artefact(engine: Engine, folder: &Folder) -> Option<(String, Vec<u8>)> {
    if engine != Engine::Wasmtime {
        return None;
    }
    let path = folder.compiled(&guest("empty"), &[]);
    let bytes = fs::read(&path).expect("the artefact");
    Some((path, bytes))
}

fn one_for_another_engine(engine: Engine) {
    if engine == Engine::Wasmtime || !compiles() {
        return;
    }
    let folder = Folder::new();
    let path = folder.compiled(&guest("empty"), &[]);
    let text = match engine {
        Engine::Wasmi => format!("{engine} runs modules only as they are, it has no compiled form of them"),
        _ => format!("compiled for engine \"wasmtime\", here it is \"{engine}\""),
    };
    is_refused(engine, &path, "", &text);
    is_refused(Engine::Wasmtime, &format!("{path} engine={engine}"), "", &text);
}

fn other_settings(engine: Engine) {
    let folder = Folder::new();
    let Some((path, _)) = artefact(engine, &folder) else { return };
    for (directives, reason) in [
        ("compiler winch;", "compiled with compiler \"cranelift\", here it is \"winch\""),
        (
            "wasmtime { flag cranelift_opt_level none; }",
            "compiled with flags \"none\", here it is \"cranelift_opt_level=none\"",
        ),
        ("backtraces on;", "compiled with backtraces \"off\", here it is \"on\""),
        ("proxy_wasm_memory_limit 64m;", "compiled for a memory limit of \"134217728\", here it is \"67108864\""),
    ] {
        is_refused(engine, &path, directives, reason);
    }
    let flagged = folder.compiled(&guest("empty"), &["--flag", "wasm_simd=on"]);
    is_refused(engine, &flagged, "", "compiled with flags \"wasm_simd=on\", here it is \"none\"");
}

fn each_part_of_the_header(engine: Engine) {
    let folder = Folder::new();
    let Some((_, good)) = artefact(engine, &folder) else { return };
    for (from, to, reason) in [
        ("engine=wasmtime", "engine=wasmer", "compiled for engine \"wasmer\", here it is \"wasmtime\""),
        ("version=", "version=1", "compiled by version \"1"),
        ("host=", "host=9", "compiled by WasmX \"9"),
        ("target=", "target=risc-", "compiled for \"risc-"),
        ("compiler=cranelift", "compiler=winch", "compiled with compiler \"winch\", here it is \"cranelift\""),
        ("pool=true", "pool=false", "compiled for a pool of instances \"off\""),
        ("\ncpu=", "\ncpu=amx,", "compiled for a CPU with amx, which this one lacks"),
        ("pool=true\n", "", "the artefact has a header that nobody writes"),
        ("module=", "module=g", "the artefact has a header that nobody writes"),
    ] {
        let path = folder.file("retouched", retouched(&good, from, to));
        is_refused(engine, &path, "", reason);
    }
    let mut other = good;
    other[8] = 7;
    is_refused(engine, &folder.file("format", other), "", "an artefact of format 7, here it is 1");
}

fn a_flipped_byte_anywhere(engine: Engine) {
    let folder = Folder::new();
    let Some((path, good)) = artefact(engine, &folder) else { return };
    for at in (0..56).step_by(3).chain((56..600).step_by(61)).chain([10_000, 100_000, good.len() - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, bad).expect("the artefact");
        is_refused(engine, &path, "", "");
    }
}

fn cut_off_anywhere(engine: Engine) {
    let folder = Folder::new();
    let Some((path, good)) = artefact(engine, &folder) else { return };
    for length in [8, 12, 24, 55, 56, 300, 1000, good.len() - 1] {
        fs::write(&path, &good[..length]).expect("the artefact");
        is_refused(engine, &path, "", "the artefact is cut off");
    }
}

/// All that we check is right, and the engine's own part is not.
fn what_its_engine_does_not_take(engine: Engine) {
    let folder = Folder::new();
    let Some((_, good)) = artefact(engine, &folder) else { return };
    let header = u32::from_le_bytes(good[12..16].try_into().expect("four bytes")) as usize;
    let mut bad = good;
    // The end of the engine's own header, so to say: nothing of an ELF file is left.
    bad[56 + header..56 + header + 64].fill(b'x');
    let path = folder.file("engine", retouched(&bad, "", ""));
    is_refused(engine, &path, "", "");
}

fn a_file_that_others_may_write(engine: Engine) {
    let folder = Folder::new();
    let Some((path, _)) = artefact(engine, &folder) else { return };
    for mode in [0o664, 0o646] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        is_refused(engine, &path, "", &format!("others may write it (its mode is {mode:04o})"));
    }
}

fn a_file_of_another_user(engine: Engine) {
    let folder = Folder::new();
    let Some((path, _)) = artefact(engine, &folder) else { return };
    if fs::metadata("/proc/self").expect("this process").uid() != 0 {
        eprintln!("SKIPPED: not root");
        return;
    }
    chown(&path, Some(65534), None).expect("chown");
    is_refused(engine, &path, "", "it belongs to user 65534, who is neither root nor user 0");
}
