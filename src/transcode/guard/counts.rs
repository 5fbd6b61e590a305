//! How many elements the repeated fields of one message have had so far.

/// Fields come in runs: the current run is counted in place, and only fields whose run was left are kept in a list, so
/// that it grows with the fields that there are, never with the elements.
#[derive(Default)]
pub(super) struct Counts {
    field: u16,
    count: usize,
    /// By field, in ascending order.
    left: Vec<(u16, usize)>,
}

// === impl Counts ===

impl Counts {
    /// Adds so many elements to a field (index in its message), and says how many it has now.
    #[inline]
    pub(super) fn add(&mut self, field: u16, elements: usize) -> usize {
        if self.field != field {
            self.change(field);
        }
        self.count = self.count.saturating_add(elements);
        self.count
    }

    fn change(&mut self, field: u16) {
        if self.count > 0 {
            match self.left.binary_search_by_key(&self.field, |(left, _)| *left) {
                Ok(at) => {
                    if let Some((_, count)) = self.left.get_mut(at) {
                        *count = self.count;
                    }
                }
                Err(at) => self.left.insert(at, (self.field, self.count)),
            }
        }
        let found = self.left.binary_search_by_key(&field, |(left, _)| *left).ok();
        self.count = found.and_then(|at| self.left.get(at)).map_or(0, |(_, count)| *count);
        self.field = field;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_however_they_take_turns() {
        let mut counts = Counts::default();
        let mut expected = std::collections::HashMap::new();
        for step in 0u16..2000 {
            let field = (step * 7) % 23 / (1 + step % 3);
            let elements = usize::from(step % 5);
            let sum: &mut usize = expected.entry(field).or_default();
            *sum += elements;
            assert_eq!(counts.add(field, elements), *sum, "{field} at {step}");
        }
        assert!(counts.left.len() <= 23);
    }
}
