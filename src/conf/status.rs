//! `wasm_status [prometheus|json|html]`.

use ngx::Conf;

use super::problems::{duplicate, words};
use super::{LocConf, WasmConf};
use crate::status::{Format, Page};

/// The handler of the directive: the location answers with the status page.
pub fn read(cf: Conf<'_>, loc: &mut LocConf, conf: &mut WasmConf) -> Result<(), String> {
    if loc.status.is_some() {
        return Err(duplicate(cf));
    }
    let format = match words(cf)[..] {
        [] => Some(Format::Prometheus),
        [name, ..] => Format::named(name),
    };
    // Of a bad one, the rest is checked all the same.
    loc.status = Some(format.unwrap_or_default());
    conf.metrics.status = true;
    cf.set_content_handler::<Page>().map_err(|_| "no content handler can be set here".to_owned())?;
    let wrong = || format!("invalid status format \"{}\"", String::from_utf8_lossy(cf.arg(1).unwrap_or_default()));
    format.map(drop).ok_or_else(wrong)
}
