//! TLS material of listeners: PEM files in, rustls configurations out. Every error names its file.
//!
//! The crypto provider (aws-lc-rs) is given explicitly: nothing here depends on a process-wide default.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

/// The ALPN name of HTTP/2 (RFC 9113 section 3.2).
pub const ALPN_H2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1 (RFC 7301 section 6).
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A certificate chain (leaf first) and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a listener needs to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Shown to callers that ask for no name, or for one that `sni` does not hold.
    pub identity: Identity,
    /// Further identities by the name that the caller asks for. An exact name wins over `*.example.com`, which covers
    /// one label.
    pub sni: Vec<(Vec<String>, Identity)>,
    /// When given, callers must show a certificate signed by one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// A file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    pub file: PathBuf,
    pub problem: String,
}

/// Picks a certificate by SNI: exact name, then wildcard, then the default.
#[derive(Debug)]
struct Resolver {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

/// Reads all files of a listener's TLS settings.
///
/// Errors: the first file that is missing, holds no such thing, or whose key does not fit its certificate.
pub fn server(settings: &ServerSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let resolver = Resolver::load(settings, &provider)?;
    let file = &settings.identity.certificate;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(file, error))?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::new(ca, error))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    // tickets instead of a session table: nothing to lock between workers, nothing kept per caller; a reload makes
    // new keys, so that sessions do not outlive the authorities that vouched for them
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| TlsError::new(file, error))?;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of a file of authorities.
fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store.add(certificate).map_err(|error| TlsError::new(file, error))?;
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(|certificates| certificates.collect());
    let found = found.map_err(|error| TlsError::pem(file, &error, "certificate"))?;
    if found.is_empty() {
        return Err(TlsError::new(file, "no PEM certificate in it"));
    }
    Ok(found)
}

// === impl Identity ===

impl Identity {
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.certificate)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|error| TlsError::pem(&self.key, &error, "private key"))
    }

    fn certified(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let key =
            CertifiedKey::from_der(self.chain()?, self.private_key()?, provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::new(
                    &self.key,
                    format_args!("the private key does not belong to the certificate {}", self.certificate.display()),
                ),
                rustls::Error::InvalidCertificate(_) => TlsError::new(&self.certificate, error),
                error => TlsError::new(&self.key, error),
            })?;
        Ok(Arc::new(key))
    }
}

// === impl Resolver ===

impl Resolver {
    fn load(settings: &ServerSettings, provider: &CryptoProvider) -> Result<Resolver, TlsError> {
        let default = settings.identity.certified(provider)?;
        let mut resolver = Resolver { exact: HashMap::new(), wildcard: HashMap::new(), default };
        for (names, identity) in &settings.sni {
            let key = identity.certified(provider)?;
            for name in names {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(parent) => resolver.wildcard.insert(parent.to_owned(), Arc::clone(&key)),
                    None => resolver.exact.insert(name, Arc::clone(&key)),
                };
            }
        }
        Ok(resolver)
    }

    fn pick(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.exact.get(&name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
        });
        named.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.pick(hello.server_name())))
    }
}

// === impl TlsError ===

impl TlsError {
    fn new(file: &Path, problem: impl fmt::Display) -> TlsError {
        TlsError { file: file.to_owned(), problem: problem.to_string() }
    }

    fn pem(file: &Path, error: &pem::Error, wanted: &str) -> TlsError {
        match error {
            pem::Error::Io(error) => TlsError::new(file, format_args!("cannot read it: {error}")),
            pem::Error::NoItemsFound => TlsError::new(file, format_args!("no PEM {wanted} in it")),
            error => TlsError::new(file, format_args!("damaged PEM: {error}")),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.problem)
    }
}

impl std::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn identity(dir: &TempDir, name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let file = name.replace('*', "any");
        let identity = Identity {
            certificate: dir.path().join(format!("{file}.pem")),
            key: dir.path().join(format!("{file}.key")),
        };
        fs::write(&identity.certificate, made.cert.pem()).unwrap();
        fs::write(&identity.key, made.signing_key.serialize_pem()).unwrap();
        identity
    }

    fn settings(identity: Identity) -> ServerSettings {
        ServerSettings { identity, sni: Vec::new(), client_ca: None }
    }

    #[test]
    fn an_exact_name_wins_over_a_wildcard_and_a_wildcard_over_the_default() {
        let dir = TempDir::new().unwrap();
        let (default, wild, exact) =
            (identity(&dir, "default"), identity(&dir, "*.a.example"), identity(&dir, "x.a.example"));
        let settings = ServerSettings {
            sni: vec![(vec!["*.A.example".into()], wild), (vec!["x.a.example".into()], exact)],
            ..settings(default)
        };
        let resolver = Resolver::load(&settings, &provider()).unwrap();
        let same = |name: Option<&str>, key: &Arc<CertifiedKey>| Arc::ptr_eq(resolver.pick(name), key);
        assert!(same(Some("X.a.example"), &resolver.exact["x.a.example"]));
        assert!(same(Some("y.a.example"), &resolver.wildcard["a.example"]));
        assert!(same(Some("z.y.a.example"), &resolver.default), "a wildcard covers one label");
        assert!(same(Some("a.example"), &resolver.default));
        assert!(same(None, &resolver.default));
        assert_eq!(server(&settings).unwrap().alpn_protocols, [ALPN_H2, ALPN_HTTP1]);
    }

    #[test]
    fn every_error_names_its_file() {
        let dir = TempDir::new().unwrap();
        let (one, two) = (identity(&dir, "one"), identity(&dir, "two"));
        let missing = Identity { certificate: dir.path().join("none.pem"), ..one.clone() };
        let error = server(&settings(missing.clone())).unwrap_err();
        assert_eq!(error.file, missing.certificate);
        assert!(error.problem.starts_with("cannot read it"), "{error}");

        let mixed = Identity { key: two.key.clone(), ..one.clone() };
        let error = server(&settings(mixed)).unwrap_err();
        assert_eq!(error.file, two.key);
        assert!(error.problem.contains("does not belong"), "{error}");

        let swapped = Identity { certificate: one.key.clone(), key: one.certificate.clone() };
        let error = server(&settings(swapped)).unwrap_err();
        assert_eq!((error.file, error.problem.as_str()), (one.key.clone(), "no PEM certificate in it"));

        let keyless = Identity { key: one.certificate.clone(), ..one.clone() };
        let error = server(&settings(keyless)).unwrap_err();
        assert_eq!((error.file, error.problem.as_str()), (one.certificate.clone(), "no PEM private key in it"));

        let broken = dir.path().join("broken.pem");
        fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
        let error = server(&ServerSettings { client_ca: Some(broken.clone()), ..settings(one) }).unwrap_err();
        assert_eq!(error.file, broken);
        assert!(error.problem.starts_with("damaged PEM"), "{error}");
    }
}
