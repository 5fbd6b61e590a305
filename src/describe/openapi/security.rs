//! Security schemes (OpenAPI 3.1, 4.8.27). The edge itself asks nobody who they are: they are what the services behind it
//! ask, as the configuration tells.

use serde_json::{Map, Value, json};

/// A way for callers to say who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityScheme {
    /// Its name in the document.
    pub name: String,
    pub kind: SecurityKind,
}

/// The kinds of OpenAPI, but for those that speak of scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityKind {
    /// A token in `Authorization` (RFC 6750); `format` is a hint, as `JWT`.
    Bearer {
        format: Option<String>,
    },
    /// RFC 7617.
    Basic,
    ApiKey {
        place: KeyPlace,
        name: String,
    },
    /// OpenID Connect, by the URL of its discovery document.
    OpenId {
        url: String,
    },
    /// A certificate of the caller.
    MutualTls,
}

/// Where an API key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    Header,
    Query,
    Cookie,
}

/// For `components.securitySchemes`.
pub(super) fn schemes(schemes: &[SecurityScheme]) -> Value {
    Value::Object(schemes.iter().map(|scheme| (scheme.name.clone(), scheme.kind.object())).collect::<Map<_, _>>())
}

/// For `security` of the whole document: any one of them will do.
pub(super) fn alternatives(schemes: &[SecurityScheme]) -> Value {
    schemes.iter().map(|scheme| json!({ &*scheme.name: [] })).collect()
}

// === impl SecurityKind ===

impl SecurityKind {
    fn object(&self) -> Value {
        match self {
            SecurityKind::Bearer { format: None } => json!({"type": "http", "scheme": "bearer"}),
            SecurityKind::Bearer { format: Some(format) } => {
                json!({"type": "http", "scheme": "bearer", "bearerFormat": format})
            }
            SecurityKind::Basic => json!({"type": "http", "scheme": "basic"}),
            SecurityKind::ApiKey { place, name } => json!({"type": "apiKey", "in": place.as_str(), "name": name}),
            SecurityKind::OpenId { url } => json!({"type": "openIdConnect", "openIdConnectUrl": url}),
            SecurityKind::MutualTls => json!({"type": "mutualTLS"}),
        }
    }
}

// === impl KeyPlace ===

impl KeyPlace {
    fn as_str(self) -> &'static str {
        match self {
            KeyPlace::Header => "header",
            KeyPlace::Query => "query",
            KeyPlace::Cookie => "cookie",
        }
    }
}
