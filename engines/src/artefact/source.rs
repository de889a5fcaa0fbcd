//! Files, and who can have written them.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::{Unfit, is_artefact};

/// The bits of a mode that let others write: the group's and everybody's.
const OTHERS_WRITE: u32 = 0o022;

/// The bytes of a file, and what is to be said against running them as machine code.
pub struct Source {
    bytes: Vec<u8>,
    objection: Option<Unfit>,
}

impl Source {
    /// Reads a file, and asks of the same file whose it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let objection = if metadata.is_file() { objection(&metadata) } else { Some(Unfit::new("no regular file")) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self { bytes, objection })
    }

    /// What is in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is in the file, for those who do not run it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether it says of itself that it is an artefact.
    pub fn is_artefact(&self) -> bool {
        is_artefact(&self.bytes)
    }

    /// Whether nobody but root and the user of this process can have written it.
    ///
    /// # Errors
    /// Who can.
    pub fn vouched(&self) -> Result<(), Unfit> {
        self.objection.clone().map_or(Ok(()), Err)
    }
}

/// Who else can write what has this owner and this mode.
pub(super) fn objection(metadata: &Metadata) -> Option<Unfit> {
    // SAFETY: geteuid has no preconditions.
    let user = unsafe { libc::geteuid() };
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner != 0 && owner != user {
        return Some(Unfit::new(format!("it belongs to user {owner}, who is neither root nor user {user}")));
    }
    (mode & OTHERS_WRITE != 0).then(|| Unfit::new(format!("others may write it (its mode is {mode:04o})")))
}
