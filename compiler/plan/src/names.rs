//! The name a user probably meant.

/// The candidate nearest to `wanted`, if one is near enough to be a slip of the keyboard.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(1);
    let scored = candidates
        .into_iter()
        .map(|name| (distance(wanted, name), name));
    let best = scored.filter(|(d, _)| *d <= limit).min();
    best.map(|(_, name)| name)
}

/// The number of insertions, deletions and substitutions between two words, case ignored.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_only_near_names() {
        assert_eq!(nearest("tensr", ["data", "tensor", "pipe"]), Some("tensor"));
        assert_eq!(nearest("Data", ["data", "tensor"]), Some("data"));
        assert_eq!(nearest("seq", ["data", "tensor"]), None);
    }
}
