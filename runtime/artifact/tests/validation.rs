//! One contradiction each, and the words that name it.

mod support;

use einmesh_artifact::{
    Ahead, Artifact, ArtifactError, Buffer, Collective, DType, Int, Manifest, Panels, Reduction,
    Step, Storage,
};
use support::{axis, sample};

/// The findings after a change.
fn refused(change: impl FnOnce(&mut Manifest)) -> String {
    let mut artifact = sample();
    change(&mut artifact.manifest);
    match Artifact::read(&artifact.write()) {
        Err(ArtifactError::Invalid(findings)) => {
            let lines: Vec<String> = findings.iter().map(|f| f.to_string()).collect();
            lines.join("\n")
        }
        other => panic!("expected findings, got {other:?}"),
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Manifest), expected: &str) {
    let found = refused(change);
    assert!(found.contains(expected), "expected: {expected}\nfound: {found}");
}

fn collective(step: &mut Step) -> (&mut Collective, &mut Vec<u32>, &mut u32, &mut u32) {
    match step {
        Step::Collective { kind, axes, input, output } => (kind, axes, input, output),
        other => panic!("not a collective: {other:?}"),
    }
}

fn body(step: &mut Step) -> &mut Vec<Step> {
    match step {
        Step::Loop { steps, .. } => steps,
        other => panic!("not a loop: {other:?}"),
    }
}

#[test]
fn headers_and_meshes() {
    check(|m| m.entry = "a\x1b[31m".to_owned(), "entry: a name has control characters");
    check(|m| m.mesh[0].size = 0, "mesh: the sizes [0, 3] do not give 1 to 65536 devices");
    check(|m| m.mesh[0].size = 1 << 63, "mesh: the sizes");
    check(|m| m.mesh = vec![axis("x", 1); 17], "mesh: 17 axes");
    check(|m| m.loops = u32::MAX, "loops: 4294967295, at most 1024");
}

#[test]
fn images_and_kernels() {
    check(
        |m| m.images[0].text = 8000,
        "images[0]: text of 8000 and rodata of 4096 bytes are not whole pages",
    );
    check(|m| m.images[0].rodata = 0, "are not the blob's 8192");
    check(|m| m.images[0].text = u64::MAX - 4095, "are not the blob's");
    check(
        |m| m.images[1].imports = vec!["system".to_owned()],
        "it imports a function other than memcpy",
    );
    check(|m| m.images[1].imports = vec!["memset".to_owned(); 2], "it imports a function twice");
    for stubs in [4, u64::MAX - 7] {
        check(
            |m| m.images[0].stubs = stubs,
            "images[0]: the stubs of its imports are not in its text",
        );
    }
    check(|m| m.images[0].stubs = m.images[0].text, "the stubs of its imports are not in its text");
    check(|m| m.images[1].sha256 = "00".to_owned(), "images[1]: its SHA-256 is not the manifest's");
    check(|m| m.images[0].level = "avx9000".to_owned(), "its CPU level is not one of");
    check(|m| m.images[0].level = "x86-64-v3".to_owned(), "not in order, most demanding first");
    check(|m| m.images.truncate(1), "the manifest describes 1, the file holds 2");
    check(|m| m.kernels[0].phases.truncate(1), "kernels[0]: it has code in 1 images, there are 2");
    check(
        |m| m.kernels[0].phases[1][0].entry = 4096,
        "its code at 4096 is outside of the 4096 bytes of text",
    );
    check(|m| m.kernels[0].phases[0][0].tiles = u64::MAX, "18446744073709551615 tiles");
    check(
        |m| m.kernels[0].phases[0][0].workspace_bytes = 1 << 60,
        "a workspace of 1152921504606846976",
    );
}

#[test]
fn buffers() {
    check(
        |m| m.buffers[3].extents = vec![1 << 40, 1 << 40],
        "buffers[3]: the extents [1099511627776, 1099511627776]",
    );
    check(
        |m| m.buffers[4].storage = Storage::Arena(100),
        "arena offset 100 is not a multiple of 64",
    );
    check(
        |m| m.buffers[4].storage = Storage::Arena(1152),
        "144 bytes from arena offset 1152 exceed the arena's 1216",
    );
    check(|m| m.buffers[4].storage = Storage::Arena(u64::MAX - 63), "exceed the arena's");
    check(|m| m.buffers[4].storage = Storage::Input(2), "input 2 does not exist; there are 2");
    check(|m| m.buffers[4].storage = Storage::Output(9), "output 9 does not exist");
    check(|m| m.buffers[4].storage = Storage::Input(0), "another size than p.h.w");
    check(|m| m.buffers[3].extents = vec![1; 65], "65 dims, at most 64");
    check(|m| m.arena_bytes = u64::MAX, "arena_bytes: 18446744073709551615");
}

