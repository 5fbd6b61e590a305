//! Whom a certificate names: what rules about a caller's identity compare.

use x509_parser::extensions::GeneralName;

/// The names in a certificate. Whether they may be believed is for whoever verified it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Common names of the subject (RFC 5280, 4.1.2.6); mostly one.
    pub subject: Box<[Box<str>]>,
    /// Subject alternative names of type dNSName (RFC 5280, 4.2.1.6), as written.
    pub dns: Box<[Box<str>]>,
    /// Those of type uniformResourceIdentifier, as `spiffe://...`.
    pub uris: Box<[Box<str>]>,
}

// === impl CertificateNames ===

impl CertificateNames {
    /// The names in a certificate of DER. One that cannot be read, or says the same thing twice, names nobody.
    pub fn of(der: &[u8]) -> CertificateNames {
        read(der).unwrap_or_default()
    }
}

fn read(der: &[u8]) -> Option<CertificateNames> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject().iter_common_name().filter_map(|name| Some(name.as_str().ok()?.into()));
    let mut names = CertificateNames { subject: subject.collect(), ..CertificateNames::default() };
    if let Some(others) = certificate.subject_alternative_name().ok()? {
        let others = &others.value.general_names;
        names.dns =
            others.iter().filter_map(|name| text(name, |name| matches!(name, GeneralName::DNSName(_)))).collect();
        names.uris = others.iter().filter_map(|name| text(name, |name| matches!(name, GeneralName::URI(_)))).collect();
    }
    Some(names)
}

fn text(name: &GeneralName<'_>, wanted: impl Fn(&GeneralName<'_>) -> bool) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) if wanted(name) => Some((*text).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "shop");
        let uri = rcgen::string::Ia5String::try_from("spiffe://prod.example/ns/shop").expect("a URI");
        parameters.subject_alt_names.push(rcgen::SanType::URI(uri));
        let key = rcgen::KeyPair::generate().expect("a key");
        parameters.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn subject_and_alternative_names_are_read() {
        let names = CertificateNames::of(&certificate());
        assert!(names.subject.iter().any(|name| &**name == "shop"), "{names:?}");
        assert_eq!(*names.dns, ["a.example".into()]);
        assert_eq!(*names.uris, ["spiffe://prod.example/ns/shop".into()]);
    }

    #[test]
    fn a_damaged_certificate_names_nobody_and_is_no_panic() {
        let whole = certificate();
        for at in 0..whole.len() {
            let _ = CertificateNames::of(&whole[..at]);
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let _ = CertificateNames::of(&damaged);
        }
        assert_eq!(CertificateNames::of(b"no certificate"), CertificateNames::default());
    }
}
