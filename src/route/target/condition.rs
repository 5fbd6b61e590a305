//! What rules ask of calls.

use http::{HeaderMap, HeaderName};
use regex::bytes::Regex;

use super::{FieldReader, OwnedFieldValue};
use crate::call::TlsFacts;
use crate::catalog::{FieldValue, Place};
use crate::wire::{Malformed, decode_bin};

/// What a value must be like.
#[derive(Clone, Debug)]
pub enum ValueTest {
    /// One of these.
    OneOf(Vec<Box<[u8]>>),
    Prefix(Box<[u8]>),
    /// The whole value: anchored at both ends by whoever made it.
    Regex(Regex),
    /// There is one, or there is none.
    Present(bool),
}

/// What a header field or metadata must be like. Of a name that ends in `-bin` the bytes are looked at that its base64
/// stands for, each of a list separated by commas (gRPC `doc/PROTOCOL-HTTP2.md`, "Custom-Metadata"); of several values one
/// must fit.
#[derive(Clone, Debug)]
pub struct HeaderTest {
    pub name: HeaderName,
    pub test: ValueTest,
}

/// A host name, or all below one (`*.eu.example`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower case, without port; of a suffix with the dot in front.
    text: Box<str>,
    is_suffix: bool,
}

/// Text as a whole, or what it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    is_prefix: bool,
}

/// Whom the caller's verified certificate must name. Of each list one must fit, unless it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityTest {
    pub subject: Vec<Glob>,
    pub dns: Vec<Glob>,
    pub uri: Vec<Glob>,
}

/// What a field of the first message must be like, as it is written.
#[derive(Clone, Debug)]
pub struct FieldRule {
    /// Names of fields, separated by dots.
    pub path: Box<str>,
    pub place: Option<Place>,
    pub wanted: FieldWanted,
}

/// Values in the form of the configuration.
#[derive(Clone, Debug)]
pub enum FieldWanted {
    OneOf(Vec<(String, Option<Place>)>),
    Prefix(Box<str>),
    Regex(Regex),
    Present(bool),
}

/// The same for the messages of one method.
#[derive(Clone, Debug)]
pub(super) struct FieldTest {
    pub reader: FieldReader,
    pub test: TypedTest,
}

#[derive(Clone, Debug)]
pub(super) enum TypedTest {
    OneOf(Box<[OwnedFieldValue]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
    Present(bool),
}

// === impl ValueTest ===

impl ValueTest {
    fn fits(&self, value: &[u8]) -> bool {
        match self {
            ValueTest::OneOf(values) => values.iter().any(|one| **one == *value),
            ValueTest::Prefix(prefix) => value.starts_with(prefix),
            ValueTest::Regex(regex) => regex.is_match(value),
            ValueTest::Present(wanted) => *wanted,
        }
    }
}

// === impl HeaderTest ===

impl HeaderTest {
    pub(super) fn holds(&self, headers: &HeaderMap) -> bool {
        if let ValueTest::Present(wanted) = self.test {
            return headers.contains_key(&self.name) == wanted;
        }
        let mut values = headers.get_all(&self.name).iter().map(http::HeaderValue::as_bytes);
        if !self.is_binary() {
            return values.any(|value| self.test.fits(value));
        }
        let mut each = values.flat_map(|value| value.split(|byte| *byte == b','));
        each.any(|value| decode_bin(value.trim_ascii()).is_ok_and(|bytes| self.test.fits(&bytes)))
    }

    /// Whether its values are bytes.
    pub fn is_binary(&self) -> bool {
        self.name.as_str().ends_with("-bin")
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// `host` or `*.host`; whoever reads it has checked the rest.
    pub fn new(written: &str) -> HostPattern {
        let lower = written.to_ascii_lowercase();
        match lower.strip_prefix('*') {
            Some(suffix) => HostPattern { text: suffix.into(), is_suffix: true },
            None => HostPattern { text: lower.into(), is_suffix: false },
        }
    }

    pub(super) fn is(&self, host: &str) -> bool {
        // a name may be written with the dot of the root
        let (host, text) = (host.strip_suffix('.').unwrap_or(host).as_bytes(), self.text.as_bytes());
        match host.len().checked_sub(text.len()).map(|at| host.split_at(at)) {
            Some((before, end)) if end.eq_ignore_ascii_case(text) => before.is_empty() != self.is_suffix,
            _ => false,
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.is_suffix { "*" } else { "" }, self.text)
    }
}

// === impl Glob ===

impl Glob {
    /// A text; one that ends in `*` is a beginning.
    pub fn new(written: &str) -> Glob {
        match written.strip_suffix('*') {
            Some(prefix) => Glob { text: prefix.into(), is_prefix: true },
            None => Glob { text: written.into(), is_prefix: false },
        }
    }

    fn fits(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&*self.text) } else { *name == *self.text }
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

// === impl IdentityTest ===

impl IdentityTest {
    pub(super) fn holds(&self, tls: Option<&TlsFacts>) -> bool {
        let Some(names) = tls.filter(|tls| tls.client_certificate.is_some()).map(|tls| &tls.client_names) else {
            return false;
        };
        let fits = |wanted: &[Glob], names: &[Box<str>]| {
            wanted.is_empty() || wanted.iter().any(|glob| names.iter().any(|name| glob.fits(name)))
        };
        fits(&self.subject, &names.subject) && fits(&self.dns, &names.dns) && fits(&self.uri, &names.uris)
    }
}

// === impl FieldTest ===

impl FieldTest {
    pub(super) fn holds(&self, message: &[u8]) -> Result<bool, Malformed> {
        let value = self.reader.read(message)?;
        Ok(match (&self.test, value) {
            // without presence, zero is as good as unset
            (TypedTest::Present(wanted), value) => {
                let bare = self.reader.zero().is_some();
                value.is_some_and(|value| !(bare && value.is_zero())) == *wanted
            }
            (_, None) => false,
            (TypedTest::OneOf(values), Some(value)) => values.iter().any(|one| *one == value),
            (TypedTest::Prefix(prefix), Some(FieldValue::Text(text))) => text.starts_with(prefix),
            (TypedTest::Regex(regex), Some(FieldValue::Text(text))) => regex.is_match(text),
            (TypedTest::Prefix(_) | TypedTest::Regex(_), Some(FieldValue::Number(_))) => false,
        })
    }
}
