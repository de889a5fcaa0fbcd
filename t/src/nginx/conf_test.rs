//! `nginx -t`.

use crate::log::Log;
use crate::nginx::{Nginx, process, write};

/// What `nginx -t` said of a configuration.
#[derive(Debug)]
pub struct ConfTest {
    config: String,
    good: bool,
    status: String,
    stderr: String,
    log: String,
}

impl ConfTest {
    #[track_caller]
    pub(super) fn run(nginx: &Nginx) -> Self {
        let prefix = nginx.dir.path();
        let config = nginx.text();
        write(&prefix.join("nginx.conf"), config.as_bytes());
        let mut command = process::command(prefix, &nginx.listeners, &nginx.env, &nginx.under);
        let status = command.arg("-t").status().unwrap_or_else(|error| panic!("nginx -t: {error}"));
        let stderr = Log::new(prefix.join("logs/stderr")).text();
        let log = Log::new(prefix.join("logs/error.log")).text();
        let test = Self { config, good: status.success(), status: status.to_string(), stderr, log };
        assert!(status.code().is_some(), "nginx -t did not end by itself\n{test}");
        assert!(!test.stderr.contains("panicked at") || nginx.allows(&test.stderr), "a panic\n{test}");
        test
    }

    /// Asserts that the configuration is accepted.
    #[track_caller]
    pub fn accepts(&self) -> &Self {
        assert!(self.good, "nginx -t should accept this\n{self}");
        self
    }

    /// Asserts that the configuration is refused.
    #[track_caller]
    pub fn refuses(&self) -> &Self {
        assert!(!self.good, "nginx -t should refuse this\n{self}");
        self
    }

    /// Asserts that it said `text` on the terminal.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "nginx -t should say {text:?}\n{self}");
        self
    }

    /// Asserts that it did not say `text` on the terminal.
    #[track_caller]
    pub fn does_not_say(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text), "nginx -t should not say {text:?}\n{self}");
        self
    }

    /// Asserts an `[emerg]` line with `text` that names the configuration file and the line where `at` stands.
    #[track_caller]
    pub fn blames(&self, at: &str, text: &str) -> &Self {
        let number = self.config.lines().position(|line| line.contains(at)).map(|index| index + 1);
        let number = number.unwrap_or_else(|| panic!("{at:?} is not in the configuration\n{self}"));
        let place = format!("/nginx.conf:{number}");
        let found = self
            .stderr
            .lines()
            .any(|line| line.contains("[emerg]") && line.contains(text) && line.trim_end().ends_with(&place));
        assert!(found, "nginx -t should say {text:?} in {place} at [emerg]\n{self}");
        self
    }

    /// Asserts an `[emerg]` line with `text` that names the configuration file and some line of it.
    #[track_caller]
    pub fn complains(&self, text: &str) -> &Self {
        let found = |line: &str| line.contains("[emerg]") && line.contains(text) && line.contains("/nginx.conf:");
        assert!(self.stderr.lines().any(found), "nginx -t should say {text:?}, with a line, at [emerg]\n{self}");
        self
    }

    /// How many `[emerg]` lines there are.
    pub fn complaints(&self) -> usize {
        self.stderr.lines().filter(|line| line.contains("[emerg]")).count()
    }

    /// What it wrote to the terminal.
    pub fn text(&self) -> &str {
        &self.stderr
    }

    /// What it wrote to the error log.
    pub fn log(&self) -> &str {
        &self.log
    }
}

impl std::fmt::Display for ConfTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbered: Vec<_> =
            self.config.lines().enumerate().map(|(index, line)| format!("{:3} {line}", index + 1)).collect();
        let config = numbered.join("\n");
        write!(f, "--- nginx.conf\n{config}\n--- nginx -t: {}\n{}--- error.log\n{}", self.status, self.stderr, self.log)
    }
}
