//! A log file that is still being written.

use std::path::{Path, PathBuf};

use crate::wait::{patience, soon};

/// A log of nginx, from a place in it on.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    from: usize,
}

impl Log {
    pub(crate) fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), from: 0 }
    }

    /// What is written from now on.
    #[must_use]
    pub fn from_here(&self) -> Self {
        Self { path: self.path.clone(), from: self.bytes().len() }
    }

    /// All of it, as it is now.
    pub fn text(&self) -> String {
        let bytes = self.bytes();
        String::from_utf8_lossy(bytes.get(self.from..).unwrap_or_default()).into_owned()
    }

    /// Its complete lines.
    pub fn lines(&self) -> Vec<String> {
        let text = self.text();
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        text[..complete].lines().map(str::to_owned).collect()
    }

    /// The lines that have `text` in them.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Waits for a line that has `text` in it, and gives it.
    #[track_caller]
    pub fn wait(&self, text: &str) -> String {
        self.wait_for(1, text).remove(0)
    }

    /// Waits until `count` lines have `text` in them, and gives them.
    #[track_caller]
    pub fn wait_for(&self, count: usize, text: &str) -> Vec<String> {
        let enough = || Some(self.lines_with(text)).filter(|lines| lines.len() >= count);
        soon(enough).unwrap_or_else(|| {
            panic!("waited {:?} in vain for {count} × {text:?} in {}", patience(), self.path.display())
        })
    }

    /// Asserts that a line with `text` is there now.
    #[track_caller]
    pub fn has(&self, text: &str) -> &Self {
        assert!(!self.lines_with(text).is_empty(), "no line has {text:?} in\n{}", self.text());
        self
    }

    /// Asserts that no line with `text` is there now.
    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        let lines = self.lines_with(text);
        assert!(lines.is_empty(), "{} has {text:?}:\n{}", self.path.display(), lines.join("\n"));
        self
    }

    /// Asserts that exactly `count` lines have `text` in them now.
    #[track_caller]
    pub fn has_times(&self, count: usize, text: &str) -> &Self {
        let lines = self.lines_with(text);
        assert_eq!(lines.len(), count, "{text:?} is there {} times, not {count}:\n{}", lines.len(), lines.join("\n"));
        self
    }

    /// Asserts that lines with these texts are there in this order, each after the one before.
    #[track_caller]
    pub fn in_order(&self, texts: &[&str]) -> &Self {
        let lines = self.lines();
        let mut rest = lines.iter();
        for text in texts {
            assert!(rest.any(|line| line.contains(text)), "no {text:?} in its place in\n{}", lines.join("\n"));
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap_or_default()
    }
}
