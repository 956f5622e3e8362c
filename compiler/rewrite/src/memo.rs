//! What is known of kernels from choices tried before.
//!
//! Extraction compares hundreds of choices that differ in one class each, and what a kernel needs and costs depends
//! on the few classes it is made of. A result is kept with the nodes that were chosen where it looked, and holds for
//! every choice that has the same there.

use crate::view::{Choice, View};

/// So many results per class: of the choice to go back to, and of those tried last.
const KEPT: usize = 3;

/// Results of one function of a class and a choice.
pub(crate) struct Memo<T> {
    /// Per class, the last used first.
    known: Vec<Vec<Known<T>>>,
}

struct Known<T> {
    /// The classes looked at, with the nodes that were chosen.
    given: Vec<(usize, usize)>,
    result: T,
}

impl<T: Clone> Memo<T> {
    /// Nothing known yet.
    pub fn new(view: &View) -> Memo<T> {
        Memo { known: view.classes.iter().map(|_| Vec::new()).collect() }
    }

    /// The result for a class: as it is known, or as `compute` finds it by asking `view` for nodes of `choice`.
    pub fn get(
        &mut self,
        view: &View,
        choice: &Choice,
        class: usize,
        compute: impl FnOnce() -> T,
    ) -> T {
        let known = &mut self.known[class];
        let same = |k: &Known<T>| k.given.iter().all(|(class, node)| choice[*class] == *node);
        if let Some(found) = known.iter().position(same) {
            known[..=found].rotate_right(1);
            return known[0].result.clone();
        }
        let (result, asked) = view.traced(compute);
        let given = asked.into_iter().map(|class| (class, choice[class])).collect();
        known.truncate(KEPT - 1);
        known.insert(0, Known { given, result: result.clone() });
        result
    }
}
