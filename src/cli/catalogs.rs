//! The catalogs of a configuration, for verbs that look at them: those that come from reflection are asked for first.

use crate::catalog::Mistake;
use crate::config::{self, Complete, Origin, Settled};
use crate::observe::Meters;
use crate::reflect::{Book, Look};

/// Settles and loads. Warnings are for the caller to tell.
pub(super) fn load(origin: &Origin) -> Result<(Settled, Complete), Vec<Mistake>> {
    let mut settled = origin.load()?;
    let complete = complete(&mut settled)?;
    Ok((settled, complete))
}

/// Asks for what comes from reflection, and loads all catalogs.
pub(super) fn complete(settled: &mut Settled) -> Result<Complete, Vec<Mistake>> {
    let mut warnings = reflected(settled)?;
    let mut complete = config::complete(&settled.catalogs)?;
    warnings.append(&mut complete.warnings);
    complete.warnings = config::sorted(warnings);
    Ok(complete)
}

fn reflected(settled: &mut Settled) -> Result<Vec<Mistake>, Vec<Mistake>> {
    if settled.reflections.is_empty() {
        return Ok(Vec::new());
    }
    Book::new(Meters::new(false)).fill(&settled.reflections, &mut settled.catalogs, Look::Describe)
}
