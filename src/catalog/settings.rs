//! Settings and hosts by pattern, merged into each method and service when a catalog is loaded.

use super::method_settings::{MethodSettings, PartialSettings};
use super::mistake::{Mistake, Place};
use crate::wire::closest;

/// One entry of the configuration's `settings`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingRule {
    /// `*` (all of the catalog), `pkg.Service/*`, or `pkg.Service/Method`.
    pub pattern: String,
    pub settings: PartialSettings,
    pub place: Option<Place>,
}

/// The host names under which services are reached; templates of the same shape may then stand side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostRule {
    /// `*`, `pkg.*` (all below a package), or `pkg.Service`. The most exact one holds.
    pub pattern: String,
    /// Names without port, in any case.
    pub hosts: Vec<String>,
    pub place: Option<Place>,
}

/// How exactly a pattern names something; a higher one is applied later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    All,
    Below(usize),
    Exact,
}

/// What holds for one method: default < `*` < `pkg.Service/*` < `pkg.Service/Method`; of equal patterns the later.
/// `path` is the method's, without the leading slash.
pub(super) fn settle(rules: &[SettingRule], path: &str) -> MethodSettings {
    let mut matching: Vec<_> = rules.iter().filter_map(|rule| Some((reach(&rule.pattern, path, '/')?, rule))).collect();
    matching.sort_by_key(|(reach, _)| *reach);
    let mut settings = MethodSettings::default();
    for (_, rule) in matching {
        settings.merge(&rule.settings);
    }
    settings
}

/// The rule that a setting of a method comes from, and what it says: of those that say something the one that
/// [`settle`] takes it from.
pub(super) fn origin<'r, T>(
    rules: &'r [SettingRule],
    path: &str,
    said: impl Fn(&'r PartialSettings) -> Option<T>,
) -> Option<(&'r SettingRule, T)> {
    let saying = rules.iter().filter_map(|rule| Some((reach(&rule.pattern, path, '/')?, rule, said(&rule.settings)?)));
    saying.max_by_key(|(reach, ..)| *reach).map(|(_, rule, said)| (rule, said))
}

/// Whether the pattern of a rule names this method.
pub(super) fn names(pattern: &str, path: &str) -> bool {
    reach(pattern, path, '/').is_some()
}

/// The hosts of a service, lower case; empty: any.
pub(super) fn hosts(rules: &[HostRule], service: &str) -> Box<[Box<str>]> {
    let best = rules.iter().filter_map(|rule| Some((reach(&rule.pattern, service, '.')?, rule)));
    let rule = best.max_by_key(|(reach, _)| *reach);
    rule.map(|(_, rule)| rule.hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect()).unwrap_or_default()
}

/// A `google.api.default_host` as a host name: without port, lower case. `None` if it is none.
pub(super) fn default_host(written: &str) -> Option<Box<str>> {
    let name = match written.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        _ => written,
    };
    is_host(name).then(|| name.to_ascii_lowercase().into())
}

/// Patterns that name no method of any catalog; `*` names them all, however few. `paths`: of all catalogs' methods,
/// without the leading slash.
pub fn check_settings(rules: &[SettingRule], paths: &[&str]) -> Vec<Mistake> {
    let unused = rules
        .iter()
        .filter(|rule| rule.pattern != "*" && !paths.iter().any(|path| reach(&rule.pattern, path, '/').is_some()));
    unused
        .map(|rule| {
            let meant = closest(&rule.pattern, paths.iter().copied()).map(str::to_owned).or_else(|| {
                let services = paths.iter().filter_map(|path| path.split('/').next());
                let service = rule.pattern.split('/').next().unwrap_or_default();
                let tail = rule.pattern.split_once('/').map_or("*", |(_, tail)| tail);
                closest(service, services).filter(|found| *found != service).map(|found| format!("{found}/{tail}"))
            });
            complain(format!("{:?} matches no method", rule.pattern), meant, rule.place.as_ref())
        })
        .collect()
}