#[test]
fn signatures() {
    check(|m| m.inputs[0].buffer = 99, "inputs[0]: buffer 99 does not exist");
    check(|m| m.inputs[0].buffer = 3, "has another size than its buffer");
    check(|m| m.inputs[1].buffer = 2, "inputs[1]: its buffer 2 is not its own memory");
    check(|m| m.inputs[0].dims[1].axes = vec![7], "mesh axis 7 does not exist");
    check(|m| m.inputs[0].dims[1].axes = vec![0], "a mesh axis is named twice");
    check(|m| m.inputs[0].dims[1].global = 7, "3 devices with 2 positions each do not hold 7");
    check(|m| m.inputs[0].dims[0].global = 1, "is not split, but its local extent 2 is not 1");
    check(|m| m.inputs[0].axes = vec![1], "1 stacked dims and axes of 1 dims are not its 3 dims");
    check(|m| m.inputs[0].tensor = "h.w".to_owned(), "0 stacked dims");
    check(|m| m.inputs[0].dtype = DType::Bf16, "has another size than its buffer");
    check(|m| m.inputs[0].path = "s".to_owned(), "s occurs twice");
    let panels = |across: &[u32], along: &[u32], width| {
        Some(Panels { across: across.to_vec(), along: along.to_vec(), width })
    };
    check(|m| m.inputs[0].panels = panels(&[1], &[3], 32), "its dims do not make Panels");
    check(|m| m.inputs[0].panels = panels(&[1], &[1], 32), "its dims do not make Panels");
    check(|m| m.inputs[0].panels = panels(&[1], &[2], 0), "its dims do not make Panels");
    check(|m| m.inputs[0].panels = panels(&[1], &[2], 1 << 40), "its dims do not make Panels");
    check(|m| m.inputs[0].panels = panels(&[1], &[2], 32), "has another size than its buffer");
    check(|m| m.outputs[0].panels = panels(&[], &[], 1), "an output lies in panels");
    check(|m| m.outputs[1].donor = Some(5), "input 5 does not exist");
    check(|m| m.outputs[1].donor = Some(0), "which differs in type or split");
    check(|m| m.outputs[0].donor = Some(1), "but its buffer is elsewhere");
    check(|m| m.outputs[1].buffer = 2, "its buffer 2 is another output's memory");
}

#[test]
fn steps() {
    check(|m| m.steps[1] = Step::Copy { from: 3, to: 77 }, "steps[1]: buffer 77 does not exist");
    check(|m| m.steps[1] = Step::Copy { from: 3, to: 5 }, "a and wide differ in size");
    check(|m| m.steps[1] = Step::Swap { a: 3, b: 2 }, "a and y differ in size");
    check(
        |m| m.steps[1] = Step::Copy { from: 0, to: 0 },
        "it writes w, an input that is not donated",
    );
    let launch =
        |kernel, operand, int| Step::Launch { kernel, operands: vec![operand], ints: vec![int] };
    check(|m| m.steps[1] = launch(1, 0, Int::Coord(0)), "kernel 1 does not exist");
    check(|m| m.steps[1] = launch(0, 10, Int::Coord(0)), "buffer 10 does not exist");
    check(|m| m.steps[1] = launch(0, 0, Int::Coord(2)), "mesh axis 2 does not exist");
    check(
        |m| m.steps[1] = launch(0, 0, Int::Counter(1)),
        "steps[1]: loop counter 1 is not of an enclosing loop",
    );
    let repeat = |counter, extent, steps| Step::Loop {
        counter,
        extent,
        reversed: false,
        condition: None,
        ahead: Ahead::default(),
        steps,
    };
    check(
        |m| body(&mut m.steps[0]).push(repeat(1, 1, vec![])),
        "steps[0].loop.steps[2]: loop counter 1 belongs to an enclosing loop",
    );
    check(|m| m.steps.push(repeat(2, 1, vec![])), "loop counter 2 does not exist");
    let ending = |condition| Step::Loop {
        counter: 0,
        extent: 1,
        reversed: false,
        condition: Some(condition),
        ahead: Ahead::default(),
        steps: vec![],
    };
    check(|m| m.steps.push(ending(10)), "buffer 10 does not exist");
    check(|m| m.steps.push(ending(3)), "the loop's condition a is not one truth value");
    check(|m| m.steps.push(repeat(0, u64::MAX, vec![])), "steps in one run, at most 1000000000");
}

