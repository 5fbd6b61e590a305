//! TLS towards upstreams: settings that can be compared, and the rustls configuration made of them.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::cluster::SettingsError;

/// How the certificates of an upstream are judged, and what it is shown. Holds contents, not file names: a renewed
/// file makes other settings, and so other connections.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsSettings {
    pub roots: Roots,
    /// What we show when the upstream asks for a client certificate.
    pub identity: Option<ClientIdentity>,
    /// The name to ask for and to check; `None`: the endpoint's host.
    pub server_name: Option<Box<str>>,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Roots {
    /// The public authorities (Mozilla's list, as compiled in).
    #[default]
    Public,
    /// The certificates of this PEM text, and no others.
    Pem(Arc<[u8]>),
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    pub certificate: Arc<[u8]>,
    pub key: Arc<[u8]>,
}

/// The one protocol that we offer by ALPN.
pub(super) const ALPN: &[u8] = b"h2";

// === impl ClientIdentity ===

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the key is not for logs
        f.write_str("ClientIdentity")
    }
}

// === impl TlsSettings ===

impl TlsSettings {
    /// The rustls configuration: TLS 1.2 and 1.3, ALPN `h2` and nothing else.
    pub(super) fn client_config(&self) -> Result<Arc<rustls::ClientConfig>, SettingsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SettingsError::new(format!("TLS: {error}")))?
            .with_root_certificates(self.roots.store()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates(&identity.certificate, "client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(&identity.key)
                    .map_err(|error| SettingsError::new(format!("client key: {error}")))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| SettingsError::new(format!("client certificate: {error}")))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// The name that an endpoint's certificate must carry.
    pub(super) fn name_for(&self, host: &str) -> Result<ServerName<'static>, SettingsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| SettingsError::new(format!("\"{name}\" can be no server name of TLS")))
    }
}

// === impl Roots ===

impl Roots {
    fn store(&self) -> Result<rustls::RootCertStore, SettingsError> {
        let mut store = rustls::RootCertStore::empty();
        match self {
            Roots::Public => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Roots::Pem(pem) => {
                for certificate in certificates(pem, "certificate authorities")? {
                    store
                        .add(certificate)
                        .map_err(|error| SettingsError::new(format!("certificate authorities: {error}")))?;
                }
            }
        }
        Ok(store)
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(SettingsError::new(format!("{what}: no certificate in the PEM text"))),
        Ok(all) => Ok(all),
        Err(error) => Err(SettingsError::new(format!("{what}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_text_without_a_certificate_is_refused_with_what_it_was_for() {
        let settings = TlsSettings { roots: Roots::Pem(Arc::from(&b"# nothing"[..])), ..TlsSettings::default() };
        let error = settings.client_config().unwrap_err();
        assert_eq!(error.to_string(), "certificate authorities: no certificate in the PEM text");
    }

    #[test]
    fn only_http2_is_offered() {
        assert_eq!(TlsSettings::default().client_config().unwrap().alpn_protocols, [b"h2".to_vec()]);
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let identity = ClientIdentity { certificate: Arc::from(&b"c"[..]), key: Arc::from(&b"secret"[..]) };
        assert_eq!(format!("{identity:?}"), "ClientIdentity");
    }
}