/// Patterns that name no service, and hosts that are no host names.
pub(super) fn check_hosts(rules: &[HostRule], services: &[&str]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for rule in rules {
        if !services.iter().any(|service| reach(&rule.pattern, service, '.').is_some()) {
            let meant = closest(&rule.pattern, services.iter().copied()).map(str::to_owned);
            let text = format!("{:?} matches no service of the catalog", rule.pattern);
            mistakes.push(complain(text, meant, rule.place.as_ref()));
        }
        for host in &rule.hosts {
            if !is_host(host) {
                let text = format!("{host:?} is no host name: give a name without port or wildcard");
                mistakes.push(complain(text, None, rule.place.as_ref()));
            }
        }
    }
    mistakes
}

fn is_host(name: &str) -> bool {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':'));
    let port = name.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':'));
    !(name.is_empty() || name.contains(odd) || port)
}

pub(super) fn complain(text: String, meant: Option<String>, place: Option<&Place>) -> Mistake {
    let mut mistake = Mistake::new(text);
    mistake.place = place.cloned();
    mistake.hint = meant.map(|meant| format!("did you mean {meant:?}?"));
    mistake
}

/// Whether a pattern names this, and how exactly: `*`, a prefix that ends in `separator` and `*`, or the name itself.
fn reach(pattern: &str, name: &str, separator: char) -> Option<Reach> {
    match pattern.strip_suffix('*') {
        Some("") => Some(Reach::All),
        Some(prefix) => (prefix.ends_with(separator) && name.starts_with(prefix)).then_some(Reach::Below(prefix.len())),
        None => (pattern == name).then_some(Reach::Exact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, bytes: usize) -> SettingRule {
        SettingRule {
            pattern: pattern.into(),
            settings: PartialSettings { max_request_message: Some(bytes), ..Default::default() },
            place: Some(Place::new("c.yaml", 3, 5)),
        }
    }

    #[test]
    fn the_more_exact_pattern_wins_whatever_the_order() {
        let rules = [rule("a.S/M", 3), rule("*", 1), rule("a.S/*", 2), rule("a.S/M", 4)];
        assert_eq!(settle(&rules, "a.S/M").max_request_message, 4);
        assert_eq!(settle(&rules, "a.S/N").max_request_message, 2);
        assert_eq!(settle(&rules, "b.S/M").max_request_message, 1);
        assert_eq!(settle(&[], "b.S/M"), MethodSettings::default());
    }

    #[test]
    fn a_pattern_that_names_nothing_is_a_mistake_with_a_hint() {
        let paths = ["shop.Shop/Get", "shop.Shop/Put"];
        let rules = [rule("shop.Shop/Gte", 1), rule("shop.Shpo/*", 1), rule("shop.*", 1), rule("shop.Shop/*", 1)];
        let mistakes = check_settings(&rules, &paths);
        let hints: Vec<_> = mistakes.iter().map(|mistake| mistake.hint.as_deref()).collect();
        assert_eq!(hints[..2], [Some("did you mean \"shop.Shop/Get\"?"), Some("did you mean \"shop.Shop/*\"?")]);
        assert_eq!(mistakes.len(), 3);
        assert_eq!(mistakes[0].place, Some(Place::new("c.yaml", 3, 5)));
    }

    #[test]
    fn hosts_come_from_the_most_exact_pattern() {
        let host =
            |pattern: &str, host: &str| HostRule { pattern: pattern.into(), hosts: vec![host.into()], place: None };
        let rules = [host("a.S", "Exact.example"), host("*", "all.example"), host("a.*", "below.example")];
        assert_eq!(*hosts(&rules, "a.S"), ["exact.example".into()]);
        assert_eq!(*hosts(&rules, "a.T"), ["below.example".into()]);
        assert_eq!(*hosts(&rules, "b.S"), ["all.example".into()]);
        assert!(check_hosts(&rules, &["a.S", "a.T"]).is_empty());
        let bad = [host("c.S", "x.example"), host("a.S", "x:80"), host("a.S", "*.x"), host("a.S", "")];
        assert_eq!(check_hosts(&bad, &["a.S"]).len(), 4);
    }
}