#[test]
fn what_is_done_ahead_meets_no_other_step() {
    let ahead = |step: &mut Step, change: &dyn Fn(&mut Ahead, &mut Vec<Step>)| match step {
        Step::Loop { ahead, steps, .. } => change(ahead, steps),
        other => panic!("not a loop: {other:?}"),
    };
    let refuse = |change: &dyn Fn(&mut Ahead, &mut Vec<Step>), expected: &str| {
        check(|m| ahead(&mut m.steps[8], change), &format!("steps[8]: {expected}"));
    };
    let copy = |from, to| Step::Copy { from, to };
    refuse(
        &|_, own| own.push(copy(6, 6)),
        "what is done ahead uses thin, the steps beside it thin",
    );
    refuse(
        &|_, own| own.push(copy(8, 9)),
        "a step uses a buffer that is being filled for the next iteration",
    );
    refuse(
        &|a, _| a.steps.push(copy(8, 9)),
        "what is done ahead uses a buffer in which the iteration finds its results",
    );
    refuse(&|a, _| a.steps.push(Step::Swap { a: 3, b: 4 }), "a loop or a swap is done ahead");
    refuse(&|a, _| a.handed.push((8, 9)), "a buffer is handed over twice");
    refuse(&|a, _| a.handed.push((3, 8)), "a and next differ in size");
    refuse(
        &|_, own| own.push(Step::Swap { a: 9, b: 8 }),
        "a buffer that is handed over is swapped with another one",
    );
    // Either of a and b may lie where the other does, since they are swapped elsewhere.
    refuse(&|a, _| a.steps.push(copy(4, 4)), "what is done ahead uses b, the steps beside it a");
    // Both may read an input; neither may write it.
    refuse(
        &|a, own| (a.steps.push(copy(1, 1)), own.push(copy(1, 1))).0,
        "what is done ahead uses s",
    );
    let inner = |m: &mut Manifest| {
        let copy = m.steps[8].clone();
        m.loops = 3;
        if let Step::Loop { counter, ahead, steps, .. } = &mut m.steps[8] {
            *counter = 2;
            ahead.steps.remove(0);
            *steps = vec![copy];
        }
    };
    check(inner, "steps[8]: a loop that does something ahead is inside of another one");
    let ending = |m: &mut Manifest| {
        m.buffers[7] = Buffer { dtype: DType::Bool, extents: vec![], ..m.buffers[7].clone() };
        m.steps.remove(5);
        if let Step::Loop { condition, .. } = &mut m.steps[7] {
            *condition = Some(7);
        }
    };
    check(ending, "steps[7]: a loop that may end early does nothing ahead");
}

#[test]
fn too_deep_loops() {
    let mut artifact = sample();
    artifact.manifest.loops = 100;
    for counter in 0..33 {
        let steps = std::mem::take(&mut artifact.manifest.steps);
        let counter = if counter == 0 { 50 } else { counter + 1 };
        artifact.manifest.steps = vec![Step::Loop {
            counter,
            extent: 1,
            reversed: false,
            condition: None,
            ahead: Ahead::default(),
            steps,
        }];
    }
    let message = Artifact::read(&artifact.write()).unwrap_err().to_string();
    assert!(message.contains("more than 32 nested loops"), "{message}");
    // Far deeper, the JSON itself is refused before the stack ends.
    for _ in 0..2000 {
        let steps = std::mem::take(&mut artifact.manifest.steps);
        artifact.manifest.steps = vec![Step::Loop {
            counter: 0,
            extent: 1,
            reversed: false,
            condition: None,
            ahead: Ahead::default(),
            steps,
        }];
    }
    let message = Artifact::read(&artifact.write()).unwrap_err().to_string();
    assert!(message.contains("recursion limit exceeded"), "{message}");
}

#[test]
fn collectives() {
    check(|m| *collective(&mut m.steps[2]).1 = vec![1, 1], "a mesh axis is named twice");
    check(|m| *collective(&mut m.steps[2]).1 = vec![2], "mesh axis 2 does not exist");
    check(|m| *collective(&mut m.steps[2]).3 = 5, "cannot make [6, 12] (wide) of [6, 6] (a)");
    check(|m| *collective(&mut m.steps[2]).3 = 0, "it writes w");
    check(
        |m| *collective(&mut m.steps[2]).0 = Collective::AllReduce { reduction: Reduction::Any },
        "Any of F32 is not defined",
    );
    check(
        |m| *collective(&mut m.steps[3]).0 = Collective::AllGather { position: 0 },
        "among 2 cannot make",
    );
    check(
        |m| *collective(&mut m.steps[3]).0 = Collective::AllGather { position: 2 },
        "among 2 cannot make",
    );
    check(|m| *collective(&mut m.steps[3]).1 = vec![1], "among 3 cannot make");
    check(
        |m| {
            *collective(&mut m.steps[4]).0 =
                Collective::ReduceScatter { reduction: Reduction::Sum, position: 0 }
        },
        "cannot make [6, 2] (thin)",
    );
    check(
        |m| *collective(&mut m.steps[5]).0 = Collective::AllToAll { split: 0, concat: 1 },
        "cannot make",
    );
    check(|m| *collective(&mut m.steps[6]).2 = 5, "cannot make [6, 6] (b) of [6, 12] (wide)");
    check(|m| m.buffers[4].dtype = DType::I32, "a and b differ in type");
}

#[test]
fn many_contradictions_are_reported_together() {
    let found = refused(|m| {
        m.buffers[3].storage = Storage::Arena(1);
        m.buffers[4].storage = Storage::Arena(2);
    });
    assert_eq!(found.lines().count(), 2, "{found}");
}
