//! What a loop does ahead runs beside its other steps: they must not meet in memory.

use super::Ctx;
use crate::manifest::{Ahead, Manifest, Step, Storage};
use std::collections::{BTreeMap, BTreeSet};

/// Checks what is done ahead of a loop's `own` steps, whose buffers exist.
///
/// What the steps ahead name, and both memories of each pair, belong to them while an iteration runs: its own steps
/// name nothing that can lie there, but for the receivers of the pairs. Inputs alone may be named by both, because
/// neither writes them; of launches this is taken on trust, as is all that kernels do.
pub(super) fn check_ahead(ctx: &mut Ctx, ahead: &Ahead, own: &[Step], homes: &Homes, place: &str) {
    let simple = |step: &Step| !matches!(step, Step::Loop { .. } | Step::Swap { .. });
    ctx.check(ahead.steps.iter().all(simple), place, || {
        "a loop or a swap is done ahead".to_owned()
    });
    ctx.check(!own.iter().any(works_ahead), place, || {
        "a loop that does something ahead is inside of another one".to_owned()
    });
    let (mut early, mut late) = (Named::default(), Named::default());
    ahead.steps.iter().for_each(|step| early.step(step));
    own.iter().for_each(|step| late.step(step));
    let givers: Vec<u32> = ahead.handed.iter().map(|(next, _)| *next).collect();
    let receivers: Vec<u32> = ahead.handed.iter().map(|(_, now)| *now).collect();
    let all: BTreeSet<u32> = givers.iter().chain(&receivers).copied().collect();
    ctx.check(all.len() == 2 * ahead.handed.len(), place, || {
        "a buffer is handed over twice".to_owned()
    });
    ctx.check(receivers.iter().all(|now| !early.all.contains(now)), place, || {
        "what is done ahead uses a buffer in which the iteration finds its results".to_owned()
    });
    ctx.check(late.swapped.is_disjoint(&all), place, || {
        "a buffer that is handed over is swapped with another one".to_owned()
    });
    let taken = Taken::by(ctx, homes, &early, &all);
    for b in late.all.difference(&all) {
        let written = late.written.contains(b);
        if let Some(a) = taken.meets(ctx, homes, *b, written) {
            let name = |n: u32| &ctx.manifest.buffers[n as usize].name;
            let problem =
                format!("what is done ahead uses {}, the steps beside it {}", name(a), name(*b));
            ctx.check(false, place, || problem);
        }
    }
    let missed = givers.iter().find(|next| late.all.contains(next));
    ctx.check(missed.is_none(), place, || {
        "a step uses a buffer that is being filled for the next iteration".to_owned()
    });
}

/// The memory of what is done ahead.
#[derive(Default)]
struct Taken {
    /// Places where nothing else may be, apart from each other and in order, each with a buffer that lies there.
    places: Vec<(Place, u32)>,
    /// Inputs that are only read.
    inputs: BTreeMap<Place, u32>,
}

/// A piece of memory: of the arena, an input's or an output's; its begin and its end.
type Place = (u8, u64, u64);

impl Taken {
    fn by(ctx: &Ctx, homes: &Homes, early: &Named, handed: &BTreeSet<u32>) -> Taken {
        let mut taken = Taken::default();
        let mut places: Vec<(Place, u32)> = Vec::new();
        for buffer in early.all.union(handed) {
            let own = place_of(ctx, *buffer);
            let changed = early.written.contains(buffer) || handed.contains(buffer);
            if own.0 == INPUT && homes.alone(*buffer) && !changed {
                taken.inputs.insert(own, *buffer);
            } else {
                let all = homes.all(*buffer).iter().map(|home| (place_of(ctx, *home), *buffer));
                places.extend(all);
            }
        }
        places.retain(|((_, begin, end), _)| begin < end);
        places.sort_unstable();
        for ((kind, begin, end), buffer) in places {
            match taken.places.last_mut() {
                Some(((last, _, until), _)) if *last == kind && begin < *until => {
                    *until = end.max(*until);
                }
                _ => taken.places.push(((kind, begin, end), buffer)),
            }
        }
        taken
    }

