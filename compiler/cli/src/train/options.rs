//! The options of `einmesh train`.

use crate::args::CompileOptions;
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// Arguments of `train`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Train {
    /// The program.
    #[arg(value_name = "FILE.ein")]
    pub file: PathBuf,
    /// An exported step, `train_step(inout s: State, tokens, targets) -> (loss: f32)`.
    #[arg(long, value_name = "ENTRY", conflicts_with = "loss", required_unless_present = "loss")]
    pub step: Option<String>,
    /// An exported loss, `loss(p: Params, tokens, targets) -> f32`: a step is made of it with `--optimizer`.
    #[arg(long, value_name = "ENTRY")]
    pub loss: Option<String>,
    /// With `--step`: what makes the state [default: the exported function with the step's `inout` arguments as results].
    #[arg(long, value_name = "ENTRY", requires = "step")]
    pub init: Option<String>,
    /// With `--step`: an exported function with the step's arguments that gives the loss and learns nothing.
    #[arg(long, value_name = "ENTRY", requires_all = ["step", "validate_every"])]
    pub validate: Option<String>,
    /// How it is built.
    #[command(flatten)]
    pub compile: CompileOptions,
    /// How the step is made of a loss.
    #[command(flatten)]
    pub recipe: Recipe,
    /// The parameters to start from; without it they start as their fields say: `= normal(0.02)`.
    #[arg(long, num_args = 1.., value_name = "INIT.safetensors")]
    pub params: Vec<PathBuf>,
    /// Texts: a file, `.jsonl` of documents, or a directory; several are mixed.
    #[arg(long, num_args = 1.., value_name = "PATH", required_unless_present = "batch")]
    pub data: Vec<PathBuf>,
    /// Each text's part of the rows, for instance 0.7,0.3 [default: by size].
    #[arg(long, value_delimiter = ',', value_name = "X,…", requires = "data")]
    pub mix: Option<Vec<f64>>,
    /// Tensors for the entry's other arguments, by name, used at every step.
    #[arg(long, value_name = "FIXED.safetensors", conflicts_with_all = ["data", "mix"])]
    pub batch: Option<PathBuf>,
    /// A tokenizer.json of Hugging Face, or `bytes`: token n is byte n.
    #[arg(long, value_name = "tokenizer.json|bytes", default_value = "bytes")]
    pub tokenizer: String,
    /// The part of each text that is kept for validation, from its end [default: 0.05 with `--validate-every`].
    #[arg(long, value_name = "X", requires = "data")]
    pub validation: Option<f64>,
    /// Measure the loss on that part after each K-th step.
    #[arg(long, value_name = "K", requires = "data", value_parser = clap::value_parser!(u64).range(1..))]
    pub validate_every: Option<u64>,
    /// Print where every value of a step is, what is communicated and why, and how much memory a device needs; train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How many steps the whole run has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// What the order of the data, and the starting values, follow from.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Threads that compute; the results do not depend on it [default: the CPUs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
    /// Save into this directory: at the end, when interrupted, and as `--save-every` says.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Save after each K-th step.
    #[arg(long, value_name = "K", requires = "checkpoint", value_parser = clap::value_parser!(u64).range(1..))]
    pub save_every: Option<u64>,
    /// Go on from the newest checkpoint of the directory; begin if there is none.
    #[arg(long, requires = "checkpoint", conflicts_with = "params")]
    pub resume: bool,
    /// Write one JSON object a step.
    #[arg(long, value_name = "M.jsonl")]
    pub metrics: Option<PathBuf>,
    /// Write event files of TensorBoard into this directory.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Write a page with the curves at the end.
    #[arg(long, value_name = "REPORT.html")]
    pub report: Option<PathBuf>,
    /// Show how long each kernel, copy and collective of a step takes.
    #[arg(long)]
    pub profile: bool,
    /// Print one JSON object about the run at its end; with --profile it has the times too.
    #[arg(long)]
    pub json: bool,
}

