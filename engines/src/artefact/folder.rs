//! A folder of artefacts that were compiled here before.
//!
//! A file is named `ENGINE-MODULE-KEY.wasmx`, the last two being digests. It is written beside its place and moved there
//! when it is whole, so that several processes may use one folder, and none ever reads half a file. What has not been of
//! use for longest goes: all but [`KEPT`] of one module and engine (other versions, other flags), and all but
//! [`KEPT_IN_ALL`] of the folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use super::{Digest, Key, Source, Unfit, format::hex, source::objection};

/// Artefacts of one module by one engine: that of now, and the one before, to which one may want to go back.
const KEPT: usize = 2;
/// Artefacts of the folder. Ten times the modules of a big configuration.
const KEPT_IN_ALL: usize = 1000;
/// What is being written has another name than what was.
const SUFFIX: &str = ".wasmx";
const UNFINISHED: &str = ".wasmx-new";
/// A file that is unfinished for this long stays so: who wrote it was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of artefacts.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// Why there is no such folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderError {
    /// The path is wrong.
    Mistake(Unfit),
    /// The path may be right, and what is there cannot be used.
    Unusable(Unfit),
}

impl Folder {
    /// Opens a folder, and makes it when only it is missing.
    ///
    /// # Errors
    /// When there is none, or when others may write to it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(path).and_then(|()| fs::metadata(path)).map_err(wrong)?
            }
            found => found.map_err(wrong)?,
        };
        if !metadata.is_dir() {
            return Err(FolderError::Mistake(Unfit::new("it is no folder")));
        }
        match objection(&metadata) {
            Some(objection) => Err(FolderError::Unusable(objection)),
            None => Ok(Self(path.to_owned())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the artefact of a module is, or would be.
    pub fn place(&self, key: &Key, module: &Digest) -> PathBuf {
        self.0.join(format!("{}{}{SUFFIX}", stem(key, module), short(&key.digest())))
    }

    /// The artefact of a module; `None` when there is none.
    pub fn find(&self, key: &Key, module: &Digest) -> Option<Result<Source, Unfit>> {
        match Source::read(&self.place(key, module)) {
            Ok(source) => Some(Ok(source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Remembers that the artefact was of use now. It is no harm when that fails.
    pub fn touch(&self, key: &Key, module: &Digest) {
        let touched = File::open(self.place(key, module)).and_then(|file| file.set_modified(SystemTime::now()));
        drop(touched);
    }

    /// Keeps an artefact, in the place of what was there, and lets go of what is old.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed.
    pub fn store(&self, key: &Key, module: &Digest, artefact: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = self.place(key, module);
        let unfinished = self.0.join(format!(".{}-{number}{UNFINISHED}", process::id()));
        let written = write(&unfinished, artefact).and_then(|()| fs::rename(&unfinished, &place));
        match written {
            Ok(()) => self.prune(&place, &stem(key, module)),
            Err(_) => drop(fs::remove_file(&unfinished)),
        }
        written
    }

    /// What cannot be removed is left: another process may have done so.
    fn prune(&self, newest: &Path, stem: &str) {
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        let mut artefacts = Vec::new();
        for entry in entries.flatten() {
            let Some(used) = entry.metadata().ok().filter(fs::Metadata::is_file).and_then(|it| it.modified().ok())
            else {
                continue;
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(SUFFIX) && entry.path() != newest {
                artefacts.push((used, name));
            } else if name.ends_with(UNFINISHED) && used.elapsed().is_ok_and(|age| age > ABANDONED) {
                drop(fs::remove_file(entry.path()));
            }
        }
        for name in superfluous(artefacts, stem, KEPT - 1, KEPT_IN_ALL - 1) {
            drop(fs::remove_file(self.0.join(name)));
        }
    }
}

/// Only a missing parent, or one that is no folder, is a wrong path.
fn wrong(error: io::Error) -> FolderError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FolderError::Mistake(error.into()),
        _ => FolderError::Unusable(error.into()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What the artefacts of a module by an engine have in common.
fn stem(key: &Key, module: &Digest) -> String {
    format!("{}-{}-", key.engine, short(module))
}

fn short(digest: &Digest) -> String {
    hex(&digest[..16])
}

/// Of artefacts, by when they were last of use: those that go so that `kept` of the stem and `kept_in_all` stay.
fn superfluous(mut all: Vec<(SystemTime, String)>, stem: &str, kept: usize, kept_in_all: usize) -> Vec<String> {
    all.sort_unstable_by(|a, b| b.cmp(a));
    let (mut of_stem, mut in_all) = (0, 0);
    all.retain(|(_, name)| {
        let own = name.starts_with(stem);
        let stays = (!own || of_stem < kept) && in_all < kept_in_all;
        of_stem += usize::from(own && stays);
        in_all += usize::from(stays);
        !stays
    });
    all.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_of_use_longest_ago_goes() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let all = || vec![(at(1), "a-1".into()), (at(3), "a-2".into()), (at(2), "a-3".into()), (at(0), "b-1".into())];
        assert_eq!(superfluous(all(), "a-", 1, 10), ["a-3", "a-1"]);
        assert_eq!(superfluous(all(), "a-", 3, 10), Vec::<String>::new());
        assert_eq!(superfluous(all(), "a-", 3, 2), ["a-1", "b-1"]);
        assert_eq!(superfluous(all(), "c-", 0, 3), ["b-1"]);
    }
}
