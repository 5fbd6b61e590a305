//! TLS towards upstreams: settings that can be compared, and the rustls configuration made of them.
//!
//! Material (certificates and keys) is renewed while calls run: a reload that finds other contents in the same files
//! keeps the cluster and its connections, and new connections use what is new ([`TlsSettings::is_renewal_of`],
//! [`TlsInUse`]).

mod san;
mod verifier;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{CertificateError, OtherError};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub use self::san::SanPattern;
use self::verifier::{Judge, Verifier};
use super::cluster::SettingsError;

/// How the certificates of an upstream are judged, and what it is shown. Holds contents, not file names, so that what
/// was checked at load is what is used.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsSettings {
    pub roots: Roots,
    /// What we show when the upstream asks for a client certificate.
    pub identity: Option<ClientIdentity>,
    /// The name to ask for (SNI, RFC 6066), and to check unless `san` says what to check; `None`: the endpoint's host.
    pub server_name: Option<Box<str>>,
    /// Names of which the certificate must have one, in place of the name asked for; empty: the name asked for.
    pub san: Arc<[SanPattern]>,
    /// Default TLS 1.2.
    pub oldest: TlsVersion,
    /// Every certificate passes, and so does everybody in between. A cluster that has this says so in the log.
    pub insecure_skip_verify: bool,
}

/// A version of TLS, to be the oldest that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246; what rustls speaks of it (ECDHE and AEAD only) is what RFC 9113, 9.2 asks for.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// The TLS that a cluster's next connection uses. Renewed by reloads, read by each connect.
#[derive(Debug)]
pub(super) struct TlsInUse {
    /// With the material that is in use.
    settings: Mutex<TlsSettings>,
    /// Made when the first endpoint over TLS comes.
    config: ArcSwapOption<rustls::ClientConfig>,
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
    /// The rustls configuration: ALPN `h2` and nothing else.
    pub(super) fn client_config(&self) -> Result<Arc<rustls::ClientConfig>, SettingsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[_] = match self.oldest {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| SettingsError::new(format!("TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(provider)?);
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

    /// Who judges the upstream's certificate. rustls's own judge, unless names are listed or nothing is to be judged.
    fn verifier(
        &self,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
        if self.insecure_skip_verify {
            return Ok(Verifier::new(Judge::Anyone, provider));
        }
        let roots = self.roots.store()?;
        if !self.san.is_empty() {
            return Ok(Verifier::new(Judge::Names { roots, san: Arc::clone(&self.san) }, provider));
        }
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(judge.map_err(|error| SettingsError::new(format!("certificate authorities: {error}")))?)
    }

    /// Whether these settings are those with nothing but material renewed: other authorities in the place of
    /// authorities, another certificate and key in the place of such.
    pub(super) fn is_renewal_of(&self, old: &TlsSettings) -> bool {
        let same_kind = std::mem::discriminant(&self.roots) == std::mem::discriminant(&old.roots)
            && self.identity.is_some() == old.identity.is_some();
        let old = TlsSettings { roots: self.roots.clone(), identity: self.identity.clone(), ..old.clone() };
        same_kind && *self == old
    }

    /// The name that is asked for, and that an endpoint's certificate must carry unless `san` is given.
    pub(super) fn name_for(&self, host: &str) -> Result<ServerName<'static>, SettingsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| SettingsError::new(format!("\"{name}\" can be no server name of TLS")))
    }
}

// === impl TlsInUse ===

impl TlsInUse {
    pub(super) fn new(settings: TlsSettings) -> TlsInUse {
        TlsInUse { settings: Mutex::new(settings), config: ArcSwapOption::empty() }
    }

    /// There is an endpoint over TLS.
    pub(super) fn make(&self, cluster: &str) -> Result<(), SettingsError> {
        let settings = self.lock();
        if self.config.load().is_none() {
            if settings.insecure_skip_verify {
                let text = "insecure_skip_verify: certificates are NOT verified, anybody can stand in between";
                tracing::warn!(cluster, "{text}");
            }
            self.config.store(Some(settings.client_config()?));
        }
        Ok(())
    }

    /// What a connection that is made now uses; `None` while no endpoint is over TLS.
    pub(super) fn current(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.config.load_full()
    }

    /// Has connections use this material from the next one on. Sessions of before are not resumed: they would go on
    /// with the old certificate. With an error nothing changes.
    pub(super) fn renew(&self, settings: &TlsSettings, cluster: &str) -> Result<(), SettingsError> {
        let mut known = self.lock();
        if *known == *settings {
            return Ok(());
        }
        let config = settings.client_config()?;
        if self.config.load().is_some() {
            self.config.store(Some(config));
        }
        known.clone_from(settings);
        tracing::info!(cluster, "certificates renewed, new connections use them");
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, TlsSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a handshake failed. rustls shows errors of a judge of ours in its debug form only.
pub(super) fn reason(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(ours)))) => {
            format!("invalid peer certificate: {ours}")
        }
        _ => error.to_string(),
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
    fn other_contents_of_the_same_files_are_a_renewal_and_nothing_else_is() {
        let pem = |text: &'static str| Roots::Pem(Arc::from(text.as_bytes()));
        let shown = |text: &str| ClientIdentity { certificate: text.as_bytes().into(), key: text.as_bytes().into() };
        let old = TlsSettings { roots: pem("a"), identity: Some(shown("a")), ..TlsSettings::default() };
        let renewed = TlsSettings { roots: pem("b"), identity: Some(shown("b")), ..old.clone() };
        assert!(renewed.is_renewal_of(&old) && old.is_renewal_of(&old));
        for other in [
            TlsSettings { roots: Roots::Public, ..renewed.clone() },
            TlsSettings { identity: None, ..renewed.clone() },
            TlsSettings { server_name: Some("x".into()), ..renewed.clone() },
            TlsSettings { san: [SanPattern::Dns("x".into())].into(), ..renewed.clone() },
            TlsSettings { oldest: TlsVersion::Tls13, ..renewed.clone() },
            TlsSettings { insecure_skip_verify: true, ..renewed.clone() },
        ] {
            assert!(!other.is_renewal_of(&old), "{other:?}");
        }
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let identity = ClientIdentity { certificate: Arc::from(&b"c"[..]), key: Arc::from(&b"secret"[..]) };
        assert_eq!(format!("{identity:?}"), "ClientIdentity");
    }
}
