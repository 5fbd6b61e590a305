//! Likely meanings of misspelt names: the "did you mean" of configuration keys, selectors and JSON fields.

/// Longest name that is compared; anything longer is not a slip of the hand.
const LONGEST: usize = 128;

/// The candidate that `name` was probably meant to be: the one with the smallest edit distance (letters inserted,
/// left out, exchanged or swapped with their neighbour; case and `_`/`-` count for nothing), if that is small for
/// the name's length. Cost: `name` x candidates; for messages to people, never for a hot path.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    let allowed = 1 + wanted.len() / 4;
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = folded(candidate);
        if other.len() > LONGEST || other.len().abs_diff(wanted.len()) > allowed {
            continue;
        }
        let distance = distance(&wanted, &other);
        if distance <= allowed && distance < other.len().max(1) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).take(LONGEST + 1).collect()
}

/// Optimal string alignment distance, three rows at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_the_name_that_was_meant() {
        let names = ["listeners", "clusters", "catalogs", "settings"];
        assert_eq!(closest("listners", names), Some("listeners"));
        assert_eq!(closest("catalgos", names), Some("catalogs"));
        assert_eq!(closest("Clusters", names), Some("clusters"));
        assert_eq!(closest("max_message", ["maxMessage"]), Some("maxMessage"));
    }

    #[test]
    fn something_else_altogether_finds_nothing() {
        assert_eq!(closest("banana", ["listeners", "clusters"]), None);
        assert_eq!(closest("", ["a"]), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest(&"x".repeat(5_000), ["x"]), None);
    }

    #[test]
    fn the_distance_counts_inserted_lost_changed_and_swapped_letters() {
        let d = |a: &str, b: &str| distance(&folded(a), &folded(b));
        assert_eq!(d("", ""), 0);
        assert_eq!(d("abc", "ac"), 1);
        assert_eq!(d("abc", "abxc"), 1);
        assert_eq!(d("abc", "axc"), 1);
        assert_eq!(d("abc", "acb"), 1);
        assert_eq!(d("kitten", "sitting"), 3);
    }
}
