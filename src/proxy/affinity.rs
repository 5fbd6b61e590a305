//! What a call's endpoint is chosen by, where the cluster looks at the call: a header or a cookie of the caller's, or a field
//! of the first message.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{COOKIE, HeaderMap};

use super::handler::Call;
use super::target::first_message;
use super::uplink::Uplink;
use crate::call::{Kind, Refusal};
use crate::catalog::{Catalog, FieldReader, FieldValue, MessageId, Mistake};
use crate::upstream::{Balance, Cluster, ClusterSettings, HashBy, hash_key};

/// Where requests have the keys of clusters that hash a field, looked up when the tables are made.
#[derive(Debug, Default)]
pub struct FieldKeys(HashMap<Box<str>, Readers>);

/// By catalog and type of the request; of types that have no such field there is none.
type Readers = HashMap<(u32, MessageId), FieldReader>;

// === impl FieldKeys ===

impl FieldKeys {
    /// Errors: a field that no request of any catalog has.
    pub fn resolve(clusters: &[ClusterSettings], catalogs: &[Arc<Catalog>]) -> Result<FieldKeys, Vec<Mistake>> {
        let (mut keys, mut mistakes) = (HashMap::new(), Vec::new());
        for settings in clusters {
            let Balance::RingHash(HashBy::Field(path)) = &settings.balance else { continue };
            match readers(path, catalogs) {
                Ok(readers) => drop(keys.insert((&*settings.name).into(), readers)),
                Err(mistake) => mistakes.push(mistake.key(format!("clusters.{}.hash_by.field", settings.name))),
            }
        }
        if mistakes.is_empty() { Ok(FieldKeys(keys)) } else { Err(mistakes) }
    }

    pub(super) fn reader(&self, cluster: &str, catalog: u32, message: MessageId) -> Option<&FieldReader> {
        self.0.get(cluster)?.get(&(catalog, message))
    }
}

fn readers(path: &str, catalogs: &[Arc<Catalog>]) -> Result<Readers, Mistake> {
    let (mut readers, mut first) = (Readers::new(), None);
    for (number, catalog) in (0..).zip(catalogs) {
        for method in &catalog.methods {
            match FieldReader::new(&catalog.schema, method.input, path) {
                Ok(reader) => drop(readers.insert((number, method.input), reader)),
                Err(mistake) => drop(first.get_or_insert(mistake)),
            }
        }
    }
    match first.filter(|_| readers.is_empty()) {
        Some(Mistake { text, hint, .. }) => {
            let mistake = Mistake::new(format!("no method's request has a field {path:?} to hash: {text}"));
            Err(hint.into_iter().fold(mistake, Mistake::hint))
        }
        None => Ok(readers),
    }
}

// === impl Call ===

impl Call {
    /// The key in the first message, which is waited for; it stays to be sent. A field that is not set is no key, and
    /// neither is an empty text. What cannot be read has none: the upstream will say what is wrong with it.
    ///
    /// Errors: what refuses the request whatever its cluster hashes.
    pub(super) async fn key_in_message(&self, uplink: &mut Uplink) -> Result<Option<u64>, Refusal> {
        let Some(reader) = self.called.field_key(self.cluster().name()) else { return Ok(None) };
        let message = match first_message(&self.called, self.packed, uplink).await {
            Err(refusal) if refusal.kind == Kind::UnknownEncoding => None,
            message => message?,
        };
        Ok(match message.as_deref().map(|message| reader.read(message)) {
            Some(Ok(Some(FieldValue::Text(text)))) if !text.is_empty() => Some(hash_key(text)),
            Some(Ok(Some(FieldValue::Number(number)))) => Some(hash_key(&number.to_le_bytes())),
            _ => None,
        })
    }
}

/// The key of a call with this head; `None` if the cluster does not ask for one, or the head has none. A key that is a
/// field is found by [`Call::key_in_message`].
pub(super) fn key(cluster: &Cluster, headers: &HeaderMap) -> Option<u64> {
    match &cluster.settings().balance {
        Balance::RingHash(HashBy::Header(name)) => headers.get(name).map(|value| hash_key(value.as_bytes())),
        Balance::RingHash(HashBy::Cookie(name)) => cookie(headers, name.as_bytes()).map(hash_key),
        Balance::RingHash(HashBy::Field(_)) | Balance::P2c | Balance::RoundRobin | Balance::LeastRequest => None,
    }
}

/// Whether the key is a field of the message.
pub(super) fn needs_message(cluster: &Cluster) -> bool {
    matches!(cluster.settings().balance, Balance::RingHash(HashBy::Field(_)))
}

/// The first cookie of this name (RFC 6265, 4.2.1; HTTP/2 may part the header, RFC 9113, 8.2.3).
fn cookie<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    let values = headers.get_all(COOKIE).iter();
    let mut pairs = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::ClusterSettings;

    fn keys(balance: Balance, headers: &[(&'static str, &str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let settings = ClusterSettings { balance, ..ClusterSettings::new("a", Vec::new()) };
        key(&Cluster::new(settings).unwrap(), &map)
    }

    #[test]
    fn the_key_is_the_header_or_the_cookie_that_the_cluster_names() {
        let header = || Balance::RingHash(HashBy::Header("x-user".parse().unwrap()));
        assert_eq!(keys(header(), &[("x-user", "ada")]), Some(hash_key(b"ada")));
        assert_eq!(keys(header(), &[("x-usher", "ada")]), None);
        let cookie = || Balance::RingHash(HashBy::Cookie("sid".into()));
        for good in ["sid=7", "a=b; sid=7; c=d", " sid=7 ", "sid=\"7\"", "xsid=1;sid=7"] {
            assert_eq!(keys(cookie(), &[("cookie", good)]), Some(hash_key(b"7")), "{good}");
        }
        for none in ["", "sid", "sidx=7", ";;=;", "xsid=7"] {
            assert_eq!(keys(cookie(), &[("cookie", none)]), None, "{none}");
        }
        assert_eq!(keys(cookie(), &[("cookie", "a=b"), ("cookie", "sid=")]), Some(hash_key(b"")));
        assert_eq!(keys(Balance::P2c, &[("x-user", "ada")]), None);
    }
}
