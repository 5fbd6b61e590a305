//! What a configuration says of REST callers: `settings[].rest`, `settings[].sse`, and part of `settings[].query`.

use http::HeaderName;

use super::super::value;
use super::{Reader, Table};
use crate::catalog::{PartialRest, PartialSse};
use crate::status::Code;

/// What REST callers see; no two of these keys depend on one another, so that nobody will ask for their places.
pub(super) fn rest(r: &mut Reader<'_>, t: Option<&Table<'_>>, query: Option<&Table<'_>>) -> PartialRest {
    const MASK: &[(&str, bool)] = &[("as_sent", false), ("fill", true)];
    let mut rest = PartialRest {
        query_brackets: query.and_then(|t| t.said(r, "brackets", value::boolean)),
        fields_parameter: query.and_then(|t| t.said(r, "fields_parameter", value::text)).map(|name| Some(name.into())),
        ..PartialRest::default()
    };
    let Some(t) = t else { return rest };
    rest.success = t.said(r, "success", value::http_code(200, 299));
    rest.location = t.said(r, "location", value::text).map(|text| Some(text.into()));
    rest.error_codes = t.has("error_codes").then(|| error_codes(r, t));
    rest.response_headers = t.has("response_headers").then(|| response_headers(r, t));
    rest.etag = t.said(r, "etag", value::boolean);
    rest.cache_control = t.said(r, "cache_control", value::header_value).map(Some);
    rest.method_override = t.said(r, "method_override", value::boolean);
    rest.fill_mask = t.said(r, "update_mask", value::choice(MASK));
    rest
}

fn error_codes(r: &mut Reader<'_>, t: &Table<'_>) -> Box<[(Code, u16)]> {
    let mut codes = Vec::new();
    for (entry, spot) in t.entries_of(r, "error_codes") {
        match value::error_code(&entry.key) {
            Ok(code) => {
                codes.extend(r.parse(&entry.value, spot, value::http_code(400, 599)).map(|http| (code, http.value)));
            }
            Err(wrong) => r.mistakes.push(spot.wrong(wrong)),
        }
    }
    codes.into()
}

/// `None`: all.
fn response_headers(r: &mut Reader<'_>, t: &Table<'_>) -> Option<Box<[HeaderName]>> {
    let names = t.many(r, "response_headers", |text| match text {
        "*" => Ok(None),
        name => value::header_name(name).map(Some),
    });
    names.into_iter().map(|name| name.value).collect()
}

pub(super) fn sse(r: &mut Reader<'_>, t: &Table<'_>) -> PartialSse {
    let text = |r: &mut Reader<'_>, key: &str| t.said(r, key, value::line).map(|text| Some(text.into()));
    PartialSse {
        event: text(r, "event"),
        event_field: text(r, "event_field"),
        id_field: text(r, "id_field"),
        retry: t.said(r, "retry", value::duration).map(Some),
        heartbeat: t.said(r, "heartbeat", value::duration),
        last_event_id_field: text(r, "last_event_id_field"),
        last_event_id_metadata: t.said(r, "last_event_id_metadata", value::header_name).map(Some),
    }
}
