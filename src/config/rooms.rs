//! Settled values as the settings of the rooms: the rooms know nothing of configuration.

use std::path::Path;
use std::sync::Arc;

use super::settled::{Cluster, Cors, Identity, Listener, Settled};
use crate::catalog::{Mistake, Place};
use crate::listen;
use crate::net::tls;
use crate::policy::cors;
use crate::upstream::{ClientIdentity, ClusterSettings, EndpointSettings, Roots, TlsSettings};

// === impl Listener ===

impl Listener {
    /// For `listen`. Certificates are read there, and again by every reload.
    pub fn settings(&self) -> listen::Settings {
        let mut settings = listen::Settings::new(self.address);
        if let Some(tls) = &self.tls {
            settings.tls = Some(tls::ServerSettings {
                identity: identity(&tls.identity),
                sni: tls.sni.iter().map(|sni| (sni.names.clone(), identity(&sni.identity))).collect(),
                client_ca: tls.client_ca.clone(),
            });
            settings.plaintext_also = tls.plaintext_also;
        }
        settings.max_connections = self.max_connections;
        settings.greeting_timeout = self.header_timeout;
        settings.header_timeout = self.header_timeout;
        settings.idle_timeout = self.idle_timeout;
        settings.max_age = self.max_age;
        settings.max_concurrent_streams = self.max_concurrent_streams;
        settings.max_header_bytes = self.max_header_bytes;
        settings
    }
}

fn identity(identity: &Identity) -> tls::Identity {
    tls::Identity { certificate: identity.certificate.clone(), key: identity.key.clone() }
}

// === impl Settled ===

impl Settled {
    /// For `upstream`. Reads the certificates of its clusters, so that renewed files make other settings. Errors: the
    /// files that cannot be read.
    pub fn cluster_settings(&self) -> Result<Vec<ClusterSettings>, Vec<Mistake>> {
        let (mut clusters, mut mistakes) = (Vec::with_capacity(self.clusters.len()), Vec::new());
        for cluster in &self.clusters {
            match cluster.settings() {
                Ok(settings) => clusters.push(settings),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(clusters) } else { Err(mistakes) }
    }
}

// === impl Cluster ===

impl Cluster {
    fn settings(&self) -> Result<ClusterSettings, Mistake> {
        let endpoints = self.endpoints.iter().map(|endpoint| EndpointSettings {
            host: endpoint.host.as_str().into(),
            port: endpoint.port,
            tls: endpoint.tls,
        });
        let mut settings = ClusterSettings::new(self.name.as_str(), endpoints.collect());
        settings.connect_timeout = self.connect_timeout;
        settings.max_connections = self.max_connections;
        settings.keep_alive_interval = self.keep_alive.interval;
        settings.keep_alive_timeout = self.keep_alive.timeout;
        settings.authority = self.authority.as_deref().map(Into::into);
        settings.tls = TlsSettings {
            roots: match &self.tls.ca {
                Some(file) => Roots::Pem(read(file)?),
                None => Roots::Public,
            },
            identity: match &self.tls.identity {
                Some(identity) => {
                    Some(ClientIdentity { certificate: read(&identity.certificate)?, key: read(&identity.key)? })
                }
                None => None,
            },
            server_name: self.tls.server_name.as_deref().map(Into::into),
        };
        Ok(settings)
    }
}

fn read(file: &Path) -> Result<Arc<[u8]>, Mistake> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Mistake::new(error.to_string()).at(Place::new(file.display().to_string(), 0, 0))),
    }
}

// === impl Cors ===

impl Cors {
    /// For `policy`.
    pub fn settings(&self) -> cors::Settings {
        cors::Settings {
            origins: self.origins.clone(),
            methods: self.methods.clone(),
            allow_headers: self.allow_headers.clone(),
            expose_headers: self.expose_headers.clone(),
            credentials: self.credentials,
            max_age: self.max_age,
        }
    }
}
