//! The name that was probably meant.

/// The candidate with the fewest edits, if they are few enough to be a slip.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // Bounds the time in files of many tensors.
    const MOST: usize = 4000;
    let limit = name.chars().count() / 3;
    let similar = candidates.take(MOST).filter(|c| c.len().abs_diff(name.len()) <= limit);
    let distances = similar.map(|c| (edits(name, c), c));
    let best = distances.min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, _)| *distance <= limit).map(|(_, c)| c)
}

/// The fewest insertions, deletions and replacements between two names (Levenshtein 1966).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        let names = ["h.0.ln_1.weight", "h.0.ln_1.bias", "wte"];
        let found = nearest("h.0.ln1.bias", names.into_iter());
        assert_eq!(found, Some("h.0.ln_1.bias"));
        assert_eq!(nearest("tokens", names.into_iter()), None);
    }
}
