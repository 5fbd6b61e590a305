//! The command line's say: flags override the same keys of the file, and add a catalog of their own to its catalogs.

use std::path::PathBuf;

use super::value::{self, Parsed};
use super::written::{
    At, Catalog, Cors, Identity, Listener, ListenerTls, MODES, Reflect, Settings, Spot, Validate, Written,
};
use crate::catalog::{Conflicts, Mistake};

/// The name of the catalog, and of its cluster, that `--upstream`, `--proto-path`, `--proto`, `--descriptor-set`
/// and `--reflect` make.
pub const COMMAND_LINE: &str = "command-line";

/// The flags as they were typed. Text where a form has to be checked, so that their mistakes are reported together
/// with those of the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub listen: Vec<String>,
    pub upstream: Vec<String>,
    pub proto_path: Vec<PathBuf>,
    pub proto: Vec<PathBuf>,
    pub descriptor_set: Vec<PathBuf>,
    pub reflect: bool,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_client_ca: Option<PathBuf>,
    pub cors_origin: Vec<String>,
    pub workers: Option<String>,
    pub max_message_size: Option<String>,
    pub validate: Option<String>,
    pub conflicts: Option<String>,
    pub no_auto_mapping: bool,
    pub drain_timeout: Option<String>,
    pub admin: Option<String>,
}

// === impl Flags ===

impl Flags {
    /// Whether a flag speaks of a catalog.
    pub fn name_a_catalog(&self) -> bool {
        self.reflect
            || !(self.upstream.is_empty()
                && self.proto_path.is_empty()
                && self.proto.is_empty()
                && self.descriptor_set.is_empty())
    }

