//! Settled to complete: the catalogs loaded. Takes seconds for large ones; the servers' threads do without.

use std::path::PathBuf;
use std::sync::Arc;

use super::sorted;
use crate::catalog::{self, Catalog, Mistake, SettingRule, Source};

/// The catalogs of a configuration.
#[derive(Debug, Default)]
pub struct Complete {
    /// In the order of the configuration.
    pub catalogs: Vec<Arc<Catalog>>,
    /// What deserves a word but stops nothing.
    pub warnings: Vec<Mistake>,
    /// What to watch for changes: files, and folders with all below them.
    pub watched: Vec<PathBuf>,
}

/// Loads the catalogs. Errors: the mistakes of all of them, sorted by place.
pub fn complete(sources: &[Source]) -> Result<Complete, Vec<Mistake>> {
    let mut complete = Complete::default();
    let mut mistakes = Vec::new();
    for source in sources {
        match catalog::load(source) {
            Ok(loaded) => {
                complete.catalogs.push(Arc::new(loaded.catalog));
                complete.warnings.extend(loaded.warnings);
                complete.watched.extend(loaded.watched);
            }
            Err(more) => mistakes.extend(more),
        }
    }
    // what a catalog that did not load has, nobody knows
    if mistakes.is_empty() {
        mistakes = unmatched(sources, &complete.catalogs);
    }
    match mistakes.is_empty() {
        true => Ok(complete),
        false => Err(sorted(mistakes)),
    }
}

/// Settings for methods that no catalog has.
fn unmatched(sources: &[Source], catalogs: &[Arc<Catalog>]) -> Vec<Mistake> {
    // who passes unknown methods on may have settings for them
    if sources.iter().any(|source| source.pass_unknown_methods) {
        return Vec::new();
    }
    let methods = catalogs.iter().flat_map(|catalog| &catalog.methods);
    let paths: Vec<&str> = methods.map(|method| method.path.trim_start_matches('/')).collect();
    let rules: Vec<SettingRule> = sources.iter().flat_map(|source| source.settings.iter().cloned()).collect();
    catalog::check_settings(&rules, &paths)
}
