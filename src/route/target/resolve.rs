//! Rules as they are written to plans of methods; every mistake in them has its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::uri::PathAndQuery;

use super::condition::{FieldRule, FieldTest, FieldWanted, TypedTest};
use super::{FieldReader, Plan, Planned, Resolved, TargetRule, Targets};
use crate::catalog::{Catalog, LeafKind, MessageId, Method, Mistake, Place, Schema};
use crate::wire::closest;

/// Whether a pattern names this method (`pkg.Service/Method`).
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

// === impl Targets ===

impl Targets {
    /// Looks up all that the rules name, in the catalogs that they are for.
    ///
    /// Errors: a pattern that names no method (with the nearest one), a field that a method does not have, a rename that
    /// cannot be followed.
    pub fn resolve(rules: &[TargetRule], catalogs: &[Arc<Catalog>]) -> Result<Targets, Vec<Mistake>> {
        if rules.is_empty() {
            return Ok(Targets::default());
        }
        let mut names = Names::default();
        let rules: Vec<Arc<Resolved>> = (0..).zip(rules).map(|(number, rule)| names.resolved(number, rule)).collect();
        let (passes, mut mistakes) = (catalogs.iter().any(|catalog| catalog.pass_unknown_methods), Vec::new());
        for resolved in &rules {
            mistakes.extend(unmatched(&resolved.rule, catalogs, passes));
            mistakes.extend(crowded(&resolved.rule, catalogs));
        }
        let mut plans = Vec::with_capacity(catalogs.len());
        for catalog in catalogs {
            let of_method = |method| match plan(&rules, &catalog.schema, method) {
                Ok(plan) => plan,
                Err(more) => {
                    mistakes.extend(more);
                    Plan::default()
                }
            };
            plans.push(catalog.methods.iter().map(of_method).collect());
        }
        if !mistakes.is_empty() {
            // a rule for many methods would tell the same for each
            mistakes.sort_by(|a: &Mistake, b| (&a.place, &a.text).cmp(&(&b.place, &b.text)));
            mistakes.dedup_by(|a, b| a.place == b.place && a.key == b.key);
            return Err(mistakes);
        }
        let unknown = if passes { unknown(&rules) } else { Plan::default() };
        Ok(Targets { clusters: names.clusters.into(), rules: rules.into(), plans: plans.into(), unknown })
    }
}

/// Names of clusters, each once.
#[derive(Default)]
struct Names {
    clusters: Vec<Box<str>>,
    known: BTreeMap<Box<str>, u32>,
}

// === impl Names ===

impl Names {
    fn index(&mut self, name: &str) -> u32 {
        if let Some(at) = self.known.get(name) {
            return *at;
        }
        let at = u32::try_from(self.clusters.len()).unwrap_or(u32::MAX);
        self.clusters.push(name.into());
        self.known.insert(name.into(), at);
        at
    }

    fn resolved(&mut self, number: u32, rule: &TargetRule) -> Arc<Resolved> {
        let mut upto = 0u64;
        let mut shares = Vec::with_capacity(rule.clusters.len());
        for (name, weight) in &rule.clusters {
            upto += u64::from(*weight);
            shares.push((upto, self.index(name)));
        }
        let mirror = rule.mirror.as_ref().map(|mirror| self.index(&mirror.cluster));
        Arc::new(Resolved { number, rule: rule.clone(), shares: shares.into(), mirror })
    }
}

fn path_of(method: &Method) -> &str {
    method.path.trim_start_matches('/')
}

fn names(rule: &TargetRule, path: &str) -> bool {
    rule.patterns.iter().any(|(pattern, _)| covers(pattern, path))
}

/// Patterns that name no method of any catalog. `passes`: there may be methods that no catalog has.
fn unmatched(rule: &TargetRule, catalogs: &[Arc<Catalog>], passes: bool) -> Vec<Mistake> {
    let methods = || catalogs.iter().flat_map(|catalog| &catalog.methods).map(path_of);
    let may_be_unseen = passes && rule.when.field.is_none() && rule.rename.is_none();
    let unused = rule
        .patterns
        .iter()
        .filter(|(pattern, _)| pattern != "*" && !may_be_unseen && !methods().any(|path| covers(pattern, path)));
    unused
        .map(|(pattern, place)| {
            let mistake = placed(format!("{pattern:?} matches no method of any catalog"), place.as_ref())
                .key(format!("{}.match", rule.key));
            match nearest(pattern, methods().collect()) {
                Some(near) => mistake.hint(format!("did you mean {near:?}?")),
                None => mistake,
            }
        })
        .collect()
}

