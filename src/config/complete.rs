//! Settled to complete: the catalogs loaded and their routes laid. Takes seconds for large ones; keep it off serving
//! threads.

use std::path::PathBuf;
use std::sync::Arc;

use super::sorted;
use crate::catalog::{self, Catalog, Mistake, SettingRule, Source};
use crate::route::Table;

/// What a configuration's catalogs amount to.
#[derive(Debug)]
pub struct Complete {
    /// In the order of the configuration.
    pub catalogs: Vec<Arc<Catalog>>,
    /// Built from `catalogs`.
    pub table: Table,
    /// What deserves a word but stops nothing.
    pub warnings: Vec<Mistake>,
    /// What to watch for changes: files, and folders with all below them.
    pub watched: Vec<PathBuf>,
}

/// Loads the catalogs and builds the table of routes. Errors: the mistakes of all of them, sorted by place.
pub fn complete(sources: &[Source]) -> Result<Complete, Vec<Mistake>> {
    let (mut catalogs, mut warnings, mut watched, mut mistakes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        match catalog::load(source) {
            Ok(loaded) => {
                catalogs.push(Arc::new(loaded.catalog));
                warnings.extend(loaded.warnings);
                watched.extend(loaded.watched);
            }
            Err(more) => mistakes.extend(more),
        }
    }
    // what a catalog that did not load has, nobody knows
    if mistakes.is_empty() {
        mistakes = unmatched(sources, &catalogs);
    }
    match Table::build(&catalogs) {
        Ok((table, more)) if mistakes.is_empty() => {
            warnings.extend(more);
            Ok(Complete { catalogs, table, warnings: sorted(warnings), watched })
        }
        Ok(_) => Err(sorted(mistakes)),
        Err(more) => {
            mistakes.extend(more);
            Err(sorted(mistakes))
        }
    }
}

/// Settings for methods that no catalog has, and by fields that none of their methods has.
fn unmatched(sources: &[Source], catalogs: &[Arc<Catalog>]) -> Vec<Mistake> {
    let rules: Vec<SettingRule> = sources.iter().flat_map(|source| source.settings.iter().cloned()).collect();
    let mut mistakes = catalog::check_fields(&rules, catalogs.iter().map(|catalog| &**catalog));
    // who passes unknown methods on may have settings for them
    if !sources.iter().any(|source| source.pass_unknown_methods) {
        let methods = catalogs.iter().flat_map(|catalog| &catalog.methods);
        let paths: Vec<&str> = methods.map(|method| method.path.trim_start_matches('/')).collect();
        mistakes.extend(catalog::check_settings(&rules, &paths));
    }
    mistakes
}
