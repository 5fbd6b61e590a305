//! Rules that a path is nearly of: what its writer probably meant.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::Asked;
use crate::catalog::{Binding, Catalog, Method, Segment, Template};
use crate::wire::closest;

/// A rule, and what keeps the path from being of it.
pub(super) struct Near<'a> {
    pub method: &'a Method,
    pub rule: &'a Binding,
    pub why: String,
}

/// How far a path follows a template.
struct Fit {
    /// The higher the nearer.
    score: usize,
    why: String,
}

/// The nearest rules, at most so many, nearest first. Looks at every rule.
pub(super) fn near<'a>(catalogs: &'a [Arc<Catalog>], asked: &Asked<'_>, most: usize) -> Vec<Near<'a>> {
    if most == 0 {
        return Vec::new();
    }
    let mut found: Vec<(usize, Near<'a>)> = Vec::new();
    for method in catalogs.iter().flat_map(|catalog| &catalog.methods) {
        for rule in &method.bindings {
            if let Some(Fit { score, why }) = fit(&rule.template, asked.path) {
                // of two that part at the same place the one of the same length is meant
                let difference = rule.template.segments.len().abs_diff(asked.path.matches('/').count());
                let score = score.saturating_sub(difference);
                let is_verb = rule.verb.as_str() == asked.verb.as_str();
                found.push((score * 2 + usize::from(is_verb), Near { method, rule, why }));
            }
        }
    }
    // sorting keeps the order of those that are equally near
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let best = found.first().map_or(0, |(score, _)| *score);
    found.into_iter().take(most).filter(|(score, _)| score * 2 > best).map(|(_, near)| near).collect()
}

/// `None`: they have nothing in common, or the path is of the template.
fn fit(template: &Template, path: &str) -> Option<Fit> {
    let rest = path.strip_prefix('/')?;
    let sent: Vec<Cow<'_, str>> = rest.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
    let mut score = 0;
    for (at, segment) in template.segments.iter().enumerate() {
        let Some(part) = sent.get(at).filter(|part| !part.is_empty()) else {
            let wanted = shown(template, at);
            let why = match sent.get(at) {
                None => format!("the path ends where the template goes on with {wanted}"),
                Some(_) => format!("segment {} is empty, the template has {wanted}", at + 1),
            };
            return (score > 0).then_some(Fit { score, why });
        };
        match segment {
            Segment::Literal(text) if **text == **part => score += 4,
            Segment::Literal(text) => {
                let is_slip = closest(part, [&**text]).is_some();
                let why = format!("segment {} is {part:?}, the template has {text:?}", at + 1);
                // what follows counts as well if this is but a slip
                let behind = if is_slip { 2 + following(template, &sent, at + 1) } else { 0 };
                let score = score + behind;
                return (score > 0).then_some(Fit { score, why });
            }
            Segment::Star => score += 1,
            Segment::DoubleStar => return None,
        }
    }
    let wanted = template.verb.as_deref();
    match (sent.get(template.segments.len()), wanted) {
        (Some(more), _) if more.is_empty() => {
            Some(Fit { score, why: "the path has a slash at its end, which counts".into() })
        }
        (Some(more), _) => Some(Fit { score, why: format!("the path goes on with {more:?}") }),
        (None, Some(verb)) => Some(Fit { score, why: format!("the path lacks the verb \":{verb}\"") }),
        (None, None) => None,
    }
}

/// Segments that fit behind a slip.
fn following(template: &Template, sent: &[Cow<'_, str>], from: usize) -> usize {
    let pairs = template.segments.iter().zip(sent).skip(from);
    let fits = pairs.take_while(|(segment, part)| match segment {
        Segment::Literal(text) => **text == ***part,
        Segment::Star => !part.is_empty(),
        Segment::DoubleStar => true,
    });
    fits.count()
}

fn shown(template: &Template, at: usize) -> String {
    match template.segments.get(at) {
        Some(Segment::Literal(text)) => format!("{text:?}"),
        _ => {
            let variable = template.variables.iter().find(|variable| (variable.start..variable.end).contains(&at));
            variable.map_or("a segment".into(), |variable| format!("a part of {:?}", variable.path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(template: &str, path: &str) -> Option<String> {
        fit(&Template::parse(template).unwrap(), path).map(|fit| fit.why)
    }

    #[test]
    fn what_keeps_a_path_from_a_template_is_told() {
        for (template, path, expected) in [
            ("/v1/shelves", "/v1/shelfs", Some("segment 2 is \"shelfs\", the template has \"shelves\"")),
            ("/v1/shelves", "/v1", Some("the path ends where the template goes on with \"shelves\"")),
            ("/v1/shelves", "/v1/shelves/", Some("the path has a slash at its end, which counts")),
            ("/v1/shelves", "/v1/shelves/1", Some("the path goes on with \"1\"")),
            ("/v1/{name=shelves/*}", "/v1/shelves/", Some("segment 3 is empty, the template has a part of \"name\"")),
            ("/v1/{name=shelves/*}:move", "/v1/shelves/1", Some("the path lacks the verb \":move\"")),
            ("/v1/shelves", "/v1/shelves", None),
            ("/v1/shelves", "/other/thing", None),
            ("/v1/{x=**}", "/v1/a/b", None),
        ] {
            assert_eq!(why(template, path).as_deref(), expected, "{template} {path}");
        }
    }

    #[test]
    fn any_path_is_fitted_without_a_panic() {
        let template = Template::parse("/v1/{a=x/*}/{b}:verb").unwrap();
        for path in ["", "/", "//", "/%ff", "/v1/x/%", "v1", "/v1/x/y/z:verb/", "/v1/x/\u{0}/é"] {
            let _ = fit(&template, path);
        }
    }
}
