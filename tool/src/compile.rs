//! `wasmx compile`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process;
use std::time::Instant;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use wasmx_host::text;

use crate::args::Compile;
use crate::{engine, inspect::human};

/// Compiles a file, and says what became of it.
///
/// # Errors
/// When that cannot be done; then nothing was written.
pub fn run(options: &Compile) -> anyhow::Result<String> {
    let engine = engine::find(&options.engine)?;
    engine.check(&options.config)?;
    let input = &options.input;
    let bytes = fs::read(input).with_context(|| input.display().to_string())?;
    // The words of nginx.conf, so that both take the same files.
    let wasm = if text::is_text(input) {
        let parsed = text::parse(input, &bytes, options.config.backtraces).map_err(anyhow::Error::msg);
        parsed.with_context(|| input.display().to_string())?
    } else {
        bytes.into()
    };
    let begun = Instant::now();
    let artefact = (engine.compile)(&options.config, &wasm, &Sha256::digest(&wasm).into())
        .with_context(|| input.display().to_string())?;
    let took = begun.elapsed().as_millis();
    write(&options.output, &artefact).with_context(|| options.output.display().to_string())?;
    let (output, size) = (options.output.display(), human::size(artefact.len() as u64));
    let version = (engine.key)(&options.config).map(|key| key.version).unwrap_or_default();
    Ok(format!("{output}: {size}, for {} {version}, in {took} ms", engine.name))
}

/// Beside its place, and then there: an nginx may read it. Whatever the umask, only its owner may change it: nginx would
/// refuse it otherwise.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&unfinished);
    let written = file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    });
    if written.is_err() {
        drop(fs::remove_file(&unfinished));
    }
    written
}
