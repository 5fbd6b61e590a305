//! What a generation is made of: the immutable tables that calls are carried by.

use std::sync::Arc;

use crate::catalog::{Catalog, Method, Mistake};
use crate::policy::cors::Cors;
use crate::route::{MethodRef, Table};
use crate::upstream::{Cluster, ClusterSettings, Clusters};

/// A file that the edge itself answers, as the demo's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub bytes: &'static [u8],
    /// For `cache-control`.
    pub cache: &'static str,
}

/// The tables of one generation. Built whole, swapped whole; a call keeps the one it began with.
#[derive(Debug)]
pub struct Tables {
    pub catalogs: Box<[Arc<Catalog>]>,
    /// The cluster of each catalog, in the same order.
    pub clusters: Box<[Arc<Cluster>]>,
    pub routes: Table,
    pub cors: Option<Cors>,
    /// Looked at when no method and no template has the path.
    pub pages: Option<fn(&str) -> Option<Page>>,
}

/// A method of a generation, kept alive with it.
#[derive(Clone, Debug)]
pub(super) struct Called {
    tables: Arc<Tables>,
    at: MethodRef,
}

// === impl Tables ===

impl Tables {
    /// Connects catalogs with the clusters that they name; clusters in use whose settings did not change are kept, and
    /// their connections with them. `routes` were built from these catalogs.
    pub fn new(
        catalogs: Vec<Arc<Catalog>>,
        routes: Table,
        clusters: &[ClusterSettings],
        known: &Clusters,
        cors: Option<Cors>,
        pages: Option<fn(&str) -> Option<Page>>,
    ) -> Result<Tables, Vec<Mistake>> {
        let (mut found, mut mistakes) = (Vec::with_capacity(catalogs.len()), Vec::new());
        for catalog in &catalogs {
            let named = clusters.iter().find(|cluster| cluster.name == catalog.cluster);
            let cluster = match named {
                Some(named) => known.obtain(named.clone()).map_err(|error| error.to_string()),
                None => Err(format!("there is no cluster {:?}", catalog.cluster)),
            };
            match cluster {
                Ok(cluster) => found.push(cluster),
                Err(text) => mistakes.push(Mistake::new(format!("catalog {:?}: {text}", catalog.name))),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Tables { catalogs: catalogs.into(), clusters: found.into(), routes, cors, pages })
    }
}

// === impl Called ===

impl Called {
    /// `None` if the reference is not of these tables.
    pub(super) fn new(tables: &Arc<Tables>, at: MethodRef) -> Option<Called> {
        let catalog = tables.catalogs.get(at.catalog as usize)?;
        catalog.methods.get(at.method as usize)?;
        tables.clusters.get(at.catalog as usize)?;
        Some(Called { tables: Arc::clone(tables), at })
    }

    // the three look-ups below were proven in bounds by `new`, and the tables never change

    pub(super) fn catalog(&self) -> &Catalog {
        &self.tables.catalogs[self.at.catalog as usize]
    }

    pub(super) fn method(&self) -> &Method {
        &self.catalog().methods[self.at.method as usize]
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.tables.clusters[self.at.catalog as usize]
    }
}
