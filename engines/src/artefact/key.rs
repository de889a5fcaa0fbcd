//! What decides which code comes out of a compiler, and where it can run.

use sha2::{Digest as _, Sha256};

use super::Unfit;
use crate::{Config, WasmEngine};

/// What an artefact was made by, with what settings, and for which machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The engine's name.
    pub engine: String,
    /// Its version, and a fingerprint of those of all its parts.
    pub version: String,
    /// Our own version: we change modules before they are compiled, and tell engines how.
    pub host: String,
    /// Architecture and system.
    pub target: String,
    /// The compiler by its name, also where the configuration leaves the choice to the engine.
    pub compiler: String,
    /// `NAME=VALUE`, in the order of the configuration.
    pub flags: Vec<String>,
    /// In bytes. Checks in the code may depend on it.
    pub memory_limit: u64,
    /// Whether instances come from a pool, which has its own layout of memory.
    pub pool: bool,
    /// Whether frames are known at a trap.
    pub backtraces: bool,
    /// The features of the CPU that the compiler could use.
    pub cpu: Vec<String>,
}

impl Key {
    /// That of what an engine made from this configuration compiles here; `None` for an engine without artefacts.
    pub fn of<E: WasmEngine>(config: &Config) -> Option<Self> {
        let version = version(E::NAME).filter(|_| E::ARTEFACTS)?;
        let automatic = E::COMPILERS.first().copied().filter(|_| config.compiler == "auto");
        Some(Self {
            engine: E::NAME.to_owned(),
            version: version.to_owned(),
            host: env!("CARGO_PKG_VERSION").to_owned(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            compiler: automatic.unwrap_or(&config.compiler).to_owned(),
            flags: config.flags.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            memory_limit: config.memory_limit,
            pool: config.instances > 0,
            backtraces: config.backtraces,
            cpu: cpu_features().into_iter().map(str::to_owned).collect(),
        })
    }

    /// Whether what has this key may run where `here` is the key.
    ///
    /// # Errors
    /// The first thing that is not as it has to be.
    pub fn check(&self, here: &Self) -> Result<(), Unfit> {
        let flags = |key: &Self| if key.flags.is_empty() { "none".to_owned() } else { key.flags.join(", ") };
        let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
        let rows = [
            ("for engine", self.engine.clone(), here.engine.clone()),
            ("by version", self.version.clone(), here.version.clone()),
            ("by WasmX", self.host.clone(), here.host.clone()),
            ("for", self.target.clone(), here.target.clone()),
            ("with compiler", self.compiler.clone(), here.compiler.clone()),
            ("with flags", flags(self), flags(here)),
            ("for a memory limit of", self.memory_limit.to_string(), here.memory_limit.to_string()),
            ("for a pool of instances", switch(self.pool), switch(here.pool)),
            ("with backtraces", switch(self.backtraces), switch(here.backtraces)),
        ];
        for (what, theirs, ours) in rows {
            if theirs != ours {
                return Err(Unfit::new(format!("compiled {what} \"{theirs}\", here it is \"{ours}\"")));
            }
        }
        let lacking: Vec<_> = self.cpu.iter().filter(|it| !here.cpu.contains(it)).map(String::as_str).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(Unfit::new(format!("compiled for a CPU with {}, which this one lacks", lacking.join(", "))))
    }

    /// As lines of an artefact's header.
    pub(super) fn text(&self) -> String {
        let Self { engine, version, host, target, compiler, memory_limit, pool, backtraces, .. } = self;
        let mut text = format!(
            "engine={engine}\nversion={version}\nhost={host}\ntarget={target}\ncompiler={compiler}\n\
             memory_limit={memory_limit}\npool={pool}\nbacktraces={backtraces}\ncpu={}\n",
            self.cpu.join(",")
        );
        self.flags.iter().for_each(|flag| text.extend(["flag=", flag, "\n"]));
        text
    }

    /// What [`Key::text`] has written, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let mut key = Self {
            engine: value("engine")?,
            version: value("version")?,
            host: value("host")?,
            target: value("target")?,
            compiler: value("compiler")?,
            memory_limit: value("memory_limit")?.parse().ok()?,
            pool: value("pool")?.parse().ok()?,
            backtraces: value("backtraces")?.parse().ok()?,
            cpu: value("cpu")?.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
            flags: Vec::new(),
        };
        for line in lines {
            key.flags.push(line.strip_prefix("flag=")?.to_owned());
        }
        (key.text() == text).then_some(key)
    }

    /// Names the key in a file's name.
    pub(super) fn digest(&self) -> super::Digest {
        Sha256::digest(self.text()).into()
    }
}

/// The version of an engine that is compiled in.
pub(crate) fn version(engine: &str) -> Option<&'static str> {
    let all = env!("WASMX_ENGINE_VERSIONS").split(' ');
    all.filter_map(|it| it.split_once('=')).find_map(|(name, version)| (name == engine).then_some(version))
}

/// Those that any of the compilers looks for.
fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! look {
        ($is_detected:ident: $($name:tt)*) => { $( if std::arch::$is_detected!($name) { found.push($name); } )* };
    }
    #[cfg(target_arch = "x86_64")]
    look!(is_x86_feature_detected: "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
        "cmpxchg16b" "avx512f" "avx512dq" "avx512vl" "avx512bitalg" "avx512vbmi");
    #[cfg(target_arch = "aarch64")]
    look!(is_aarch64_feature_detected: "lse" "paca" "fp16" "dotprod" "i8mm" "sve");
    found
}
