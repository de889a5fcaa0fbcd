//! `metrics { slab_size; max_metric_name_length; histogram_buckets; }` and the zone that metrics live in.

use std::sync::Arc;

use ngx::process::{self, Kind};
use ngx::shm::{self, Zone};
use ngx::{Conf, ConfError, Contexts, Cycle, Failed};

use super::problems::{duplicate, in_wasm, set, words};
use super::values;
use super::{Module, WasmConf};
use crate::metrics::{Bounds, MOST_BOUNDS, Plain, Store};
use crate::modules::Core;
use crate::worker::metrics::{Layout, Place, Scope};

/// The zone's name among nginx's. No `shm_kv` can have it.
const ZONE: &str = "wasmx:metrics";
const SLAB_SIZE: usize = 5 << 20;
const LONGEST_NAME: usize = 256;
/// What the shortest name with a prefix takes.
const SHORTEST_LIMIT: usize = 6;

/// What filters import of it.
const FUNCTIONS: [&str; 4] =
    ["proxy_define_metric", "proxy_record_metric", "proxy_increment_metric", "proxy_get_metric"];

/// What is configured about metrics.
#[derive(Default)]
pub struct MetricsConf {
    block: bool,
    slab_size: Option<usize>,
    longest_name: Option<usize>,
    buckets: Option<Bounds>,
    /// Whether a location has a status page: then the host measures its filters.
    pub status: bool,
    /// `None` when nobody has a use for it.
    pub zone: Option<Zone<Layout>>,
}

impl MetricsConf {
    /// What is in memory that is ready, for the worker of that number.
    pub fn open(&self, place: Place, worker: usize) -> Option<Store<Place>> {
        let longest_name = self.longest_name.unwrap_or(LONGEST_NAME);
        Store::open(place, worker, longest_name, self.buckets.clone().unwrap_or_default())
    }

    fn size(&self) -> usize {
        self.slab_size.unwrap_or(SLAB_SIZE).next_multiple_of(shm::page_size())
    }

    /// Metrics for starts on trial, which nobody reads.
    fn scratch(&self) -> Option<Store<Place>> {
        // Zones of any size can be mapped; this is written to.
        let memory = Plain::new(self.size().min(16 << 20));
        let place = Place::Plain(memory);
        Store::format(&place, 1).ok()?;
        self.open(place, 0)
    }
}

/// `metrics { … }`
pub fn block(cf: Conf<'_>) -> Result<(), ConfError> {
    in_wasm(cf, |cf, conf| if std::mem::replace(&mut conf.metrics.block, true) { Err(duplicate(cf)) } else { Ok(()) })?;
    Ok(cf.parse_block(Contexts::WASM_METRICS)?)
}

/// `slab_size SIZE`
pub fn slab_size(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set(cf, &mut conf.metrics.slab_size, |value| {
        let shown = String::from_utf8_lossy(value);
        let size = cf.parse_size(value).filter(|size| *size <= isize::MAX as usize / 2);
        let size = size.ok_or_else(|| format!("[wasm] invalid metrics slab_size \"{shown}\""))?;
        let least = shm::least_size();
        if size < least {
            return Err(format!(
                "[wasm] metrics slab_size of {size} bytes is too small, minimum required is {least} bytes"
            ));
        }
        Ok(size)
    })
}

/// `max_metric_name_length NUMBER`
pub fn longest_name(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    set(cf, &mut conf.metrics.longest_name, |value| {
        let length = values::count(value)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < SHORTEST_LIMIT {
            return Err(format!("[wasm] max_metric_name_length {length} is too small, the least is {SHORTEST_LIMIT}"));
        }
        Ok(length)
    })
}

/// `histogram_buckets BOUND …`
pub fn buckets(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    if conf.metrics.buckets.is_some() {
        return Err(duplicate(cf));
    }
    let bound = |word: &[u8]| {
        let digits = str::from_utf8(word).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|text| text.parse().ok()).ok_or_else(|| values::invalid(word))
    };
    let bounds = words(cf).into_iter().map(bound).collect::<Result<Vec<u64>, _>>()?;
    let wrong = || format!("[wasm] histogram_buckets must grow from one to the next, and be {MOST_BOUNDS} at most");
    conf.metrics.buckets = Some(Bounds::new(&bounds).ok_or_else(wrong)?);
    Ok(())
}

fn uses_metrics(module: &Module) -> bool {
    let imports = module.compiled.as_ref().map(|compiled| compiled.imports()).unwrap_or_default();
    imports.iter().any(|import| FUNCTIONS.contains(&import.name.as_str()))
}

/// The metrics of trial starts: none when no module asks for any.
pub fn for_trial(conf: &WasmConf) -> Option<Store<Place>> {
    if conf.modules.iter().any(uses_metrics) { conf.metrics.scratch() } else { None }
}

/// What one module of a trial start sees of them.
pub fn scope(store: Option<&Store<Place>>, module: &str) -> Option<Arc<Scope>> {
    store.map(|store| Arc::new(Scope::new(store.clone(), module)))
}

/// Adds the zone, if somebody has a use for it.
///
/// # Errors
/// When nginx refuses it; it has logged why.
pub fn add_zone(cycle: Cycle<'_>, conf: &mut WasmConf) -> Result<(), Failed> {
    let wanted = conf.metrics.status || conf.modules.iter().any(uses_metrics);
    if wanted && process::kind() != Kind::Signaller {
        conf.metrics.zone = Some(Zone::add::<Core>(cycle, ZONE, conf.metrics.size())?);
    }
    Ok(())
}