    /// Lays the flags over what the file says.
    pub(super) fn apply(&self, written: &mut Written) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        self.apply_listeners(written, &mut mistakes);
        self.apply_process(written, &mut mistakes);
        self.apply_catalogs(written, &mut mistakes);
        self.apply_settings(written, &mut mistakes);
        mistakes
    }

    /// `--listen` gives the addresses: the first takes the other settings of the file's first listener, and so on; those
    /// beyond the file's take the last's. So a listener never loses its TLS by being moved.
    fn apply_listeners(&self, written: &mut Written, mistakes: &mut Vec<Mistake>) {
        if !self.listen.is_empty() {
            let file = std::mem::take(&mut written.listeners);
            for (index, address) in self.listen.iter().enumerate() {
                let like = file.get(index).or(file.last()).cloned();
                let mut listener = like.unwrap_or_else(Listener::unsaid);
                listener.address = parsed(address, "--listen", mistakes, value::address);
                written.listeners.push(listener);
            }
        }
        if written.listeners.is_empty() && self.speaks_of_tls() {
            written.listeners.push(Listener::unsaid());
        }
        for listener in written.listeners.iter_mut().filter(|_| self.speaks_of_tls()) {
            self.apply_tls(listener);
        }
    }

    fn speaks_of_tls(&self) -> bool {
        self.tls_cert.is_some() || self.tls_key.is_some() || self.tls_client_ca.is_some()
    }

    fn apply_tls(&self, listener: &mut Listener) {
        let tls = listener.tls.get_or_insert_with(|| ListenerTls {
            identity: Identity { spot: Spot::flag("--tls-cert"), certificate: None, key: None },
            client_ca: None,
            sni: Vec::new(),
            plaintext: None,
        });
        if self.tls_cert.is_some() || self.tls_key.is_some() {
            // both or none come from here: half of a pair would not fit the file's other half
            let at = |path: &Option<PathBuf>, flag| path.clone().map(|value| At { value, spot: Spot::flag(flag) });
            tls.identity = Identity {
                spot: Spot::flag(if self.tls_cert.is_some() { "--tls-cert" } else { "--tls-key" }),
                certificate: at(&self.tls_cert, "--tls-cert"),
                key: at(&self.tls_key, "--tls-key"),
            };
        }
        if let Some(path) = &self.tls_client_ca {
            tls.client_ca = Some(At { value: path.clone(), spot: Spot::flag("--tls-client-ca") });
        }
    }

    fn apply_process(&self, written: &mut Written, mistakes: &mut Vec<Mistake>) {
        if let Some(text) = &self.workers {
            written.workers = parsed(text, "--workers", mistakes, value::count(1, 1024));
        }
        if let Some(text) = &self.drain_timeout {
            written.drain_timeout = parsed(text, "--drain-timeout", mistakes, value::seconds);
        }
        if let Some(text) = &self.admin {
            written.admin = parsed(text, "--admin", mistakes, value::address);
        }
        if !self.cors_origin.is_empty() {
            let cors = written.cors.get_or_insert_with(|| Cors::unsaid(Spot::flag("--cors-origin")));
            cors.origins = self
                .cors_origin
                .iter()
                .filter_map(|text| parsed(text, "--cors-origin", mistakes, value::origin))
                .collect();
        }
    }

    fn apply_catalogs(&self, written: &mut Written, mistakes: &mut Vec<Mistake>) {
        const CONFLICTS: &[(&str, Conflicts)] = &[("refuse", Conflicts::Refuse), ("report", Conflicts::Report)];
        if self.name_a_catalog() {
            let catalog = self.catalog(mistakes);
            written.catalogs.push(catalog);
        }
        let conflicts = self.conflicts.as_ref();
        let conflicts = conflicts.and_then(|text| parsed(text, "--conflicts", mistakes, value::choice(CONFLICTS)));
        for catalog in &mut written.catalogs {
            if conflicts.is_some() {
                catalog.conflicts.clone_from(&conflicts);
            }
            if self.no_auto_mapping {
                catalog.auto_mapping = Some(At { value: false, spot: Spot::flag("--no-auto-mapping") });
            }
        }
    }

    fn catalog(&self, mistakes: &mut Vec<Mistake>) -> Catalog {
        let paths = |paths: &[PathBuf], flag| -> Vec<At<PathBuf>> {
            paths.iter().map(|path| At { value: path.clone(), spot: Spot::flag(flag) }).collect()
        };
        let upstream =
            self.upstream.iter().filter_map(|url| parsed(url, "--upstream", mistakes, value::endpoint)).collect();
        let flag = if self.upstream.is_empty() { "--proto-path" } else { "--upstream" };
        Catalog {
            name: Some(At { value: COMMAND_LINE.to_owned(), spot: Spot::flag(flag) }),
            proto_paths: paths(&self.proto_path, "--proto-path"),
            protos: paths(&self.proto, "--proto"),
            descriptor_sets: paths(&self.descriptor_set, "--descriptor-set"),
            reflect: self.reflect.then(|| Reflect::unsaid(Spot::flag("--reflect"))),
            upstream,
            ..Catalog::unsaid(Spot::flag(flag))
        }
    }

    /// `--validate` is the word for all methods; what a file says of one service or method is more exact, and stays.
    fn apply_validation(&self, written: &mut Written, mistakes: &mut Vec<Mistake>) {
        let flag = "--validate";
        let Some(text) = &self.validate else { return };
        let Some(mode) = parsed(text, flag, mistakes, value::choice(MODES)) else { return };
        let spot = Spot::flag(flag);
        written.settings.push(Settings {
            matches: Some(At { value: "*".to_owned(), spot: spot.clone() }),
            validate: Validate { requests: Some(mode), responses: None },
            ..Settings::unsaid(spot)
        });
    }

    fn apply_settings(&self, written: &mut Written, mistakes: &mut Vec<Mistake>) {
        self.apply_validation(written, mistakes);
        let flag = "--max-message-size";
        let Some(text) = &self.max_message_size else { return };
        let Some(size) = parsed(text, flag, mistakes, value::size) else { return };
        let spot = Spot::flag(flag);
        // what is asked of callers is not asked of answers: they have room for the same, and for no less than by default
        let usual = crate::catalog::MethodSettings::default().max_response_message;
        let answers = if size.value == 0 { 0 } else { size.value.max(usual) };
        written.settings.push(Settings {
            matches: Some(At { value: "*".to_owned(), spot: spot.clone() }),
            max_request_message: Some(size),
            max_response_message: Some(At { value: answers, spot: spot.clone() }),
            ..Settings::unsaid(spot)
        });
    }
}

fn parsed<T>(text: &str, flag: &str, mistakes: &mut Vec<Mistake>, parse: impl Fn(&str) -> Parsed<T>) -> Option<At<T>> {
    let spot = Spot::flag(flag);
    match parse(text) {
        Ok(value) => Some(At { value, spot }),
        Err(wrong) => {
            mistakes.push(spot.wrong(wrong));
            None
        }
    }
}
