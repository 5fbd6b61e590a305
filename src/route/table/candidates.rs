//! Every rule that a path could have meant, for those who ask why another one has it.

use super::{Match, MethodRef, Query, Table};
use crate::catalog::Verb;

/// A rule whose template fits the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub method: MethodRef,
    /// Index into [`crate::catalog::Method::bindings`].
    pub binding: usize,
    pub fate: Fate,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has the request.
    Taken,
    /// It is for another HTTP method.
    WrongVerb,
    /// It is for another host.
    WrongHost,
    /// Another rule claims the same: neither is reached.
    Disputed,
    /// Another one is tried before it: more literal, for this host alone, or for this HTTP method alone.
    LessExact,
}

// === impl Table ===

impl Table {
    /// Every rule whose template fits this path, in the order in which [`Table::template`] tries them, and what becomes of
    /// each. Walks the same tree as that, but to its end.
    pub fn candidates(&self, verb: &http::Method, host: Option<&str>, path: &str) -> Vec<Candidate> {
        let query = Query { verb, exact: false, lenient: false, host: self.host(host) };
        let mut every = self.tree.every(&query, path);
        if let Some(shorter) = self.shorter(path) {
            every.extend(self.tree.every(&Query { lenient: true, ..query }, shorter));
        }
        let taken = match self.template(verb, host, path) {
            Match::Found { method, binding, .. } | Match::Malformed { method, binding, .. } => Some((method, binding)),
            Match::WrongVerb { .. } | Match::None => None,
        };
        // where no rule is for HEAD, those for GET are
        let stand_in = if *verb == http::Method::HEAD { http::Method::GET } else { verb.clone() };
        let mut candidates: Vec<Candidate> = Vec::new();
        for entry in every {
            let Some(rule) = self.rules.get(entry.rule as usize) else { continue };
            let (method, binding) = (rule.method, usize::from(rule.binding));
            let is_meant = match &entry.verb {
                Verb::Exact(meant) => *meant == *verb || *meant == stand_in,
                Verb::Any => true,
            };
            let fate = match () {
                () if taken == Some((method, binding)) => Fate::Taken,
                () if entry.host.is_some() && entry.host != query.host => Fate::WrongHost,
                () if !is_meant => Fate::WrongVerb,
                () if entry.disputed => Fate::Disputed,
                () => Fate::LessExact,
            };
            let known = candidates.iter_mut().find(|known| (known.method, known.binding) == (method, binding));
            match known {
                // under one of its hosts it may be reached, under another not
                Some(known) if known.fate == Fate::WrongHost => known.fate = fate,
                Some(_) => {}
                None => candidates.push(Candidate { method, binding, fate }),
            }
        }
        candidates
    }
}
