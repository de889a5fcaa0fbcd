//! Chains: what `proxy_wasm` and `wasm_call` lines of one level make, in the order of the file.

use std::sync::{Arc, OnceLock};

use ngx::Conf;

use super::args::{self, CallArgs, FilterArgs};
use super::problems::{At, words};
use super::{LocConf, WasmConf, module};
use crate::proxy_wasm::vm::{Callbacks, FilterConfig};
use crate::raw::Phase;

/// A `proxy_wasm` line.
pub struct Filter {
    /// Its index in [`WasmConf::filters`].
    pub id: u32,
    pub config: Arc<FilterConfig>,
    /// The index of its module in [`WasmConf::modules`], from `init_conf` on.
    pub module: OnceLock<usize>,
    /// What its module exports, from `init_conf` on.
    pub callbacks: OnceLock<Callbacks>,
    pub(super) at: At,
}

/// A `wasm_call` line.
pub struct Call {
    pub phase: Phase,
    /// The name of the module.
    pub name: String,
    /// The name of the function.
    pub function: String,
    /// The index of the function among those that are named of its module ([`WasmConf::functions_of`]).
    pub index: usize,
    /// The index of the module in [`WasmConf::modules`], from `init_conf` on.
    pub module: OnceLock<usize>,
    pub(super) at: At,
}

/// A part of a chain.
#[derive(Clone)]
pub enum Link {
    Filter(Arc<Filter>),
    Call(Arc<Call>),
}

impl Link {
    /// The index of its module.
    pub fn module(&self) -> Option<usize> {
        match self {
            Self::Filter(filter) => filter.module.get(),
            Self::Call(call) => call.module.get(),
        }
        .copied()
    }

    pub fn filter(&self) -> Option<&Arc<Filter>> {
        match self {
            Self::Filter(filter) => Some(filter),
            Self::Call(_) => None,
        }
    }
}

/// The filters and calls of a location, in the order of nginx.conf.
#[derive(Clone, Default)]
pub struct Chain {
    pub links: Vec<Link>,
    callbacks: OnceLock<Callbacks>,
}

impl Chain {
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// What any of its filters exports.
    pub fn callbacks(&self) -> Callbacks {
        *self.callbacks.get_or_init(|| self.filters().filter_map(|f| f.callbacks.get()).copied().collect())
    }

    pub fn filters(&self) -> impl Iterator<Item = &Arc<Filter>> + Clone {
        self.links.iter().filter_map(Link::filter)
    }

    /// Those of its filters that are of the same module as `filter`.
    pub fn of_module(&self, filter: &Filter) -> impl Iterator<Item = &Arc<Filter>> + Clone {
        self.filters().filter(|other| other.module.get() == filter.module.get())
    }

    pub fn has_filters(&self) -> bool {
        self.filters().next().is_some()
    }

    pub fn has_calls(&self, phase: Phase) -> bool {
        self.links.iter().any(|link| matches!(link, Link::Call(call) if call.phase == phase))
    }

    /// Adds a link while the level is being read, when nobody shares its chain.
    fn push(chain: &mut Option<Arc<Self>>, link: Link) {
        Arc::make_mut(chain.get_or_insert_default()).links.push(link);
    }
}

/// `proxy_wasm module [config] [root_id=NAME] [config_file=PATH]`, or `proxy_wasm off`
pub fn proxy_wasm(cf: Conf<'_>, loc: &mut LocConf, conf: &mut WasmConf) -> Result<(), String> {
    let words = words(cf);
    let (module, root_id, source) = match args::proxy_wasm(&words)? {
        FilterArgs::Off if loc.chain.is_some() => return Err(beside_off()),
        FilterArgs::Off => {
            loc.chain = Some(Arc::default());
            return Ok(());
        }
        FilterArgs::Filter { module, root_id, config } => (module, root_id, config),
    };
    if is_off(loc) {
        return Err(beside_off());
    }
    let config =
        FilterConfig { name: module.to_owned(), root_id: root_id.to_vec(), config: module::bytes(cf, source)? };
    let id = u32::try_from(conf.filters.len()).map_err(|_| "too many filters".to_owned())?;
    let filter = Arc::new(Filter {
        id,
        config: Arc::new(config),
        module: OnceLock::new(),
        callbacks: OnceLock::new(),
        at: At::of(cf),
    });
    conf.filters.push(filter.clone());
    Chain::push(&mut loc.chain, Link::Filter(filter));
    Ok(())
}

/// `wasm_call phase module function`
pub fn wasm_call(cf: Conf<'_>, loc: &mut LocConf, conf: &mut WasmConf) -> Result<(), String> {
    let words = words(cf);
    let CallArgs { phase, module, function } = args::wasm_call(&words)?;
    if is_off(loc) {
        return Err(beside_off());
    }
    let known = conf.functions_of(module);
    let call = Arc::new(Call {
        phase,
        name: module.to_owned(),
        function: function.to_owned(),
        index: known.iter().position(|known| *known == function).unwrap_or(known.len()),
        module: OnceLock::new(),
        at: At::of(cf),
    });
    conf.wasm_calls.push(call.clone());
    Chain::push(&mut loc.chain, Link::Call(call));
    Ok(())
}

/// `proxy_wasm off` stands on this level: an empty chain is nothing else.
fn is_off(loc: &LocConf) -> bool {
    loc.chain.as_ref().is_some_and(|chain| chain.is_empty())
}

fn beside_off() -> String {
    "\"proxy_wasm off\" cannot stand beside other \"proxy_wasm\" or \"wasm_call\" directives".to_owned()
}
