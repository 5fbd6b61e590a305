//! From settings to the tables of a generation. Blocks on the disk and computes: never on a serving thread.

use std::path::PathBuf;
use std::sync::Arc;

use super::tables::{Page, Tables};
use crate::catalog::{self, Catalog, Mistake, Source};
use crate::policy::cors::{self, Cors};
use crate::route::Table;
use crate::upstream::{Cluster, ClusterSettings, Clusters};

/// What the tables of a generation are made of.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub catalogs: Vec<Source>,
    /// By name; each catalog names one.
    pub clusters: Vec<ClusterSettings>,
    pub cors: Option<cors::Settings>,
    pub pages: Option<fn(&str) -> Option<Page>>,
}

/// Tables, and what the operator is to be told about them.
#[derive(Debug)]
pub struct Loaded {
    pub tables: Tables,
    pub warnings: Vec<Mistake>,
    /// Files and directories that the tables were made of.
    pub watched: Vec<PathBuf>,
}

// === impl Tables ===

impl Tables {
    /// Loads all catalogs and connects them with their clusters; clusters whose settings did not change are kept.
    /// Fails with every mistake that can be told at once.
    pub fn load(settings: &Settings, known: &Clusters) -> Result<Loaded, Vec<Mistake>> {
        let (mut catalogs, mut warnings, mut watched) = (Vec::new(), Vec::new(), Vec::new());
        let mut mistakes = Vec::new();
        for source in &settings.catalogs {
            match catalog::load(source) {
                Ok(loaded) => {
                    catalogs.push(Arc::new(loaded.catalog));
                    warnings.extend(loaded.warnings);
                    watched.extend(loaded.watched);
                }
                Err(more) => mistakes.extend(more),
            }
        }
        let clusters = match clusters(settings, &catalogs, known) {
            Ok(clusters) => clusters,
            Err(more) => {
                mistakes.extend(more);
                Box::default()
            }
        };
        let routes = match Table::build(&catalogs) {
            Ok((routes, more)) => {
                warnings.extend(more);
                Some(routes)
            }
            Err(more) => {
                mistakes.extend(more);
                None
            }
        };
        let Some(routes) = routes.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
        let cors = settings.cors.as_ref().and_then(Cors::new);
        let tables = Tables { catalogs: catalogs.into(), clusters, routes, cors, pages: settings.pages };
        Ok(Loaded { tables, warnings, watched })
    }
}

fn clusters(
    settings: &Settings,
    catalogs: &[Arc<Catalog>],
    known: &Clusters,
) -> Result<Box<[Arc<Cluster>]>, Vec<Mistake>> {
    let (mut clusters, mut mistakes) = (Vec::new(), Vec::new());
    for catalog in catalogs {
        let named = settings.clusters.iter().find(|cluster| cluster.name == catalog.cluster);
        let cluster = match named {
            Some(named) => known.obtain(named.clone()).map_err(|error| error.to_string()),
            None => Err(format!("there is no cluster {:?}", catalog.cluster)),
        };
        match cluster {
            Ok(cluster) => clusters.push(cluster),
            Err(text) => mistakes.push(Mistake::new(format!("catalog {:?}: {text}", catalog.name))),
        }
    }
    if mistakes.is_empty() { Ok(clusters.into()) } else { Err(mistakes) }
}
