//! `train`: a run that is interrupted, killed or moved to another mesh ends as one that was not.

use super::{Directory, Ran};
use einmesh_exec::tensors::SafeTensors;
use serde_json::Value as Json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Every test's model and step.
const STEP: [&str; 3] = ["bigram.ein", "--step", "train_step"];
const TEXT: [&str; 2] = ["--data", "text.txt"];

impl Directory {
    /// With a model and a text.
    fn with_text(name: &str) -> Directory {
        let d = Directory::new(name);
        d.write("bigram.ein", include_str!("../../programs/bigram.ein"));
        d.write("text.txt", include_str!("../../../dsl/LANGUAGE.md"));
        d
    }

    fn train(&self, options: &[&[&str]]) -> Ran {
        self.einmesh(&[&[&["train"], &STEP[..]], options].concat())
    }

    fn training(&self, options: &[&[&str]]) -> Command {
        let mut command = self.command("einmesh", &[&[&["train"], &STEP[..]], options].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The loss of each step that a run wrote.
    fn losses(&self, file: &str) -> Vec<f64> {
        let text = self.text(file);
        let lines = text.lines().enumerate().map(|(i, line)| {
            let record: Json = serde_json::from_str(line).expect("a JSON object a line");
            assert_eq!(record["step"], i, "{line}");
            record["loss"].as_f64().expect("a number")
        });
        lines.collect()
    }

    /// The bytes of the newest checkpoint's tensors.
    fn newest(&self, directory: &str) -> [Vec<u8>; 2] {
        let entries = std::fs::read_dir(self.path(directory)).expect("a directory");
        let names = entries.map(|e| e.expect("an entry").file_name().into_string().expect("text"));
        let newest = names.filter(|n| n.starts_with("step-")).max().expect("a checkpoint");
        ["model", "state"]
            .map(|name| self.bytes(&format!("{directory}/{newest}/{name}.safetensors")))
    }
}

/// The state of a run lies as the step's plan says, and so does what is validated.
#[test]
fn validation_is_placed_as_the_step_is() {
    let d = Directory::with_text("validation-placed");
    let model = include_str!("../../programs/bigram.ein");
    let plan = "plan two for train_step {
  @mesh(data: 2)
  @shard(data: B)
  @expect(count(all_reduce) >= 1, count(all_gather) == 0)
}
plan four for train_step { @mesh(data: 4) @shard(data: B) }
";
    d.write("bigram.ein", format!("{model}\n{plan}"));
    let validated = ["--validate=validate", "--validate-every=2", "--steps=4"];
    for plan in ["two", "four"] {
        let of = [format!("--plan={plan}"), format!("--metrics={plan}.jsonl")];
        d.train(&[&TEXT, &validated, &[&of[0], &of[1]]]).data();
    }
    let losses = |file: &str| -> Vec<f64> {
        let text = d.text(file);
        let records = text.lines().map(|l| serde_json::from_str::<Json>(l).expect("an object"));
        records.filter_map(|record| record["validation_loss"].as_f64()).collect()
    };
    let (two, four) = (losses("two.jsonl"), losses("four.jsonl"));
    assert_eq!(two.len(), 2);
    for (a, b) in two.iter().zip(&four) {
        assert!((a - b).abs() < 1e-5 * a, "{a} and {b}");
    }
    d.train(&[&TEXT, &["--validate=validate", "--steps=4"]]).fails(2, &["--validate-every"]);
}

#[test]
fn a_step_learns_and_tells_what_it_does() {
    let d = Directory::with_text("learns");
    let ran = d.train(&[
        &TEXT,
        &["--steps=60", "--validate=validate", "--validate-every=20", "--metrics=m.jsonl"],
        &[
            "--report=r.html",
            "--tensorboard=events",
            "--checkpoint=ck",
            "--save-every=25",
            "--profile",
            "--json",
        ],
    ]);
    let summary: Json = serde_json::from_str(&ran.stdout).expect("one object");
    assert_eq!(summary["steps"], 60);
    assert_eq!(summary["parameters"], 65536);
    let profile = summary["profile"].as_array().expect("it was asked for");
    assert!(profile.iter().any(|step| step["count"] == 1), "{profile:?}");
    assert!(ran.stderr.contains("65536 parameters on 1 device"), "{}", ran.stderr);
    assert!(ran.stderr.contains("step 60/60  loss"), "{}", ran.stderr);
    let losses = d.losses("m.jsonl");
    assert_eq!(losses.len(), 60);
    assert!(
        (losses[0] - 256_f64.ln()).abs() < 1e-5,
        "a table of zeros knows nothing: {}",
        losses[0]
    );
    assert!(losses[50..].iter().all(|l| *l < losses[0] - 0.7), "{losses:?}");
    let validation = summary["validation_loss"].as_f64().expect("it was measured");
    assert!(validation < losses[0] - 0.7, "{validation}");
    let page = d.text("r.html");
    assert!(page.contains("<svg") && page.contains("validation") && page.contains("bigram.ein"));
    assert!(std::fs::read_dir(d.path("events")).expect("a directory").count() == 1);
    // The newest two are kept; the model has its name in a checkpoint.
    assert!(!d.path("ck/step-00000025").exists());
    let model = SafeTensors::open(&d.path("ck/step-00000060/model.safetensors")).expect("tensors");
    assert_eq!(model.names().collect::<Vec<&str>>(), ["table.weight"]);
    let state = SafeTensors::open(&d.path("ck/step-00000050/state.safetensors")).expect("tensors");
    assert_eq!(state.names().collect::<Vec<&str>>(), ["s.mean.table", "s.steps"]);
}

#[test]
fn a_resumed_run_gives_the_bits_of_an_unbroken_one() {
    let d = Directory::with_text("resumed");
    let run = |directory: &str, steps: &str, more: &[&str]| {
        let ran =
            d.train(&[&TEXT, &["--checkpoint", directory, "--seed=7", "--steps", steps], more]);
        ran.data();
    };
    run("whole", "40", &["--metrics=whole.jsonl", "--threads=2"]);
    run("parts", "15", &["--metrics=parts.jsonl", "--threads=1"]);
    run("parts", "40", &["--metrics=parts.jsonl", "--threads=3", "--resume"]);
    assert_eq!(d.losses("whole.jsonl"), d.losses("parts.jsonl"));
    assert_eq!(d.newest("whole"), d.newest("parts"));
    // On another mesh sums have another order.
    run("moved", "15", &["--metrics=moved.jsonl"]);
    run("moved", "40", &["--metrics=moved.jsonl", "--resume", "--mesh=data=2,tensor=2"]);
    let (whole, moved) = (d.losses("whole.jsonl"), d.losses("moved.jsonl"));
    assert_eq!(whole[..15], moved[..15]);
    for (a, b) in whole.iter().zip(&moved) {
        assert!((a - b).abs() <= 1e-5 * a, "{a} on one device, {b} on four");
    }
}

/// Killed at moments spread over what a run does: while it compiles, steps, saves. `EINMESH_KILLS` sets how many.
#[test]
fn a_killed_run_goes_on_from_a_whole_checkpoint() {
    let d = Directory::with_text("killed");
    let wanted: u32 = std::env::var("EINMESH_KILLS").map_or(10, |n| n.parse().expect("a number"));
    let steps = format!("--steps={}", 40 * wanted);
    let begin = Instant::now();
    d.train(&[&TEXT, &["--checkpoint=whole", "--metrics=whole.jsonl", &steps]]).data();
    let whole = begin.elapsed();
    let options =
        [&steps[..], "--save-every=1", "--checkpoint=ck", "--metrics=m.jsonl", "--resume"];
    let lines = || {
        std::fs::read(d.path("m.jsonl")).map_or(0, |t| t.iter().filter(|b| **b == b'\n').count())
    };
    for kill in 0..wanted {
        let mut child = d.training(&[&TEXT, &options]).spawn().expect("it starts");
        // Multiples of the golden ratio are spread evenly.
        let part = f64::from(kill) * 0.618_033_988_75 % 1.0;
        let begin = Instant::now();
        match kill % 4 {
            0 => std::thread::sleep(Duration::from_millis((400.0 * part) as u64)),
            // After some more steps, and within the one that follows.
            _ => {
                let until = lines() + 1 + (30.0 * part) as usize;
                while lines() < until && begin.elapsed() < 20 * whole {
                    std::thread::sleep(Duration::from_micros(200));
                }
                std::thread::sleep(Duration::from_micros((4000.0 * part) as u64));
            }
        }
        assert!(
            child.try_wait().expect("it can be asked").is_none(),
            "there are more steps than kills"
        );
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    d.train(&[&TEXT, &options]).data();
    assert_eq!(d.losses("whole.jsonl"), d.losses("m.jsonl"));
    assert_eq!(d.newest("whole"), d.newest("ck"));
    let left = std::fs::read_dir(d.path("ck")).expect("a directory").count();
    assert_eq!(left, 3, "two checkpoints and the lock");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_says_how_to_go_on() {
    let d = Directory::with_text("interrupted");
    let mut command =
        d.training(&[&TEXT, &["--steps=1000000", "--checkpoint=ck", "--metrics=m.jsonl"]]);
    let child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    // Until the first step is done.
    while std::fs::metadata(d.path("m.jsonl")).map_or(true, |m| m.len() == 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("`kill` is there").success());
    let ran = Ran::of(child.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("go on with `--resume`"), "{}", ran.stderr);
    let done = d.losses("m.jsonl").len();
    assert!(d.path(&format!("ck/step-{done:08}/manifest.json")).exists());
}

#[test]
fn several_texts_and_a_file_of_options() {
    let d = Directory::with_text("mixed");
    d.write("more.jsonl", "{\"text\": \"once upon a time there was a table\"}\n".repeat(200));
    d.write(
        "run.toml",
        "file = \"bigram.ein\"\nstep = \"train_step\"\ndata = [\"text.txt\", \"more.jsonl\"]\n\
         mix = [0.75, 0.25]\nsteps = 10\nmetrics = \"m.jsonl\"\ncheckpoint = \"ck\"\n[define]\nB = 8\n",
    );
    let mut command = d.command("einmesh", &[&["train", "--config", "run.toml", "--steps=12"]]);
    command.env("XDG_CACHE_HOME", d.path("cache"));
    let ran = Ran::of(command.output().expect("it starts"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(d.losses("m.jsonl").len(), 12, "the command line wins");
    let manifest: Json =
        serde_json::from_str(&d.text("ck/step-00000012/manifest.json")).expect("JSON");
    assert_eq!(manifest["position"]["taken"], serde_json::json!([72, 24]));
}

/// `models/train.ein`: accumulation, loss scaling, clipping, a schedule, an average of parameters; and the step that
/// the command makes of a loss. The placement changes rounding only.
#[test]
fn recipes_train_gpt2_alike_on_every_mesh() {
    let d = Directory::with_text("recipes");
    d.write("gpt2.ein", include_str!("../../../models/gpt2.ein"));
    d.write("train.ein", include_str!("../../../models/train.ein"));
    let size = [
        "-DL=2",
        "-DD=24",
        "-DH=3",
        "-DV=256",
        "-DP=20",
        "-DB=4",
        "-DT=20",
        "--steps=4",
        "--seed=3",
    ];
    let own = ["train.ein", "--step=train_step", "-DM=3", "-Dwarm=2", "--precision=none"];
    let made =
        ["gpt2.ein", "--loss=loss", "--accumulate=3", "--clip=0.5", "--lr=0.01", "--schedule=wsd"];
    let split = ["--mesh=data=2,tensor=3", "--shard=data=B,tensor=H+F+V", "--fsdp=none"];
    let fsdp = ["--mesh=data=4", "--shard=data=B", "--fsdp=data=Params"];
    for (recipe, placement) in [(&own[..], split), (&made[..], fsdp)] {
        let losses = |placement: &[&str]| {
            let options =
                [&["train"], recipe, &size, &TEXT, &["--metrics=m.jsonl"], placement].concat();
            d.einmesh(&[&options]).data();
            d.losses("m.jsonl")
        };
        let whole = losses(&["--mesh=none", "--shard=none", "--fsdp=none"]);
        assert!(whole[3] < whole[0] - 0.01, "{whole:?}");
        for (a, b) in whole.iter().zip(losses(&placement)) {
            assert!((a - b).abs() <= 1e-4 * a, "{a} on one device, {b} with {placement:?}");
        }
    }
}

/// Adafactor's moments, the average, the scale and what was accumulated are kept in checkpoints, and do not depend on
/// the mesh but for rounding.
#[test]
fn a_recipe_of_everything_resumes_bitwise() {
    let d = Directory::with_text("everything");
    let run = |directory: &str, steps: &str, more: &[&str]| {
        let checkpoint = format!("--checkpoint={directory}");
        let recipe = [
            "train",
            "bigram.ein",
            "--loss=loss",
            "--optimizer=adafactor",
            // Relative to the size of the parameters, which is taken to be 1e-3 while they are zeros.
            "--lr=10",
            "--loss-scale=dynamic",
            "--ema=0.9",
            "--accumulate=3",
            "--weight-decay=0.01",
            "--validate-every=2",
            "--metrics=m.jsonl",
            &checkpoint,
            steps,
        ];
        d.einmesh(&[&recipe, &TEXT, more]).data();
    };
    let bytes = |directory: &str| {
        let files = ["model", "average", "state"];
        files.map(|name| d.bytes(&format!("{directory}/step-00000006/{name}.safetensors")))
    };
    run("unbroken", "--steps=6", &[]);
    let whole = d.losses("m.jsonl");
    assert!(whole[5] < whole[0] - 3e-3, "{whole:?}");
    run("broken", "--steps=3", &[]);
    run("broken", "--steps=6", &["--resume"]);
    assert!(bytes("unbroken") == bytes("broken"));
    let open = |name: &str| SafeTensors::open(&d.path(name)).expect("tensors");
    let average = open("unbroken/step-00000006/average.safetensors");
    assert_eq!(average.names().collect::<Vec<&str>>(), ["table.weight"]);
    let state = open("unbroken/step-00000006/state.safetensors");
    let names: Vec<&str> = state.names().collect();
    assert_eq!(names, ["s.c.table", "s.good", "s.n", "s.r.table", "s.scale"]);
    run("parted", "--steps=6", &["--mesh=data=2", "--shard=data=B", "--fsdp=data=Params"]);
    for (a, b) in whole.iter().zip(d.losses("m.jsonl")) {
        assert!((a - b).abs() <= 1e-5 * a, "{a} on one device, {b} on two");
    }
}

/// A scale that is a power of two changes no bit; one that is too large is halved, by steps that learn nothing.
#[test]
fn losses_are_scaled_as_far_as_gradients_are_finite() {
    let d = Directory::with_text("scaled");
    let losses = |file: &str, more: &[&str]| {
        let run = ["train", file, "--loss=loss", "--steps=8", "--metrics=m.jsonl", "--clip=1"];
        d.einmesh(&[&run, &TEXT, more]).data();
        d.losses("m.jsonl")
    };
    let plain = losses("bigram.ein", &[]);
    assert_eq!(plain, losses("bigram.ein", &["--loss-scale=1024"]));
    assert_eq!(plain, losses("bigram.ein", &["--loss-scale=dynamic"]));
    d.write(
        "half.ein",
        "dim B = 4, T = 16, V = 256
record Params { w: f32[V] = zeros }
export fn loss(p: Params, tokens: i32[B,T], targets: i32[B,T]) -> f32 {
  e[b,t] = f16(p.w[tokens[b,t]])
  out    = 8 * f32(mean[b,t]((e[b,t] - 1)^2))
}
",
    );
    let found = losses("half.ein", &["--loss-scale=dynamic", "--optimizer=lion", "--lr=0.1"]);
    let scales: Vec<f64> = d
        .text("m.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("JSON")["loss_scale"].as_f64())
        .map(|scale| scale.expect("a number"))
        .collect();
    // The largest f16 is 65504, and the mean's adjoint is 8 times the scale.
    assert_eq!(scales, [65536.0, 32768.0, 16384.0, 8192.0, 4096.0, 4096.0, 4096.0, 4096.0]);
    assert_eq!(found[..5], [8.0; 5]);
    assert!(found[5..].windows(2).all(|w| w[1] < w[0]) && found[5] < 8.0, "{found:?}");
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let d = Directory::with_text("meaningless");
    let refused = |more: &[&str], says: &[&str]| {
        let run = ["train", "bigram.ein", "--loss=loss", "--steps=1"];
        d.einmesh(&[&run, &TEXT, more]).fails(2, says);
    };
    refused(&["--optimizer=adafactor", "--betas=0.9,0.9"], &["--betas", "no effect"]);
    refused(&["--ema=1"], &["--ema 1", "from 0 to below 1"]);
    refused(&["--loss-scale=-2"], &["--loss-scale", "above 0, or `dynamic`"]);
    refused(&["--loss-scale=often"], &["above 0, or `dynamic`"]);
}

#[test]
fn what_cannot_be_trained_is_refused_with_a_way_out() {
    let d = Directory::with_text("refused");
    let refused = |options: &[&str], says: &[&str]| d.train(&[options]).fails(1, says);
    refused(&["--steps=1", "--data=none.txt"], &["none.txt"]);
    refused(
        &["--steps=1", "--data=text.txt", "--mix=1,2"],
        &["2 proportions for 1 source", "help:"],
    );
    refused(
        &["--steps=1", "--data=text.txt", "--init=loss"],
        &["nothing makes a state", "--params"],
    );
    let ran = d.einmesh(&[&["train", "bigram.ein", "--step=loss", "--steps=1"], &TEXT]);
    ran.fails(1, &["has no `inout` argument", "help:"]);
    let ran = d.einmesh(&[&["train", "bigram.ein", "--steps=1"], &TEXT]);
    ran.fails(2, &["--step"]);
    d.train(&[&TEXT, &["--steps=2", "--checkpoint=ck"]]).data();
    refused(&["--steps=4", "--data=text.txt", "--checkpoint=ck"], &["step 2 already", "--resume"]);
    let resume = ["--steps=4", "--data=text.txt", "--checkpoint=ck", "--resume"];
    refused(&[&resume[..], &["--seed=1"]].concat(), &["the seed", "help:"]);
    let plan = d.train(&[&TEXT, &["--steps=1", "--dry-run", "--mesh=data=2"]]).data();
    assert!(plan.contains("each device sends") && plan.contains("peak memory"), "{plan}");
    let few = ["--steps=1", "--data=text.txt", "-DV=100"];
    refused(&few, &["text.txt has the token", "the model has only 100: 0 to 99", "help:"]);
    // A damaged checkpoint is told, and the one before it taken.
    let mut damaged = d.bytes("ck/step-00000002/model.safetensors");
    *damaged.last_mut().expect("bytes") ^= 1;
    d.write("ck/step-00000002/model.safetensors", damaged);
    refused(&resume, &["damaged", "no checkpoint of `ck` is whole"]);
}