/// The pattern that was probably meant.
fn nearest(pattern: &str, paths: Vec<&str>) -> Option<String> {
    if !pattern.ends_with('*')
        && let Some(near) = closest(pattern, paths.iter().copied())
    {
        return Some(near.to_owned());
    }
    let services = || paths.iter().filter_map(|path| path.split('/').next());
    match pattern.split_once('/') {
        Some((service, tail)) => {
            let near = closest(service, services()).filter(|near| *near != service)?;
            Some(format!("{near}/{tail}"))
        }
        None => {
            let package = pattern.strip_suffix(".*").unwrap_or(pattern);
            if services().any(|service| service == package) {
                return Some(format!("{package}/*"));
            }
            let packages = services().filter_map(|service| Some(service.rsplit_once('.')?.0));
            closest(package, packages.chain(services())).map(|near| format!("{near}.*"))
        }
    }
}

/// A rename to one method for rules that name several: their messages need not be of the same types.
fn crowded(rule: &TargetRule, catalogs: &[Arc<Catalog>]) -> Option<Mistake> {
    let (rename, place) = rule.rename.as_ref()?;
    let service = rename.split('/').next().unwrap_or_default();
    let methods = catalogs.iter().flat_map(|catalog| &catalog.methods);
    let count = methods.filter(|method| names(rule, path_of(method))).count();
    let crowded = !rename.ends_with("/*") && count > 1;
    crowded.then(|| {
        let mistake = placed(format!("{count} methods would become the one {rename:?}"), place.as_ref());
        let mistake = mistake.key(format!("{}.rename", rule.key));
        mistake.hint(format!("write \"{service}/*\" to keep the methods' names, or a rule for each method"))
    })
}

/// The rules for a method of a catalog.
fn plan(rules: &[Arc<Resolved>], schema: &Schema, method: &Method) -> Result<Plan, Vec<Mistake>> {
    let (mut planned, mut mistakes) = (Vec::new(), Vec::new());
    for resolved in rules.iter().filter(|resolved| names(&resolved.rule, path_of(method))) {
        let rule = &resolved.rule;
        let key = || format!("{}.when.field", rule.key);
        let field = rule.when.field.as_ref().map(|field| typed(field, schema, method.input));
        match (field.transpose().map_err(|bad| bad.key(key())), renamed(rule, method)) {
            (Ok(field), Ok(path)) => {
                planned.push(Planned { resolved: Arc::clone(resolved), field, path, unseen: Box::default() });
            }
            (field, path) => {
                let bad = field.err().map(|bad| Mistake { text: format!("{}: {}", path_of(method), bad.text), ..bad });
                mistakes.extend(bad.into_iter().chain(path.err()));
            }
        }
    }
    if mistakes.is_empty() { Ok(Plan(planned.into())) } else { Err(mistakes) }
}

/// The rules for methods that no catalog has: nothing is known of their messages, or of what they could be renamed to.
fn unknown(rules: &[Arc<Resolved>]) -> Plan {
    let fit = rules.iter().filter(|resolved| resolved.rule.when.field.is_none() && resolved.rule.rename.is_none());
    let planned = fit.map(|resolved| Planned {
        resolved: Arc::clone(resolved),
        field: None,
        path: None,
        unseen: resolved.rule.patterns.iter().map(|(pattern, _)| pattern.as_str().into()).collect(),
    });
    Plan(planned.collect())
}

fn renamed(rule: &TargetRule, method: &Method) -> Result<Option<PathAndQuery>, Mistake> {
    let Some((rename, place)) = &rule.rename else { return Ok(None) };
    let path = match rename.strip_suffix('*') {
        Some(service) => format!("/{service}{}", method.name),
        None => format!("/{rename}"),
    };
    let bad = |_| placed(format!("{path:?} is no path"), place.as_ref()).key(format!("{}.rename", rule.key));
    PathAndQuery::try_from(path.as_str()).map(Some).map_err(bad)
}

/// A field test for messages of this type.
fn typed(rule: &FieldRule, schema: &Schema, message: MessageId) -> Result<FieldTest, Mistake> {
    let at = |mistake: Mistake| Mistake { place: rule.place.clone(), ..mistake };
    let reader = FieldReader::new(schema, message, &rule.path).map_err(at)?;
    let is_text = matches!(reader.kind(), LeafKind::Text | LeafKind::Bytes);
    let test = match &rule.wanted {
        FieldWanted::Present(wanted) => TypedTest::Present(*wanted),
        FieldWanted::Prefix(_) | FieldWanted::Regex(_) if !is_text => {
            let text = format!("field {:?} is no text, and only texts have a beginning or a pattern", &*rule.path);
            return Err(at(Mistake::new(text).hint("compare it by `equals`")));
        }
        FieldWanted::Prefix(prefix) => TypedTest::Prefix(prefix.as_bytes().into()),
        FieldWanted::Regex(regex) => TypedTest::Regex(regex.clone()),
        FieldWanted::OneOf(values) => {
            let typed = values.iter().map(|(text, place)| {
                reader.kind().parse(schema, text).map_err(|why| placed(format!("{text:?} {why}"), place.as_ref()))
            });
            TypedTest::OneOf(typed.collect::<Result<_, _>>()?)
        }
    };
    Ok(FieldTest { reader, test })
}

fn placed(text: String, place: Option<&Place>) -> Mistake {
    Mistake { place: place.cloned(), ..Mistake::new(text) }
}
