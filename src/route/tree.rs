//! The template matcher: one tree of segments, walked depth first.
//!
//! At each segment a literal is tried before `*`, and `*` before `**`; a `**` takes as few segments as it can; what
//! fails further on is taken back. So the most specific rule wins, whatever the order of the rules, and a rule that
//! would match is always found.
//!
//! Backtracking stays cheap because a template has at most one `**`: on the way from the root to a node only one
//! choice is open (how much the `**` takes), no pair of node and position is visited twice, and only the last few
//! positions are tried at all: what follows a `**` has a fixed length. The work is bounded by the nodes that fit times
//! the length of the longest template, whatever the length of the path; nothing recurses deeper than a template.

use std::collections::BTreeSet;

use memchr::{memchr, memrchr_iter};

use super::capture::decode_into;
use super::quick::QuickMap;
use crate::catalog::{MAX_LITERAL, Segment, Template, Verb};

/// Behind the last segment.
const END: usize = usize::MAX;

/// "No child": the root is nobody's child.
const NONE: u32 = 0;

/// Any number of templates, ready to be matched.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Verbs (`:x`) that some template has, so that most paths with a colon are walked once only.
    verbs: QuickMap<Box<str>, u32>,
    /// The most colons that a verb of some template has; mostly none.
    verb_colons: usize,
}

#[derive(Debug, Default)]
struct Node {
    literals: QuickMap<Box<str>, u32>,
    star: u32,
    double: u32,
    /// Of a `**`: segments that follow it in the longest template.
    after: usize,
    /// By verb of the template (0: none).
    leaves: Vec<(u32, Vec<Entry>)>,
}

/// One rule at the end of its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub verb: Verb,
    /// The only host under which it is reached.
    pub host: Option<u32>,
    /// Index of the rule.
    pub rule: u32,
    /// The path may have one slash more at its end.
    pub lenient: bool,
    /// Another rule claims the same: whoever comes here gets nothing.
    pub disputed: bool,
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Query<'q> {
    pub verb: &'q http::Method,
    /// Rules of any HTTP method do not count.
    pub exact: bool,
    /// Only rules that let the path have a slash too many count: it was taken away.
    pub lenient: bool,
    /// The host of the request, if any rule asks for it.
    pub host: Option<u32>,
}

/// The end of a walk that found a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit<'p> {
    pub rule: u32,
    pub disputed: bool,
    /// The path without the leading slash and without the verb that the template has.
    pub rest: &'p str,
}

/// One walk through the tree.
struct Walk<'t, 'q, 'p> {
    tree: &'t Tree,
    query: &'q Query<'q>,
    rest: &'p str,
    /// The verb that templates must have (0: none).
    verb: u32,
    /// Collects the verbs of all rules of this shape instead of stopping at one.
    allowed: Option<&'q mut BTreeSet<Box<str>>>,
    /// Collects all rules of this shape instead of stopping at one, in the order in which they are tried.
    every: Option<&'q mut Vec<Entry>>,
}

// === impl Tree ===

impl Tree {
    pub fn new() -> Tree {
        Tree { nodes: vec![Node::default()], verbs: QuickMap::default(), verb_colons: 0 }
    }

    /// The rules at the end of this template, to be looked at and added to.
    pub fn leaf(&mut self, template: &Template) -> &mut Vec<Entry> {
        let mut at = 0;
        for (i, segment) in template.segments.iter().enumerate() {
            at = self.child(at, segment);
            let after = template.segments.len() - i - 1;
            self.nodes[at].after = self.nodes[at].after.max(after);
        }
        let verb = match &template.verb {
            None => 0,
            Some(verb) => {
                self.verb_colons = self.verb_colons.max(verb.matches(':').count());
                let next = self.verbs.len() as u32 + 1;
                *self.verbs.entry(verb.clone()).or_insert(next)
            }
        };
        // `at` is the root, or what `child` made
        let leaves = &mut self.nodes[at].leaves;
        let index = match leaves.iter().position(|(known, _)| *known == verb) {
            Some(index) => index,
            None => {
                leaves.push((verb, Vec::new()));
                leaves.len() - 1
            }
        };
        &mut leaves[index].1
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        // a tree of 2^32 nodes does not fit any memory
        let fresh = self.nodes.len() as u32;
        let node = &mut self.nodes[at];
        let slot = match segment {
            Segment::Literal(text) => node.literals.entry(text.clone()).or_insert(NONE),
            Segment::Star => &mut node.star,
            Segment::DoubleStar => &mut node.double,
        };
        if *slot == NONE {
            *slot = fresh;
            self.nodes.push(Node::default());
            return fresh as usize;
        }
        *slot as usize
    }

    /// Finds the rule for a raw path (as sent, without the query). The longest verb that a rule has comes first.
    pub fn find<'p>(&self, query: &Query<'_>, path: &'p str) -> Option<Hit<'p>> {
        let rest = path.strip_prefix('/')?;
        for colons in (0..=self.verb_colons).rev() {
            if let Some((rest, verb)) = self.verb(rest, colons)
                && let Some(hit) = (Walk { tree: self, query, rest, verb, allowed: None, every: None }).run()
            {
                return Some(hit);
            }
        }
        Walk { tree: self, query, rest, verb: 0, allowed: None, every: None }.run()
    }

    /// Adds the HTTP methods under which this path has a rule, for the `Allow` field. Rules of any method are found before
    /// anyone asks for this.
    pub fn allowed(&self, query: &Query<'_>, path: &str, allowed: &mut BTreeSet<Box<str>>) {
        let Some(rest) = path.strip_prefix('/') else { return };
        for colons in 0..=self.verb_colons {
            if let Some((rest, verb)) = self.verb(rest, colons) {
                Walk { tree: self, query, rest, verb, allowed: Some(allowed), every: None }.run();
            }
        }
        Walk { tree: self, query, rest, verb: 0, allowed: Some(allowed), every: None }.run();
    }

