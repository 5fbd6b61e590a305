//! What a configuration says of the OpenAPI document: the `openapi` table.

use super::super::value;
use super::{Reader, Table};
use crate::describe::{KeyPlace, OpenapiOptions, SecurityKind, SecurityScheme};

pub(super) fn read(r: &mut Reader<'_>, t: &Table<'_>) -> OpenapiOptions {
    OpenapiOptions {
        title: t.said(r, "title", value::line),
        version: t.said(r, "version", value::line),
        servers: t.many(r, "servers", value::line).into_iter().map(|server| server.value).collect(),
        security: security(r, t),
        methods: false,
    }
}

/// In the order in which they are written.
fn security(r: &mut Reader<'_>, t: &Table<'_>) -> Vec<SecurityScheme> {
    let mut schemes = Vec::new();
    for (entry, spot) in t.entries_of(r, "security") {
        let name = match value::name(&entry.key) {
            Ok(name) => name,
            Err(wrong) => {
                r.mistakes.push(spot.wrong(wrong));
                continue;
            }
        };
        let Some(t) = Table::open(r, &entry.value, spot, "openapi.security.<name>") else { continue };
        schemes.extend(kind(r, &t).map(|kind| SecurityScheme { name, kind }));
    }
    schemes
}

/// `None`: there is a mistake.
fn kind(r: &mut Reader<'_>, t: &Table<'_>) -> Option<SecurityKind> {
    #[derive(Clone, Copy)]
    enum Written {
        Bearer,
        Basic,
        ApiKey,
        OpenId,
        MutualTls,
    }
    const KINDS: &[(&str, Written)] = &[
        ("bearer", Written::Bearer),
        ("basic", Written::Basic),
        ("api_key", Written::ApiKey),
        ("openid", Written::OpenId),
        ("mutual_tls", Written::MutualTls),
    ];
    const PLACES: &[(&str, KeyPlace)] =
        &[("header", KeyPlace::Header), ("query", KeyPlace::Query), ("cookie", KeyPlace::Cookie)];
    let kind = t.required(r, "type", value::choice(KINDS))?.value;
    let of = match kind {
        Written::Bearer => &["format"][..],
        Written::ApiKey => &["in", "name"],
        Written::OpenId => &["url"],
        Written::Basic | Written::MutualTls => &[],
    };
    for key in ["format", "in", "name", "url"] {
        if t.has(key) && !of.contains(&key) {
            r.mistakes.push(t.spot.below(key).mistake("is not for this `type`"));
        }
    }
    match kind {
        Written::Bearer => Some(SecurityKind::Bearer { format: t.said(r, "format", value::line) }),
        Written::Basic => Some(SecurityKind::Basic),
        Written::MutualTls => Some(SecurityKind::MutualTls),
        Written::OpenId => Some(SecurityKind::OpenId { url: t.required(r, "url", value::line)?.value }),
        Written::ApiKey => {
            let place = t.said(r, "in", value::choice(PLACES)).unwrap_or(KeyPlace::Header);
            Some(SecurityKind::ApiKey { place, name: t.required(r, "name", value::line)?.value })
        }
    }
}
