//! Metrics (spec v0.2.1, "Metrics").

use super::{Fault, hostcalls};
use crate::metrics::{Kind, Refusal};
use crate::proxy_wasm::abi::{LogLevel, Status};
use crate::proxy_wasm::host::Host;
use crate::proxy_wasm::memory;
use crate::proxy_wasm::state::State;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::NotFound,
            Refusal::Unfit => Self::BadArgument,
            Refusal::Full | Refusal::TooLong => Self::InternalFailure,
        }
    }
}

impl From<Refusal> for Fault<Status> {
    fn from(refusal: Refusal) -> Self {
        Self::Code(refusal.into())
    }
}

fn define_metric<H: Host>(state: &mut State<H>, kind: Kind, name: &[u8]) -> Result<u32, Refusal> {
    let answer = state.host.define_metric(kind, name);
    let why = match answer {
        Err(Refusal::Full) => "there is no room for it, raise \"slab_size\" in \"metrics\"",
        Err(Refusal::TooLong) => "its name is longer than \"max_metric_name_length\" allows",
        _ => return answer,
    };
    // A name of any length would not fit a line.
    let shown = String::from_utf8_lossy(name.get(..100).unwrap_or(name)).into_owned();
    state.log(LogLevel::Error, format!("cannot define metric \"{shown}\": {why}").as_bytes());
    answer
}

hostcalls! {
    /// Makes or finds a metric of this module.
    V0_1_0 fn proxy_define_metric(
        caller, kind: u32, name_data: u32, name_size: u32, return_metric: u32
    ) Status {
        let (memory, state) = caller.split();
        memory::check(memory, return_metric, 4)?;
        let name = memory::bytes(memory, name_data, name_size)?;
        let kind = Kind::from_abi(kind).ok_or(Status::BadArgument)?;
        let id = define_metric(state, kind, name)?;
        Ok(memory::write_u32(memory, return_metric, id)?)
    };

    /// Sets a counter or gauge, adds to a histogram.
    V0_1_0 fn proxy_record_metric(caller, metric: u32, value: u64) Status {
        Ok(caller.data().host.record_metric(metric, value)?)
    };

    /// Adds to a counter or gauge.
    V0_1_0 fn proxy_increment_metric(caller, metric: u32, delta: i64) Status {
        Ok(caller.data().host.increment_metric(metric, delta)?)
    };

    /// Reads a counter or gauge.
    V0_1_0 fn proxy_get_metric(caller, metric: u32, return_value: u32) Status {
        let (memory, state) = caller.split();
        memory::check(memory, return_value, 8)?;
        let value = state.host.metric(metric)?;
        Ok(memory::write_u64(memory, return_value, value)?)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_abi() {
        let kinds = [0, 1, 2, 3, u32::MAX].map(Kind::from_abi);
        assert_eq!(kinds, [Some(Kind::Counter), Some(Kind::Gauge), Some(Kind::Histogram), None, None]);
    }
}
