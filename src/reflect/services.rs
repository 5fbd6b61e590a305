//! Which services of an upstream a catalog takes.

/// Patterns of services: `pkg.Service`, `pkg.*`, `*`; with `!` before it, what is left out again. The longest that fits
/// counts. Default: all but reflection itself and health, which are taken only where a pattern names them in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(Vec<String>);

/// Services that speak of the server and not of its purpose: behind an edge each instance would answer for itself.
const OWN: [&str; 3] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "grpc.health.v1.Health"];

/// The longest name that is believed, in bytes.
const MAX_NAME: usize = 1024;

/// Whether this is the full name of something in protobuf: names joined by dots.
pub(super) fn is_full_name(text: &str) -> bool {
    let is_name = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    };
    text.len() <= MAX_NAME && text.split('.').all(is_name)
}

// === impl Services ===

impl Services {
    /// Reads patterns. Errors: the first that is none, and why.
    pub fn parse<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Services, String> {
        let patterns: Vec<String> = patterns.into_iter().map(str::to_owned).collect();
        for pattern in &patterns {
            let name = pattern.strip_prefix('!').unwrap_or(pattern);
            let fits = name == "*" || is_full_name(name.strip_suffix(".*").unwrap_or(name));
            if !fits {
                return Err(format!(
                    "{pattern:?} is no pattern of services: pkg.Service, pkg.*, * or one of these behind !"
                ));
            }
        }
        Ok(Services(patterns))
    }

    /// Whether a service of this full name is taken.
    pub fn takes(&self, service: &str) -> bool {
        let fitting = self.0.iter().filter_map(|pattern| {
            let (taken, name) = match pattern.strip_prefix('!') {
                Some(name) => (false, name),
                None => (true, pattern.as_str()),
            };
            Some((reach(name, service)?, taken))
        });
        match fitting.max_by_key(|(reach, _)| *reach) {
            Some((reach, taken)) => taken && (reach == usize::MAX || !OWN.contains(&service)),
            // patterns that only leave out are about all others
            None => self.0.iter().all(|pattern| pattern.starts_with('!')) && !OWN.contains(&service),
        }
    }

    /// Patterns that fit none of these services and so mean nothing, in the order in which they were written.
    pub(super) fn idle<'s>(&'s self, services: &[String]) -> impl Iterator<Item = &'s str> {
        let idle = move |pattern: &&String| {
            let name = pattern.strip_prefix('!').unwrap_or(pattern);
            name != "*" && !services.iter().any(|service| reach(name, service).is_some())
        };
        self.0.iter().filter(idle).map(String::as_str).collect::<Vec<_>>().into_iter()
    }
}

/// How exactly a pattern names a service: the length of what it says; a full name most.
fn reach(pattern: &str, service: &str) -> Option<usize> {
    if pattern == "*" {
        return Some(0);
    }
    match pattern.strip_suffix(".*") {
        Some(package) => {
            let below = service.strip_prefix(package)?.starts_with('.');
            below.then_some(package.len())
        }
        None => (pattern == service).then_some(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_counts_and_the_servers_own_services_are_taken_by_name_alone() {
        let services = |patterns: &[&str]| Services::parse(patterns.iter().copied()).expect("patterns");
        let all = services(&[]);
        assert!(all.takes("a.B") && !all.takes("grpc.health.v1.Health") && !all.takes(OWN[0]) && !all.takes(OWN[1]));
        let some = services(&["a.*", "!a.b.*", "a.b.C", "grpc.health.v1.Health"]);
        let taken: Vec<bool> =
            ["a.X", "a.b.X", "a.b.C", "ab.X", "c.D", "grpc.health.v1.Health"].map(|name| some.takes(name)).into();
        assert_eq!(taken, [true, false, true, false, false, true]);
        assert!(!services(&["*"]).takes("grpc.health.v1.Health") && !services(&["grpc.*"]).takes(OWN[0]));
        let but = services(&["!a.B"]);
        assert!(but.takes("a.C") && !but.takes("a.B") && !but.takes(OWN[0]));
        assert_eq!(some.idle(&["a.X".into()]).collect::<Vec<_>>(), ["!a.b.*", "a.b.C", "grpc.health.v1.Health"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "a.", "a..b", "a*", "*.b", "a.b/*", "!", "1a", "a b", ".a"] {
            assert!(Services::parse([bad]).is_err(), "{bad:?}");
        }
    }
}