    /// A buffer that another one of a step beside, which may be written, can meet in memory.
    fn meets(&self, ctx: &Ctx, homes: &Homes, buffer: u32, written: bool) -> Option<u32> {
        let meets = |home: &u32| {
            let place @ (kind, begin, end) = place_of(ctx, *home);
            let at =
                self.places.partition_point(|((k, _, until), _)| (*k, *until) <= (kind, begin));
            let hit = self
                .places
                .get(at)
                .filter(|((k, from, _), _)| *k == kind && *from < end && begin < end);
            let changed = written || !homes.alone(buffer);
            hit.map(|(_, a)| *a).or_else(|| self.inputs.get(&place).copied().filter(|_| changed))
        };
        homes.all(buffer).iter().find_map(meets)
    }
}

const ARENA: u8 = 0;
const INPUT: u8 = 1;
const OUTPUT: u8 = 2;

fn place_of(ctx: &Ctx, buffer: u32) -> Place {
    let buffer = &ctx.manifest.buffers[buffer as usize];
    match buffer.storage {
        Storage::Arena(at) => (ARENA, at, at.saturating_add(buffer.bytes().unwrap_or(u64::MAX))),
        Storage::Input(n) => (INPUT, u64::from(n), u64::from(n) + 1),
        Storage::Output(n) => (OUTPUT, u64::from(n), u64::from(n) + 1),
    }
}

fn works_ahead(step: &Step) -> bool {
    match step {
        Step::Loop { ahead, steps, .. } => !ahead.is_empty() || steps.iter().any(works_ahead),
        _ => false,
    }
}

/// The buffers that steps name.
#[derive(Default)]
struct Named {
    all: BTreeSet<u32>,
    /// Those that are written for certain: what launches do is not known.
    written: BTreeSet<u32>,
    swapped: BTreeSet<u32>,
}

impl Named {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Launch { operands, .. } => self.all.extend(operands),
            Step::Loop { condition, ahead, steps, .. } => {
                self.all.extend(condition);
                ahead.steps.iter().chain(steps).for_each(|step| self.step(step));
                self.all.extend(ahead.handed.iter().flat_map(|(next, now)| [*next, *now]));
            }
            Step::Copy { from, to } => {
                self.all.extend([from, to]);
                self.written.insert(*to);
            }
            Step::Swap { a, b } => {
                self.all.extend([a, b]);
                self.written.extend([a, b]);
                self.swapped.extend([a, b]);
            }
            Step::Collective { input, output, .. } => {
                self.all.extend([input, output]);
                self.written.insert(*output);
            }
        }
    }
}

/// Which buffers exchange their memory, somewhere in the program: each may lie wherever one of them does.
pub(super) struct Homes {
    /// For each buffer, the one that its set is named by.
    set: Vec<u32>,
    /// For each of those, the set.
    members: Vec<Vec<u32>>,
}

impl Homes {
    pub(super) fn of(manifest: &Manifest) -> Homes {
        let count = manifest.buffers.len();
        let mut homes = Homes { set: (0..count as u32).collect(), members: vec![vec![]; count] };
        homes.block(&manifest.steps);
        for buffer in 0..count as u32 {
            let set = homes.find(buffer);
            homes.members[set as usize].push(buffer);
        }
        homes
    }

    fn block(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Swap { a, b } => self.join(*a, *b),
                Step::Loop { ahead, steps, .. } => {
                    ahead.handed.iter().for_each(|(next, now)| self.join(*next, *now));
                    self.block(steps);
                }
                _ => {}
            }
        }
    }

    fn find(&mut self, buffer: u32) -> u32 {
        let mut at = buffer as usize;
        while self.set[at] as usize != at {
            self.set[at] = self.set[self.set[at] as usize];
            at = self.set[at] as usize;
        }
        self.set[buffer as usize] = at as u32;
        at as u32
    }

    /// Joins two sets. Numbers that name no buffer are found by other checks.
    fn join(&mut self, a: u32, b: u32) {
        if (a.max(b) as usize) < self.set.len() {
            let (a, b) = (self.find(a), self.find(b));
            self.set[a.max(b) as usize] = a.min(b);
        }
    }

    fn all(&self, buffer: u32) -> &[u32] {
        &self.members[self.set[buffer as usize] as usize]
    }

    fn alone(&self, buffer: u32) -> bool {
        self.all(buffer).len() == 1
    }
}
