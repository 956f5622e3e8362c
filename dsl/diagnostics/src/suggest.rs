//! "Did you mean …": the known name nearest to an unknown one.

/// The candidate that `name` is most likely a slip of, if any is near enough: at most a third of its
/// letters differ (one, in short names), counting a swap of neighbours as one. Ties go to the first.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters = name.chars().count();
    let limit = (letters / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name && !candidate.is_empty())
        // One letter is all that tells single-letter names apart, except for its case.
        .filter(|candidate| letters > 1 || candidate.eq_ignore_ascii_case(name))
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Damerau-Levenshtein distance (optimal string alignment), where a change of case costs nothing
/// beyond the first: `Softmax` is one slip away from `softmax`, and so is `SOFTMAX`.
pub fn distance(a: &str, b: &str) -> usize {
    if a != b && a.eq_ignore_ascii_case(b) {
        return 1;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("recrod", "record"), 1);
        assert_eq!(distance("SOFTMAX", "softmax"), 1);
        assert_eq!(distance("größe", "grösse"), 2);
    }

    #[test]
    fn the_nearest_name_wins_and_far_ones_do_not() {
        let known = ["softmax", "logsumexp", "layer_norm", "rms_norm"];
        assert_eq!(nearest("sofmax", known), Some("softmax"));
        assert_eq!(nearest("layernorm", known), Some("layer_norm"));
        assert_eq!(nearest("attention", known), None);
        assert_eq!(nearest("softmax", ["softmax"]), None);
        assert_eq!(nearest("x", ["y", "z"]), None);
        assert_eq!(nearest("b", ["a", "B"]), Some("B"));
        assert_eq!(nearest("ab", ["ac", "ad"]), Some("ac"));
    }
}
