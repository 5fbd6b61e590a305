//! What the operator's door shows of a generation: its routes, its REST side as OpenAPI, and how upstreams differ from it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::openapi::notes;
use crate::admin::{Page, Pages};
use crate::catalog::Source;
use crate::describe::{self, OpenapiOptions};
use crate::proxy::Tables;
use crate::reflect::Book;
use crate::server::About;

/// A generation that is described when somebody asks for it, and once only.
struct Described {
    tables: Arc<Tables>,
    /// What its catalogs were loaded from, to read comments in.
    sources: Vec<Source>,
    options: OpenapiOptions,
    /// Not of this generation alone: how upstreams stand to it is told as it is when somebody asks.
    book: Arc<Book>,
    document: OnceLock<Value>,
    json: OnceLock<Bytes>,
    yaml: OnceLock<Bytes>,
    routes: OnceLock<Bytes>,
}

/// The pages about a generation that is loaded from these sources.
pub(super) fn about(sources: Vec<Source>, options: OpenapiOptions, book: Arc<Book>) -> About<Tables> {
    Box::new(move |tables| -> Pages {
        // they are in force now
        book.accept();
        let described = Described {
            tables,
            sources,
            options,
            book,
            document: OnceLock::new(),
            json: OnceLock::new(),
            yaml: OnceLock::new(),
            routes: OnceLock::new(),
        };
        Box::new(move |path| described.page(path))
    })
}

fn page(content_type: &'static str, text: String) -> Page {
    Page { content_type, bytes: text.into() }
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
            "/drift" => return Some(page("text/plain; charset=utf-8", self.book.drift_text())),
            "/drift.json" => return Some(page("application/json", self.book.drift_json().to_string())),
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
        let mut lines = describe::routes(&self.tables.catalogs, &self.tables.routes);
        if let Some(targets) = self.tables.targets() {
            lines = describe::with_targets(lines, &self.tables.routes, targets);
        }
        describe::routes_json(&lines).into()
    }
}
