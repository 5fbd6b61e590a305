//! Settling of what finds and checks endpoints, and of TLS towards them.

use std::path::Path;

use super::super::{certificate, value, written};
use super::{Settling, set, value_of, values_of};
use crate::config::written::At;
use crate::upstream::{
    ClientIdentity, ClusterSettings, Discovery, DnsSettings, EndpointSettings, EndpointsReader, FileSettings,
    KubernetesSettings, ProbeSettings, Roots, ServicePort, TlsSettings,
};

/// Between looks at a file of endpoints.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

impl Settling<'_> {
    /// Where the endpoints of a cluster come from. One source, and what is said of it fits it.
    pub(super) fn discovery(&mut self, w: &written::Discovery, endpoints: &[At<EndpointSettings>]) -> Discovery {
        if let Some(first) = endpoints.first() {
            let text = "`endpoints` and `discovery` exclude each other";
            self.mistakes.push(first.spot.mistake(text).hint("keep one of them"));
        }
        let sources = [
            ("dns", w.dns.is_some()),
            ("srv", w.srv.is_some()),
            ("file", w.file.is_some()),
            ("kubernetes", w.kubernetes.is_some()),
        ];
        let said: Vec<&str> = sources.iter().filter(|(_, said)| *said).map(|(name, _)| *name).collect();
        match said.as_slice() {
            [source] => self.beside(w, source),
            [] if sources.iter().any(|(name, _)| self.is_told(&w.spot, name)) => {}
            [] => self.mistakes.push(
                w.spot
                    .mistake("names no source")
                    .hint("one of dns, srv, file and kubernetes, as in `dns: books.example`"),
            ),
            [first, second, ..] => {
                let text = format!("`{first}` and `{second}` exclude each other");
                self.mistakes.push(w.spot.mistake(text).hint("one cluster, one source"));
            }
        }
        if let Some(dns) = &w.dns {
            Discovery::Dns(self.dns(w, dns))
        } else if let Some(srv) = &w.srv {
            Discovery::Srv(self.dns(w, srv))
        } else if let Some(file) = &w.file {
            Discovery::File(self.endpoints_file(file))
        } else if let Some(service) = &w.kubernetes {
            Discovery::Kubernetes(self.kubernetes(w, service))
        } else {
            Discovery::Fixed
        }
    }

    /// Complains about keys that mean nothing to a source.
    fn beside(&mut self, w: &written::Discovery, source: &str) {
        let name = |names: &[&str]| names.contains(&source);
        let keys = [
            ("port", w.port.as_ref().map(|at| &at.spot), name(&["dns", "kubernetes"])),
            ("tls", w.tls.as_ref().map(|at| &at.spot), name(&["dns", "srv", "kubernetes"])),
            ("family", w.families.as_ref().map(|at| &at.spot), name(&["dns", "srv"])),
            ("resolvers", w.resolvers.first().map(|at| &at.spot), name(&["dns", "srv"])),
            ("min_refresh", w.min_refresh.as_ref().map(|at| &at.spot), name(&["dns", "srv"])),
            ("max_refresh", w.max_refresh.as_ref().map(|at| &at.spot), name(&["dns", "srv"])),
            ("namespace", w.namespace.as_ref().map(|at| &at.spot), name(&["kubernetes"])),
            ("server", w.server.as_ref().map(|at| &at.spot), name(&["kubernetes"])),
            ("token", w.token.as_ref().map(|at| &at.spot), name(&["kubernetes"])),
            ("ca", w.ca.as_ref().map(|at| &at.spot), name(&["kubernetes"])),
        ];
        for (key, spot, fits) in keys {
            if let (Some(spot), false) = (spot, fits) {
                self.mistakes.push(spot.mistake(format!("`{key}` means nothing to endpoints by `{source}`")));
            }
        }
    }

    fn dns(&mut self, w: &written::Discovery, name: &At<String>) -> DnsSettings {
        let tls = value_of(&w.tls).unwrap_or(false);
        let port = match &w.port {
            Some(At { value: ServicePort::Number(port), .. }) => *port,
            Some(At { value: ServicePort::Named(name), spot }) => {
                let mistake = spot.mistake(format!("{name:?} is not a number"));
                self.mistakes.push(mistake.hint("DNS knows no names of ports but by `srv`"));
                0
            }
            None if tls => 443,
            None => 80,
        };
        let mut settings = DnsSettings::new(name.value.as_str(), port, tls);
        set(&mut settings.families, &w.families);
        set(&mut settings.min_refresh, &w.min_refresh);
        set(&mut settings.max_refresh, &w.max_refresh);
        settings.resolvers = values_of(&w.resolvers);
        if let (Some(most), true) = (&w.max_refresh, settings.min_refresh > settings.max_refresh) {
            let text = format!("is less than `min_refresh`, which is {:?}", settings.min_refresh);
            self.mistakes.push(most.spot.mistake(text));
        }
        settings
    }

    /// Its file need not be there yet, but what is there has to be good. It is no file of the configuration: others write
    /// it, and a change of it is no reload.
    fn endpoints_file(&mut self, file: &At<std::path::PathBuf>) -> FileSettings {
        let environment = |name: &str| std::env::var(name).ok();
        if file.value.exists()
            && let Err(mistakes) = written::endpoints_file(&file.value, &environment)
        {
            self.mistakes.extend(mistakes);
        }
        FileSettings { path: file.value.clone(), interval: LOOK_EVERY, reader: EndpointsReader(read_endpoints) }
    }

    fn kubernetes(&mut self, w: &written::Discovery, service: &At<String>) -> KubernetesSettings {
        if !cfg!(feature = "kubernetes") {
            let mistake = service.spot.mistake("this build has no Kubernetes in it");
            self.mistakes.push(mistake.hint("build with `cargo build --features kubernetes`"));
        }
        if let Some(ca) = &w.ca
            && let Err(wrong) = certificate::authorities(&ca.value)
        {
            self.mistakes.push(ca.spot.wrong(wrong));
        }
        KubernetesSettings {
            service: service.value.as_str().into(),
            namespace: value_of(&w.namespace).map(Into::into),
            port: value_of(&w.port),
            tls: value_of(&w.tls).unwrap_or(false),
            server: value_of(&w.server).map(Into::into),
            token: value_of(&w.token),
            ca: value_of(&w.ca),
        }
    }

    pub(super) fn health(&mut self, w: &written::Health) -> ProbeSettings {
        let mut settings = ProbeSettings::default();
        set(&mut settings.interval, &w.interval);
        set(&mut settings.no_traffic_interval, &w.no_traffic_interval);
        set(&mut settings.timeout, &w.timeout);
        set(&mut settings.healthy_threshold, &w.healthy_threshold);
        set(&mut settings.unhealthy_threshold, &w.unhealthy_threshold);
        set(&mut settings.mode, &w.mode);
        set(&mut settings.jitter, &w.jitter);
        settings.service = value_of(&w.service).unwrap_or_default().into();
        if let (Some(idle), true) = (&w.no_traffic_interval, settings.no_traffic_interval < settings.interval) {
            let text = format!("is less than `interval`, which is {:?}", settings.interval);
            self.mistakes.push(idle.spot.mistake(text).hint("a cluster without calls needs fewer checks, not more"));
        }
        settings
    }

    /// `clear`: whom this has no effect on, if all endpoints are clear text.
    pub(super) fn cluster_tls(&mut self, w: &written::ClusterTls, clear: Option<String>) -> TlsSettings {
        if let Some(clear) = clear {
            let text = format!("has no effect: {clear} is clear text");
            self.mistakes.push(w.identity.spot.mistake(text).hint("h2s:// in place of h2c://, or remove `tls`"));
        }
        self.contradictions(w);
        let ca = w.ca.as_ref().and_then(|ca| self.file(ca, certificate::authorities));
        let shown = w.identity.certificate.is_some() || w.identity.key.is_some();
        let identity = if shown { self.identity(&w.identity) } else { None };
        TlsSettings {
            roots: ca.map_or(Roots::Public, |pem| Roots::Pem(pem.into())),
            identity: identity.and_then(|_| {
                // checked just now; were it gone since, that is a mistake, and never a call without a certificate
                let certificate = self.file(w.identity.certificate.as_ref()?, certificate::text)?.into();
                let key = self.file(w.identity.key.as_ref()?, certificate::text)?.into();
                Some(ClientIdentity { certificate, key })
            }),
            server_name: value_of(&w.server_name).map(Into::into),
            san: values_of(&w.san).into(),
            oldest: value_of(&w.oldest).unwrap_or_default(),
            insecure_skip_verify: value_of(&w.insecure).unwrap_or(false),
        }
    }

    /// What is found by a name over TLS must be able to show a certificate for it.
    pub(super) fn name_of_what_is_found(&mut self, w: &written::Cluster, settings: &ClusterSettings) {
        let Some(discovery) = &w.discovery else { return };
        let Some(name) = settings.discovery.own_name().filter(|_| settings.discovery.may_use_tls()) else { return };
        if settings.tls.server_name.is_none() && value::server_name(&name).is_err() {
            let mistake = discovery.spot.mistake(format!("no certificate can be for {name:?}"));
            self.mistakes.push(mistake.hint("say `tls: {server_name: ...}`"));
        }
    }

    /// Who checks nothing has no use for what to check by.
    fn contradictions(&mut self, w: &written::ClusterTls) {
        let Some(insecure) = w.insecure.as_ref().filter(|insecure| insecure.value) else { return };
        let checks = [("ca", w.ca.as_ref().map(|at| &at.spot)), ("verify.san", w.san.first().map(|at| &at.spot))];
        for (key, spot) in checks {
            if spot.is_some() {
                let text = format!("would make `{key}` mean nothing");
                self.mistakes.push(insecure.spot.mistake(text).hint("remove one of the two"));
            }
        }
    }
}

/// For discovery, long after the load.
fn read_endpoints(path: &Path) -> Result<Vec<EndpointSettings>, String> {
    let environment = |name: &str| std::env::var(name).ok();
    written::endpoints_file(path, &environment)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
