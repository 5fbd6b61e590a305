//! The names of query parameters, step by step: `a.b`, and with brackets `a.items[1].m[k]` and `a[b]`.
//!
//! Brackets are no part of http.proto. They are read as by most that know them (OpenAPI's `deepObject`, the `qs` of npm,
//! Rails, PHP): behind a list stands an index, behind a map a key, behind a message a field, and `[]` alone appends to a
//! list.

/// One step of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'n> {
    /// The first step, and what stands behind a dot.
    Name(&'n str),
    /// What stands in brackets.
    Bracket(&'n str),
}

/// The steps of a percent-decoded name.
#[derive(Debug)]
pub(super) struct Steps<'n> {
    name: &'n str,
    /// What follows on the last step; `None`: it was the last.
    rest: Option<&'n str>,
    /// The next step is the first: nothing parts it from one before.
    first: bool,
    brackets: bool,
}

/// A bracket is not closed, or something else than a step stands behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadName;

// === impl Step ===

impl<'n> Step<'n> {
    pub(super) fn text(self) -> &'n str {
        let (Step::Name(text) | Step::Bracket(text)) = self;
        text
    }
}

// === impl Steps ===

impl<'n> Steps<'n> {
    /// Without `brackets` they are letters like any other.
    pub(super) fn new(name: &'n str, brackets: bool) -> Steps<'n> {
        Steps { name, rest: Some(name), first: true, brackets: brackets && name.contains('[') }
    }

    /// Whether there are no more steps.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    /// The name up to this step, which was the last.
    pub(super) fn before(&self, step: Step<'_>) -> &'n str {
        let closing = usize::from(matches!(step, Step::Bracket(_)));
        let behind = self.rest.map_or(0, str::len) + closing + step.text().len();
        self.name.len().checked_sub(behind).and_then(|end| self.name.get(..end)).unwrap_or_default()
    }

    fn name(&mut self, rest: &'n str) -> Step<'n> {
        let end = if self.brackets { rest.find(['.', '[']) } else { rest.find('.') };
        let (name, rest) = end.and_then(|end| rest.split_at_checked(end)).map_or((rest, None), |(n, r)| (n, Some(r)));
        self.rest = rest;
        Step::Name(name)
    }
}

impl<'n> Iterator for Steps<'n> {
    type Item = Result<Step<'n>, BadName>;

    /// What stands in brackets ends at the first closing one that is followed by another step, or by nothing: keys may
    /// hold dots and brackets themselves.
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        if std::mem::take(&mut self.first) {
            return Some(Ok(self.name(rest)));
        }
        let Some(inner) = rest.strip_prefix('[') else {
            return Some(Ok(self.name(rest.strip_prefix('.').unwrap_or(rest))));
        };
        for (at, _) in inner.match_indices(']') {
            let (key, behind) = (inner.get(..at)?, inner.get(at + 1..)?);
            if behind.is_empty() || behind.starts_with(['.', '[']) {
                self.rest = Some(behind).filter(|behind| !behind.is_empty());
                return Some(Ok(Step::Bracket(key)));
            }
        }
        Some(Err(BadName))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(name: &str, brackets: bool) -> Result<Vec<Step<'_>>, BadName> {
        Steps::new(name, brackets).collect()
    }

    #[test]
    fn names_come_apart_at_dots_and_brackets() {
        use Step::{Bracket, Name};
        let read = |name| steps(name, true).unwrap_or_else(|_| panic!("{name}"));
        assert_eq!(read("a"), [Name("a")]);
        assert_eq!(read("a.b"), [Name("a"), Name("b")]);
        assert_eq!(read("a.items[1].m[k]"), [Name("a"), Name("items"), Bracket("1"), Name("m"), Bracket("k")]);
        assert_eq!(read("a[b][c]"), [Name("a"), Bracket("b"), Bracket("c")]);
        assert_eq!(read("m[x.y]"), [Name("m"), Bracket("x.y")]);
        assert_eq!(read("m[a]b].c"), [Name("m"), Bracket("a]b"), Name("c")]);
        assert_eq!(read("m[[]"), [Name("m"), Bracket("[")]);
        assert_eq!(read("m[]"), [Name("m"), Bracket("")]);
        assert_eq!(read(""), [Name("")]);
        assert_eq!(read("a..b."), [Name("a"), Name(""), Name("b"), Name("")]);
        assert_eq!(read(".a"), [Name(""), Name("a")]);
        assert_eq!(read("[a]"), [Name(""), Bracket("a")]);
        for bad in ["m[", "m[a", "m[a]b", "m[a]]x"] {
            assert_eq!(steps(bad, true), Err(BadName), "{bad}");
        }
    }

    #[test]
    fn what_stands_before_a_step_is_known_for_hints() {
        for (name, brackets, expected) in [
            ("a.b.c", false, &["", "a.", "a.b."][..]),
            ("a[0].b[c][d]", true, &["", "a[", "a[0].", "a[0].b[", "a[0].b[c]["]),
        ] {
            let mut steps = Steps::new(name, brackets);
            for before in expected {
                let step = steps.next().unwrap().unwrap();
                assert_eq!(steps.before(step), *before);
            }
            assert!(steps.is_done());
        }
    }

    #[test]
    fn brackets_are_letters_where_they_are_not_wanted() {
        assert_eq!(steps("m[a.b]", false), Ok(vec![Step::Name("m[a"), Step::Name("b]")]));
    }
}
