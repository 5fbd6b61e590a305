//! What the operator's door shows of a generation: its routes, and its REST side as OpenAPI.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::openapi::notes;
use crate::admin::{Page, Pages};
use crate::catalog::Source;
use crate::describe::{self, OpenapiOptions};
use crate::proxy::Tables;
use crate::server::About;

/// A generation that is described when somebody asks for it, and once only.
struct Described {
    tables: Arc<Tables>,
    /// What its catalogs were loaded from, to read comments in.
    sources: Vec<Source>,
    options: OpenapiOptions,
    document: OnceLock<Value>,
    json: OnceLock<Bytes>,
    yaml: OnceLock<Bytes>,
    routes: OnceLock<Bytes>,
}

/// The pages about a generation that is loaded from these sources.
pub(super) fn about(sources: Vec<Source>, options: OpenapiOptions) -> About<Tables> {
    Box::new(move |tables| -> Pages {
        let described = Described {
            tables,
            sources,
            options,
            document: OnceLock::new(),
            json: OnceLock::new(),
            yaml: OnceLock::new(),
            routes: OnceLock::new(),
        };
        Box::new(move |path| described.page(path))
    })
}

// === impl Described ===

impl Described {
    fn page(&self, path: &str) -> Option<Page> {
        let (content_type, bytes) = match path {
            "/openapi.json" => ("application/json", self.json.get_or_init(|| self.document().to_string().into())),
            "/openapi.yaml" => {
                ("application/yaml", self.yaml.get_or_init(|| describe::to_yaml(self.document()).into()))
            }
            "/routes" => ("application/json", self.routes.get_or_init(|| self.routes())),
            _ => return None,
        };
        Some(Page { content_type, bytes: bytes.clone() })
    }

    fn document(&self) -> &Value {
        self.document.get_or_init(|| {
            let catalogs = &self.tables.catalogs;
            let notes = notes(&self.sources, catalogs);
            describe::openapi(catalogs, &self.tables.routes, &notes, &self.options)
        })
    }

    fn routes(&self) -> Bytes {
        describe::routes_json(&describe::routes(&self.tables.catalogs, &self.tables.routes)).into()
    }
}
