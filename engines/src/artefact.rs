//! Compiled modules as files: what they look like, whose they have to be, and where they are kept.
//!
//! An artefact is machine code, and running it is as trusting as loading a shared object. Three things are asked of one:
//! nobody but root and the user of this process can have written it ([`Source`]); it was made by this engine, in this
//! version and with these settings, for a CPU that has no more than this one ([`Key`]); and it is as it was written (a
//! digest, which finds accidents, and is no help against somebody who may write the file).

mod folder;
mod format;
mod key;
mod source;

use std::{fmt, io, sync::Arc};

pub use folder::{Folder, FolderError};
pub use format::{Artefact, is_artefact};
pub use key::Key;
pub use source::Source;

use crate::{Config, WasmEngine, trap::one_line};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Why an artefact is not run. Its text ends a line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(String);

impl Unfit {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// An engine, and what artefacts have to match to be run by it.
pub struct Keyed<E> {
    engine: Arc<E>,
    key: Option<Key>,
}

impl<E: WasmEngine> Keyed<E> {
    /// # Errors
    /// When the engine refuses the configuration.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self { engine: Arc::new(E::new(config)?), key: Key::of::<E>(config) })
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    /// `None` when nothing is gained by artefacts of this engine.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The artefact of a module that this engine has compiled from bytes with that digest.
    ///
    /// # Errors
    /// When the engine makes none.
    pub fn pack(&self, module: &E::Module, digest: &Digest) -> anyhow::Result<Vec<u8>> {
        let key = self.key.as_ref().ok_or_else(no_artefacts::<E>)?;
        Ok(format::pack(key, digest, &self.engine.serialize(module)?))
    }

    /// The module in an artefact; `digest` is that of the bytes that it has to be compiled from, if that matters.
    ///
    /// # Errors
    /// When it is not to be run here.
    pub fn load(&self, source: &Source, digest: Option<&Digest>) -> Result<E::Module, Unfit> {
        source.vouched()?;
        let artefact = Artefact::read(source.bytes())?;
        let here = self.key.as_ref().ok_or_else(no_artefacts::<E>)?;
        artefact.key.check(here)?;
        if digest.is_some_and(|digest| *digest != artefact.module) {
            return Err(Unfit::new("compiled from another module"));
        }
        // SAFETY: the key says that `serialize` of this engine in this version, with these settings, has written it, the
        // digest that it is as it was then, and its owner that it is no one's forgery who could not replace this process.
        let module = unsafe { self.engine.deserialize(artefact.code) };
        module.map_err(|error| Unfit(one_line(format!("{error:#}"))))
    }
}

fn no_artefacts<E: WasmEngine>() -> Unfit {
    Unfit(format!("{} runs modules only as they are, it has no compiled form of them", E::NAME))
}
