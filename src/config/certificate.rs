//! Whether the files that TLS needs are there, are what they should be, and belong together. Told at load, not at the
//! first handshake.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::value::{Parsed, Wrong, wrong};

/// Reads a chain of certificates; at least one.
pub(super) fn chain(path: &Path) -> Parsed<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(path)?).collect();
    match found {
        Ok(chain) if chain.is_empty() => Err(wrong(format!("{} holds no certificate", path.display()))
            .hint("a PEM file begins with -----BEGIN CERTIFICATE-----")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(format!("{} is no PEM file: {error}", path.display()))),
    }
}

/// Reads a private key.
pub(super) fn key(path: &Path) -> Parsed<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&text(path)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => wrong(format!("{} holds no private key", path.display()))
            .hint("PEM, without a pass phrase: PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"),
        error => wrong(format!("{} is no PEM file: {error}", path.display())),
    })
}

/// Whether a key is one that can be used, and belongs to the chain's first certificate.
pub(super) fn belong_together(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Parsed<()> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(wrong("the key does not belong to the certificate")
            .hint("the certificate of the key comes first in its file, before those that signed it")),
        Err(error) => Err(wrong(format!("certificate and key cannot be used: {error}"))),
    }
}

/// The text of a file in which every certificate can be trusted as an authority.
pub(super) fn authorities(path: &Path) -> Parsed<Vec<u8>> {
    let mut roots = rustls::RootCertStore::empty();
    for (index, certificate) in chain(path)?.into_iter().enumerate() {
        let refused =
            |error| wrong(format!("certificate {} of {} is no authority: {error}", index + 1, path.display()));
        roots.add(certificate).map_err(refused)?;
    }
    text(path)
}

/// A file that does not hold what it should is small all the same.
const MAX_BYTES: u64 = 8 << 20;

/// A PEM file as it is.
pub(super) fn text(path: &Path) -> Parsed<Vec<u8>> {
    let unreadable = |error: std::io::Error| unreadable(path, &error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_BYTES), &mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// What to say of a file that cannot be opened.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Wrong {
    match error.kind() {
        std::io::ErrorKind::NotFound => wrong(format!("there is no file {}", path.display())),
        _ => wrong(format!("{} cannot be read: {error}", path.display())),
    }
}