    /// Every rule of this shape, whatever its HTTP method and host, in the order in which [`Tree::find`] tries them.
    pub fn every(&self, query: &Query<'_>, path: &str) -> Vec<Entry> {
        let mut every = Vec::new();
        let Some(rest) = path.strip_prefix('/') else { return every };
        for colons in (0..=self.verb_colons).rev() {
            if let Some((rest, verb)) = self.verb(rest, colons) {
                Walk { tree: self, query, rest, verb, allowed: None, every: Some(&mut every) }.run();
            }
        }
        Walk { tree: self, query, rest, verb: 0, allowed: None, every: Some(&mut every) }.run();
        every
    }

    /// Cuts off what stands behind a colon of the last segment, and has so many colons itself, if it is a verb of some
    /// template.
    fn verb<'p>(&self, rest: &'p str, colons: usize) -> Option<(&'p str, u32)> {
        if self.verbs.is_empty() {
            return None;
        }
        let mut colon = rest.len();
        for _ in 0..=colons {
            colon = memchr::memrchr2(b':', b'/', rest.as_bytes().get(..colon)?)?;
            if rest.as_bytes().get(colon) != Some(&b':') {
                return None;
            }
        }
        let mut buffer = [0; MAX_LITERAL];
        let verb = rest.get(colon + 1..)?;
        let verb =
            if memchr(b'%', verb.as_bytes()).is_none() { verb } else { decode_into(verb.as_bytes(), &mut buffer)? };
        Some((rest.get(..colon)?, *self.verbs.get(verb)?))
    }
}

// === impl Walk ===

impl<'p> Walk<'_, '_, 'p> {
    fn run(mut self) -> Option<Hit<'p>> {
        let start = if self.rest.is_empty() { END } else { 0 };
        self.node(0, start)
    }

    /// Matches the segments from byte `at` on with what is below a node.
    fn node(&mut self, index: u32, at: usize) -> Option<Hit<'p>> {
        let node = self.tree.nodes.get(index as usize)?;
        if at == END {
            let here = self.leaf(node);
            return if here.is_some() || node.double == NONE { here } else { self.node(node.double, END) };
        }
        let (segment, next) = self.segment(at);
        if !node.literals.is_empty()
            && let Some(child) = literal(node, segment)
            && let Some(hit) = self.node(child, next)
        {
            return Some(hit);
        }
        if node.star != NONE
            && !segment.is_empty()
            && let Some(hit) = self.node(node.star, next)
        {
            return Some(hit);
        }
        if node.double == NONE { None } else { self.double(node.double, at) }
    }

    /// Below a `**`: gives it no segment, then one, then two ... but at once as many as leave no more than what can
    /// follow it.
    fn double(&mut self, index: u32, at: usize) -> Option<Hit<'p>> {
        let node = self.tree.nodes.get(index as usize)?;
        let mut at = at.max(self.start_of_last(node.after));
        while at != END {
            if let Some(hit) = self.node(index, at) {
                return Some(hit);
            }
            at = self.segment(at).1;
        }
        self.leaf(node)
    }

    /// The segment at byte `at`, and where the next one starts.
    #[inline]
    fn segment(&self, at: usize) -> (&'p str, usize) {
        let tail = self.rest.get(at..).unwrap_or_default();
        match memchr(b'/', tail.as_bytes()) {
            Some(length) => (tail.get(..length).unwrap_or_default(), at + length + 1),
            None => (tail, END),
        }
    }

    /// Where the last `count` segments start.
    fn start_of_last(&self, count: usize) -> usize {
        match count.checked_sub(1) {
            None => END,
            Some(skipped) => memrchr_iter(b'/', self.rest.as_bytes()).nth(skipped).map_or(0, |slash| slash + 1),
        }
    }

    /// The best rule of those that end here: with this host before any host, with this HTTP method before any method.
    fn leaf(&mut self, node: &Node) -> Option<Hit<'p>> {
        let entries = node.leaves.iter().find(|(verb, _)| *verb == self.verb).map(|(_, entries)| entries)?;
        if let Some(every) = &mut self.every {
            every.extend(entries.iter().filter(|entry| entry.lenient || !self.query.lenient).cloned());
            return None;
        }
        let mut best: Option<(u8, &Entry)> = None;
        for entry in entries {
            if entry.host.is_some() && entry.host != self.query.host || self.query.lenient && !entry.lenient {
                continue;
            }
            if let Some(allowed) = &mut self.allowed {
                if let (Verb::Exact(verb), false) = (&entry.verb, entry.disputed) {
                    allowed.insert(verb.as_str().into());
                }
                continue;
            }
            let exact = match &entry.verb {
                Verb::Exact(method) if method == self.query.verb => 1,
                Verb::Any if !self.query.exact => 0,
                Verb::Exact(_) | Verb::Any => continue,
            };
            let weight = u8::from(entry.host.is_some()) * 2 + exact;
            if best.is_none_or(|(least, _)| weight > least) {
                best = Some((weight, entry));
            }
        }
        best.map(|(_, entry)| Hit { rule: entry.rule, disputed: entry.disputed, rest: self.rest })
    }
}

#[inline]
fn literal(node: &Node, segment: &str) -> Option<u32> {
    if memchr(b'%', segment.as_bytes()).is_none() {
        return node.literals.get(segment).copied();
    }
    node.literals.get(decode_into(segment.as_bytes(), &mut [0; MAX_LITERAL])?).copied()
}
