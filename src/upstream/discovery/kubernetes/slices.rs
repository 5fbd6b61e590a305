//! EndpointSlices (`discovery.k8s.io/v1`), as far as they tell where calls can go.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::ServicePort;
use crate::upstream::EndpointSettings;

/// The slices of a service, as lists and watches left them.
#[derive(Debug, Default)]
pub(super) struct Slices(BTreeMap<String, Slice>);

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    pub(super) metadata: ListMetadata,
    items: Option<Vec<Slice>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
    /// Names the next page; empty: there is none.
    pub(super) r#continue: String,
}

/// What a line of a watch came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Some slice is another now, or gone. With the version to go on from.
    Changed(String),
    /// Only the version to go on from.
    Bookmark(String),
    /// The version that the watch began with is forgotten (410), so all has to be listed again.
    Gone,
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What a failed request, or the last line of a watch, says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    metadata: Metadata,
    #[serde(default)]
    endpoints: Option<Vec<Pod>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
}

/// What a bookmark has of a slice.
#[derive(Debug, Deserialize)]
struct Bare {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Pod {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
    zone: Option<String>,
    hints: Option<Hints>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hints {
    for_zones: Option<Vec<Zone>>,
}

#[derive(Debug, Deserialize)]
struct Zone {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
}

/// Slices of one service that are kept. Each has a hundred endpoints by default.
const MOST: usize = 1024;

// === impl Slices ===

impl Slices {
    /// Adds a page of a list.
    pub(super) fn add(&mut self, list: List) {
        for slice in list.items.into_iter().flatten() {
            self.put(slice);
        }
    }

    fn put(&mut self, slice: Slice) {
        if self.0.len() < MOST || self.0.contains_key(&slice.metadata.name) {
            self.0.insert(slice.metadata.name.clone(), slice);
        }
    }

    /// Takes in a line of a watch.
    ///
    /// Errors: it is none, or the server says that something is wrong.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Change, String> {
        let garbled = |error: serde_json::Error| format!("a line of the watch is garbled: {error}");
        let event: Event<'_> = serde_json::from_slice(line).map_err(garbled)?;
        let object = event.object.get();
        match event.r#type {
            "ADDED" | "MODIFIED" => {
                let slice: Slice = serde_json::from_str(object).map_err(garbled)?;
                let version = slice.metadata.resource_version.clone();
                self.put(slice);
                Ok(Change::Changed(version))
            }
            "DELETED" => {
                let slice: Bare = serde_json::from_str(object).map_err(garbled)?;
                self.0.remove(&slice.metadata.name);
                Ok(Change::Changed(slice.metadata.resource_version))
            }
            "BOOKMARK" => {
                let bare: Bare = serde_json::from_str(object).map_err(garbled)?;
                Ok(Change::Bookmark(bare.metadata.resource_version))
            }
            "ERROR" => match serde_json::from_str::<Status>(object).unwrap_or_default() {
                Status { code: 410, .. } => Ok(Change::Gone),
                status => Err(status.told()),
            },
            other => Err(format!("a line of the watch is of the unknown type {other:?}")),
        }
    }

    /// Where calls can go: pods that are ready; where there are none, those that still serve while they go.
    ///
    /// Errors: the service has several ports, and none was chosen.
    pub(super) fn endpoints(&self, port: Option<&ServicePort>, tls: bool) -> Result<Vec<EndpointSettings>, String> {
        let (mut ready, mut leaving) = (Vec::new(), Vec::new());
        for slice in self.0.values() {
            let Some(number) = slice.port(port)? else { continue };
            for pod in slice.endpoints.iter().flatten() {
                let Some(address) = pod.addresses.first() else { continue };
                let endpoint =
                    EndpointSettings { zone: pod.zone(), ..EndpointSettings::new(address.as_str(), number, tls) };
                match (pod.is_ready(), pod.serves_while_it_goes()) {
                    (true, _) => ready.push(endpoint),
                    (false, true) => leaving.push(endpoint),
                    (false, false) => {}
                }
            }
        }
        Ok(if ready.is_empty() { leaving } else { ready })
    }
}

// === impl Slice ===

impl Slice {
    /// `None`: this slice has no such port, as happens while pods of two versions stand side by side.
    fn port(&self, wanted: Option<&ServicePort>) -> Result<Option<u16>, String> {
        let ports = || self.ports.iter().flatten().filter(|port| port.protocol.as_deref().is_none_or(|p| p == "TCP"));
        let found = match wanted {
            Some(ServicePort::Named(name)) => ports().find(|port| port.name.as_deref() == Some(name)),
            Some(ServicePort::Number(number)) => ports().find(|port| port.port == Some(*number)),
            None => {
                if ports().count() > 1 {
                    let names: Vec<&str> = ports().filter_map(|port| port.name.as_deref()).take(8).collect();
                    return Err(format!("the service has several ports ({}), say which", names.join(", ")));
                }
                ports().next()
            }
        };
        Ok(found.and_then(|port| port.port).filter(|port| *port > 0))
    }
}

// === impl Pod ===

impl Pod {
    /// What is not said counts as ready (the API's reference).
    fn is_ready(&self) -> bool {
        self.conditions.ready.unwrap_or(true)
    }