/// How a step is made of a loss.
#[derive(ClapArgs, Clone, Debug)]
pub struct Recipe {
    /// What makes new parameters of gradients [default: adamw].
    #[arg(long, value_name = "NAME", conflicts_with = "step")]
    pub optimizer: Option<Optimizer>,
    /// The learning rate, at its peak; of adafactor the most it can be, times a leaf's size [default: 1e-3; adafactor: 1e-2].
    #[arg(long, value_name = "X", conflicts_with = "step")]
    pub lr: Option<f64>,
    /// How the two averages of adamw and lion forget [default: 0.9,0.95; lion: 0.9,0.99].
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        value_name = "B1,B2",
        conflicts_with = "step"
    )]
    pub betas: Option<Vec<f64>>,
    /// What adamw adds to its divisor, and adafactor to squares [default: 1e-8; adafactor: 1e-30].
    #[arg(long, value_name = "X", conflicts_with = "step")]
    pub eps: Option<f64>,
    /// How leaves with two axes or more shrink, times the rate; biases and norms do not [default: 0.1; sgd, adafactor: 0].
    #[arg(long, value_name = "X", conflicts_with = "step")]
    pub weight_decay: Option<f64>,
    /// How the average of sgd forgets [default: 0.9].
    #[arg(long, value_name = "X", conflicts_with = "step")]
    pub momentum: Option<f64>,
    /// Shorten gradients to this norm.
    #[arg(long, value_name = "NORM", conflicts_with = "step")]
    pub clip: Option<f64>,
    /// How the rate changes after the warm-up [default: constant].
    #[arg(long, value_name = "NAME", conflicts_with = "step")]
    pub schedule: Option<Schedule>,
    /// Steps over which the rate rises from 0 [default: 0].
    #[arg(long, value_name = "N", conflicts_with = "step")]
    pub warmup: Option<u64>,
    /// The rate at the end, as a part of its peak [default: 0.1; wsd: 0].
    #[arg(long, value_name = "X", conflicts_with = "step")]
    pub least_lr: Option<f64>,
    /// Add the gradients of M batches up before each update.
    #[arg(long, value_name = "M", conflicts_with = "step", value_parser = clap::value_parser!(u64).range(1..))]
    pub accumulate: Option<u64>,
    /// Take gradients of the loss times S, so that small ones are not lost in half precision; a step whose gradients
    /// are not finite changes nothing. `dynamic`: from 65536, halved by such a step, doubled after 2000 others.
    #[arg(long, value_name = "S|dynamic", conflicts_with = "step")]
    pub loss_scale: Option<LossScale>,
    /// Keep an average of the parameters that forgets like this, 0.999; validation is of the average.
    #[arg(long, value_name = "DECAY", conflicts_with = "step")]
    pub ema: Option<f64>,
}

/// What the loss is multiplied by before gradients are taken.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LossScale {
    /// The same at each step.
    Fixed(f64),
    /// As large as gradients allow.
    Dynamic,
}

impl FromStr for LossScale {
    type Err = String;

    fn from_str(text: &str) -> Result<LossScale, String> {
        match (text, text.parse()) {
            ("dynamic", _) => Ok(LossScale::Dynamic),
            (_, Ok(scale)) if f64::is_finite(scale) && scale > 0.0 => Ok(LossScale::Fixed(scale)),
            _ => Err("expected a number above 0, or `dynamic`".to_owned()),
        }
    }
}

/// The optimizers of models/std/optimizers.ein.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    Adamw,
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// The sign of an interpolated momentum.
    Lion,
    /// Moments by rows and columns, steps relative to the parameters.
    Adafactor,
}

/// The schedules of models/std/optimizers.ein.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Schedule {
    /// The peak.
    Constant,
    /// Half a cosine down to `--least-lr` at the last step.
    Cosine,
    /// The peak, then down to `--least-lr` on a line over the last fifth of the steps.
    Wsd,
}
