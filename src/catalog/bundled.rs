//! The `.proto` files that resolve without being on disk.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::schema::Schema;
use super::source::{Source, load};

/// Import name and text. `google/protobuf/*` is not among them: protox carries those, in the form that it reads.
const FILES: &[(&str, &str)] = &[
    ("buf/validate/validate.proto", include_str!("../../protos/buf/validate/validate.proto")),
    ("google/api/annotations.proto", include_str!("../../protos/google/api/annotations.proto")),
    ("google/api/client.proto", include_str!("../../protos/google/api/client.proto")),
    ("google/api/field_behavior.proto", include_str!("../../protos/google/api/field_behavior.proto")),
    ("google/api/field_info.proto", include_str!("../../protos/google/api/field_info.proto")),
    ("google/api/http.proto", include_str!("../../protos/google/api/http.proto")),
    ("google/api/httpbody.proto", include_str!("../../protos/google/api/httpbody.proto")),
    ("google/api/launch_stage.proto", include_str!("../../protos/google/api/launch_stage.proto")),
    ("google/api/resource.proto", include_str!("../../protos/google/api/resource.proto")),
    ("google/api/routing.proto", include_str!("../../protos/google/api/routing.proto")),
    ("google/api/visibility.proto", include_str!("../../protos/google/api/visibility.proto")),
    ("google/rpc/code.proto", include_str!("../../protos/google/rpc/code.proto")),
    ("google/rpc/error_details.proto", include_str!("../../protos/google/rpc/error_details.proto")),
    ("google/rpc/status.proto", include_str!("../../protos/google/rpc/status.proto")),
    ("grpc/health/v1/health.proto", include_str!("../../protos/grpc/health/v1/health.proto")),
    ("grpc/reflection/v1/reflection.proto", include_str!("../../protos/grpc/reflection/v1/reflection.proto")),
    ("grpc/reflection/v1alpha/reflection.proto", include_str!("../../protos/grpc/reflection/v1alpha/reflection.proto")),
];

/// The schema of `google.rpc` and `buf.validate` with the well-known types: what the edge's own error details are made of,
/// whether or not a user's catalog imports them.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let mut source = Source::new("google.rpc", "");
        let files = ["google/rpc/error_details.proto", "google/rpc/status.proto", "buf/validate/validate.proto"];
        source.protos = files.map(PathBuf::from).into();
        // a test proves that the bundled files load; without them details are shown as base64
        load(&source).map(|loaded| loaded.catalog.schema).unwrap_or_default()
    });
    &SCHEMA
}

/// The text of a bundled file.
pub(super) fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names of all bundled files.
pub(super) fn names<'a>() -> impl Iterator<Item = &'a str> {
    FILES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_of_our_own_errors_are_in_the_bundled_schema() {
        for name in ["BadRequest", "ErrorInfo", "RetryInfo", "ResourceInfo", "Status"] {
            assert!(schema().find(&format!("google.rpc.{name}")).is_some(), "{name}");
        }
        assert!(schema().find("buf.validate.Violations").is_some());
    }
}