    fn serves_while_it_goes(&self) -> bool {
        self.conditions.serving.unwrap_or(false) && self.conditions.terminating.unwrap_or(false)
    }

    /// The zone that its calls are to come from, where the control plane says so; else the one that it stands in.
    fn zone(&self) -> Option<Box<str>> {
        let hinted = self.hints.as_ref().and_then(|hints| hints.for_zones.as_deref());
        match hinted {
            Some([only]) => Some(only.name.as_str().into()),
            _ => self.zone.as_deref().map(Into::into),
        }
    }
}

// === impl Status ===

impl Status {
    /// For logs.
    pub(super) fn told(&self) -> String {
        let message: String = self.message.chars().filter(|c| !c.is_control()).take(300).collect();
        format!("{} {message}", self.code).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKS: &str = r#"{"metadata": {"name": "books-1", "resourceVersion": "7"}, "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "zone": "a"},
            {"addresses": ["10.0.0.2"], "conditions": {}, "zone": "a", "hints": {"forZones": [{"name": "b"}]}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": false}},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": []}
        ],
        "ports": [{"name": "grpc", "port": 50051, "protocol": "TCP"}, {"name": "quic", "port": 1, "protocol": "UDP"}]}"#;

    fn slices(lines: &[String]) -> Slices {
        let mut slices = Slices::default();
        for line in lines {
            slices.take(line.as_bytes()).unwrap();
        }
        slices
    }

    fn event(kind: &str, object: &str) -> String {
        format!(r#"{{"type": "{kind}", "object": {object}}}"#)
    }

    fn labels(slices: &Slices, port: Option<&ServicePort>) -> Vec<String> {
        slices.endpoints(port, false).unwrap().iter().map(EndpointSettings::label).collect()
    }

    #[test]
    fn ready_pods_are_called_and_going_ones_only_when_nobody_else_is_there() {
        let mut all = slices(&[event("ADDED", BOOKS)]);
        assert_eq!(labels(&all, None), ["10.0.0.1:50051", "10.0.0.2:50051"]);
        let zones: Vec<_> = all.endpoints(None, false).unwrap().into_iter().map(|endpoint| endpoint.zone).collect();
        assert_eq!(zones, [Some("a".into()), Some("b".into())]);
        let none_ready = BOOKS
            .replace("\"ready\": true", "\"ready\": false")
            .replace("\"conditions\": {}", "\"conditions\": {\"ready\": false}");
        all.take(event("MODIFIED", &none_ready).as_bytes()).unwrap();
        assert_eq!(labels(&all, None), ["10.0.0.4:50051"]);
        assert_eq!(all.take(event("DELETED", BOOKS).as_bytes()), Ok(Change::Changed("7".into())));
        assert_eq!(labels(&all, None), [] as [&str; 0]);
    }

    #[test]
    fn a_port_is_chosen_by_name_or_number_and_never_guessed() {
        let two = BOOKS.replace("UDP", "TCP");
        let two = slices(&[event("ADDED", &two)]);
        assert!(two.endpoints(None, false).unwrap_err().contains("(grpc, quic)"));
        assert_eq!(labels(&two, Some(&ServicePort::Named("quic".into())))[0], "10.0.0.1:1");
        assert_eq!(labels(&two, Some(&ServicePort::Number(50051)))[0], "10.0.0.1:50051");
        assert_eq!(labels(&two, Some(&ServicePort::Number(9))).len(), 0);
    }

    #[test]
    fn other_lines_say_where_to_go_on() {
        let mut slices = Slices::default();
        let bookmark = event("BOOKMARK", r#"{"metadata": {"resourceVersion": "99"}}"#);
        assert_eq!(slices.take(bookmark.as_bytes()), Ok(Change::Bookmark("99".into())));
        let gone = event("ERROR", r#"{"code": 410, "message": "too old resource version"}"#);
        assert_eq!(slices.take(gone.as_bytes()), Ok(Change::Gone));
        let wrong = event("ERROR", r#"{"code": 500, "message": "etcd is out"}"#);
        assert_eq!(slices.take(wrong.as_bytes()), Err("500 etcd is out".into()));
    }

    #[test]
    fn lists_may_have_null_where_there_is_nothing() {
        let list: List = serde_json::from_str(r#"{"metadata": {"resourceVersion": "3"}, "items": null}"#).unwrap();
        assert_eq!((list.metadata.resource_version.as_str(), list.metadata.r#continue.as_str()), ("3", ""));
        let bare = r#"{"items": [{"metadata": {"name": "x"}, "endpoints": null, "ports": null}]}"#;
        let mut slices = Slices::default();
        slices.add(serde_json::from_str(bare).unwrap());
        assert_eq!(labels(&slices, None).len(), 0);
    }

    #[test]
    fn damaged_lines_are_refused_and_change_nothing() {
        let line = event("ADDED", BOOKS);
        for end in 0..line.len() {
            let mut slices = Slices::default();
            assert!(slices.take(&line.as_bytes()[..end]).is_err(), "cut at {end}");
            assert_eq!(labels(&slices, None).len(), 0);
        }
        for bad in ["{}", "[]", r#"{"type": "ADDED", "object": 5}"#, r#"{"type": "NEW", "object": {}}"#, "\u{0}"] {
            assert!(Slices::default().take(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
