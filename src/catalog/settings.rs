//! Settings and hosts by pattern, merged into each method and service when a catalog is loaded.

use std::time::Duration;

use super::mistake::{Mistake, Place};
use super::service::{BytesForm, EnumForm, GuardMode, MethodSettings, UnknownFields, UnknownNumbers, Weave};
use crate::wire::closest;

/// Settings for the methods that a pattern names. `None`: as the next more general settings have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartialSettings {
    /// See [`MethodSettings::max_request_message`].
    pub max_request_message: Option<usize>,
    /// See [`MethodSettings::max_response_message`].
    pub max_response_message: Option<usize>,
    /// See [`MethodSettings::default_deadline`].
    pub default_deadline: Option<Option<Duration>>,
    /// See [`MethodSettings::max_deadline`].
    pub max_deadline: Option<Option<Duration>>,
    /// See [`MethodSettings::idle_timeout`].
    pub idle_timeout: Option<Option<Duration>>,
    /// See [`MethodSettings::unknown_json_fields`].
    pub unknown_json_fields: Option<UnknownFields>,
    /// See [`MethodSettings::ignored_query`].
    pub ignored_query: Option<Box<[Box<str>]>>,
    /// See [`MethodSettings::weave`].
    pub weave: Option<Weave>,
    /// See [`MethodSettings::print_unset`].
    pub print_unset: Option<bool>,
    /// See [`MethodSettings::proto_names`].
    pub proto_names: Option<bool>,
    /// See [`MethodSettings::enums`].
    pub enums: Option<EnumForm>,
    /// See [`MethodSettings::int64_numbers`].
    pub int64_numbers: Option<bool>,
    /// See [`MethodSettings::bytes`].
    pub bytes: Option<BytesForm>,
    /// See [`MethodSettings::indent`].
    pub indent: Option<u8>,
    /// See [`MethodSettings::upstream_encodings`].
    pub upstream_encodings: Option<Box<[Box<str>]>>,
    /// See [`MethodSettings::compress_from`].
    pub compress_from: Option<usize>,
    /// See [`MethodSettings::require_connect_version`].
    pub require_connect_version: Option<bool>,
    /// See [`MethodSettings::guard_requests`].
    pub guard_requests: Option<GuardMode>,
    /// See [`MethodSettings::guard_responses`].
    pub guard_responses: Option<GuardMode>,
    /// See [`MethodSettings::guard_unknown`].
    pub guard_unknown: Option<UnknownNumbers>,
    /// See [`MethodSettings::guard_max_repeated`].
    pub guard_max_repeated: Option<usize>,
    /// See [`MethodSettings::guard_max_string`].
    pub guard_max_string: Option<usize>,
    /// See [`MethodSettings::guard_max_bytes`].
    pub guard_max_bytes: Option<usize>,
    /// See [`MethodSettings::guard_max_depth`].
    pub guard_max_depth: Option<u32>,
    /// See [`MethodSettings::validate_requests`].
    pub validate_requests: Option<GuardMode>,
    /// See [`MethodSettings::validate_responses`].
    pub validate_responses: Option<GuardMode>,
}

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

// === impl MethodSettings ===

impl MethodSettings {
    /// Takes over what `partial` sets.
    pub fn merge(&mut self, partial: &PartialSettings) {
        fn take<T: Clone>(into: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                into.clone_from(value);
            }
        }
        take(&mut self.max_request_message, &partial.max_request_message);
        take(&mut self.max_response_message, &partial.max_response_message);
        take(&mut self.default_deadline, &partial.default_deadline);
        take(&mut self.max_deadline, &partial.max_deadline);
        take(&mut self.idle_timeout, &partial.idle_timeout);
        take(&mut self.unknown_json_fields, &partial.unknown_json_fields);
        take(&mut self.ignored_query, &partial.ignored_query);
        take(&mut self.weave, &partial.weave);
        take(&mut self.print_unset, &partial.print_unset);
        take(&mut self.proto_names, &partial.proto_names);
        take(&mut self.enums, &partial.enums);
        take(&mut self.int64_numbers, &partial.int64_numbers);
        take(&mut self.bytes, &partial.bytes);
        take(&mut self.indent, &partial.indent);
        take(&mut self.upstream_encodings, &partial.upstream_encodings);
        take(&mut self.compress_from, &partial.compress_from);
        take(&mut self.require_connect_version, &partial.require_connect_version);
        take(&mut self.guard_requests, &partial.guard_requests);
        take(&mut self.guard_responses, &partial.guard_responses);
        take(&mut self.guard_unknown, &partial.guard_unknown);
        take(&mut self.guard_max_repeated, &partial.guard_max_repeated);
        take(&mut self.guard_max_string, &partial.guard_max_string);
        take(&mut self.guard_max_bytes, &partial.guard_max_bytes);
        take(&mut self.guard_max_depth, &partial.guard_max_depth);
        take(&mut self.validate_requests, &partial.validate_requests);
        take(&mut self.validate_responses, &partial.validate_responses);
    }
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

/// The hosts of a service, lower case; empty: any.
pub(super) fn hosts(rules: &[HostRule], service: &str) -> Box<[Box<str>]> {
    let best = rules.iter().filter_map(|rule| Some((reach(&rule.pattern, service, '.')?, rule)));
    let rule = best.max_by_key(|(reach, _)| *reach);
    rule.map(|(_, rule)| rule.hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect()).unwrap_or_default()
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
            let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':'));
            let port = host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':'));
            if host.is_empty() || host.contains(odd) || port {
                let text = format!("{host:?} is no host name: give a name without port or wildcard");
                mistakes.push(complain(text, None, rule.place.as_ref()));
            }
        }
    }
    mistakes
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
