//! The run: batch, step, metrics, checkpoint; again and again.

use super::options::Train;
use super::{failed, machine};
use crate::commands::Stop;
use einmesh_exec::Options;
use einmesh_exec::command::profile;
use einmesh_train::checkpoint::{Directory, FORMAT, Saved, SavedSource};
use einmesh_train::metrics::{EventFile, Facts, Log, Progress, Record, read_log, report};
use einmesh_train::{Dataset, Position, Trainer};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What the step's arguments besides the state are.
pub enum Feed {
    /// Rows of text.
    Text(Dataset),
    /// The same tensors at every step; they are bound already.
    Fixed,
}

/// Everything that a run needs.
pub struct Run<'a> {
    pub options: &'a Train,
    pub trainer: Trainer,
    pub feed: Feed,
    pub directory: Option<Directory>,
    pub settings: Options,
    /// The floating-point operations of a step.
    pub flops: f64,
    /// Those that the machine could do in a second.
    pub peak: f64,
}

/// Set by Ctrl-C: the step that is running is the last one.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

impl Run<'_> {
    /// Runs all steps that are left; what `--json` prints.
    pub fn go(mut self, saved: Option<Saved>) -> Result<serde_json::Value, Stop> {
        let options = self.options;
        let first = saved.as_ref().map_or(0, |s| s.step);
        let mut position = self.resumed(saved)?;
        let mut log =
            options.metrics.as_deref().map(|p| Log::open(p, first)).transpose().map_err(failed)?;
        let mut records: Vec<Record> = match &options.metrics {
            Some(path) if first > 0 => read_log(path).map_err(failed)?,
            _ => Vec::new(),
        };
        let before = records.last().map_or(0.0, |r| r.seconds);
        let mut events =
            options.tensorboard.as_deref().map(EventFile::create).transpose().map_err(failed)?;
        self.introduce(first);
        // A second Ctrl-C ends the process at once.
        let handler = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\ninterrupted: this step is the last one (again to stop at once)");
        });
        handler.map_err(|why| Stop::Failed(format!("cannot handle Ctrl-C: {why}")))?;
        let mut progress = Progress::new(first, options.steps);
        let begin = Instant::now();
        let mut saved_at = first;
        let mut done = first;
        while done < options.steps && !INTERRUPTED.load(Ordering::SeqCst) {
            let start = Instant::now();
            let rows = self.next_batch(&mut position)?;
            let result = self.trainer.step().map_err(failed)?;
            let seconds = start.elapsed().as_secs_f64();
            let mut record = Record {
                step: done,
                loss: result.loss,
                validation_loss: None,
                others: result.others,
                tokens: (done + 1) * rows,
                step_ms: 1e3 * seconds,
                tokens_per_second: rows as f64 / seconds,
                mfu: (self.flops > 0.0).then(|| self.flops / seconds / self.peak),
                seconds: before + begin.elapsed().as_secs_f64(),
            };
            done += 1;
            if options
                .validate_every
                .is_some_and(|k| done.is_multiple_of(k) || done == options.steps)
            {
                record.validation_loss = self.validation()?;
            }
            if let Some(log) = &mut log {
                log.write(&record).map_err(failed)?;
            }
            if let Some(events) = &mut events {
                write_events(events, &record)?;
            }
            progress.tell(&record);
            records.push(record);
            if options.save_every.is_some_and(|k| done.is_multiple_of(k)) {
                self.save(done, &position)?;
                saved_at = done;
            }
        }
        if done > saved_at {
            self.save(done, &position)?;
        }
        if done < options.steps {
            progress.note(&match &self.directory {
                Some(directory) => format!(
                    "stopped after step {done}; saved in {}: go on with `--resume`",
                    directory.path().display()
                ),
                None => format!("stopped after step {done}; nothing was saved (no `--checkpoint`)"),
            });
        }
        if let Some(path) = &options.report {
            report(path, &self.facts(), &records).map_err(failed)?;
            eprintln!("wrote {}", path.display());
        }
        if options.profile && !options.json {
            eprint!("{}", profile::table(&self.trainer.profile(), (done - first) as usize));
        }
        Ok(self.summary(first, done, &records))
    }

    /// Where the data goes on, if the run is the one that was saved.
    fn resumed(&self, saved: Option<Saved>) -> Result<Position, Stop> {
        let Some(saved) = saved else {
            return Ok(match &self.feed {
                Feed::Text(data) => data.start(),
                Feed::Fixed => Position::default(),
            });
        };
        let now = self.saved(saved.step, &saved.position);
        let differs = if now.sources != saved.sources {
            Some("the texts or the tokenizer")
        } else if (now.seed, now.length, now.rows) != (saved.seed, saved.length, saved.rows) {
            Some("the seed or the shape of a batch")
        } else if (&now.mix, now.validation) != (&saved.mix, saved.validation) {
            Some("the proportions of the texts, or the part kept for validation")
        } else {
            None
        };
        match differs {
            Some(what) => Err(Stop::Failed(format!(
                "{what} are others than those of the run that was saved after step {}\n\
                 help: give the same options; to train on with others, begin anew from its \
                 `model.safetensors` with `--params`",
                saved.step
            ))),
            None => Ok(saved.position),
        }
    }

    /// Binds the next batch; how many tokens it has.
    fn next_batch(&mut self, position: &mut Position) -> Result<u64, Stop> {
        match &self.feed {
            Feed::Fixed => Ok(self.trainer.rows().map_or(0, |r| r.rows * r.length)),
            Feed::Text(data) => {
                let rows = self.trainer.rows().map_err(failed)?;
                let batch = data.training(position, rows.rows);
                self.trainer.feed(&batch).map_err(failed)?;
                Ok(rows.rows * rows.length)
            }
        }
    }

    /// The mean loss over the rows kept for validation; those that fill no batch are left out.
    fn validation(&mut self) -> Result<Option<f64>, Stop> {
        let Feed::Text(data) = &self.feed else {
            return Ok(None);
        };
        let each = self.trainer.validation_rows().map_err(failed)?;
        let batches = data.windows().1.checked_div(each).unwrap_or(0);
        let mut sum = 0.0;
        for i in 0..batches {
            let batch = data.validation(i * each..(i + 1) * each);
            let Some(loss) = self.trainer.validate(&batch).map_err(failed)? else {
                return Ok(None);
            };
            sum += loss;
        }
        Ok((batches > 0).then(|| sum / batches as f64))
    }

    fn save(&self, step: u64, position: &Position) -> Result<(), Stop> {
        match &self.directory {
            Some(directory) => {
                self.trainer.save(directory, &self.saved(step, position)).map_err(failed)
            }
            None => Ok(()),
        }
    }

    fn saved(&self, step: u64, position: &Position) -> Saved {
        let sources = match &self.feed {
            Feed::Fixed => Vec::new(),
            Feed::Text(data) => data
                .sources()
                .map(|s| SavedSource { name: s.name.clone(), digest: s.digest.clone() })
                .collect(),
        };
        let rows = self.trainer.rows().ok();
        Saved {
            format: FORMAT,
            step,
            seed: self.options.seed,
            position: position.clone(),
            sources,
            length: rows.map_or(0, |r| r.length),
            rows: rows.map_or(0, |r| r.rows),
            mix: self.options.mix.clone(),
            validation: match &self.feed {
                Feed::Fixed => 0.0,
                Feed::Text(data) => data.validation_part(),
            },
            files: Vec::new(),
        }
    }

    /// Says what is about to be done.
    fn introduce(&self, first: u64) {
        let devices = self.trainer.manifest().devices();
        let mut line = format!(
            "{}: {} parameters on {}",
            self.options.file.display(),
            self.trainer.parameters(),
            machine(devices, self.settings.threads)
        );
        if let Feed::Text(data) = &self.feed {
            let tokens: u64 = data.sources().map(|s| s.tokens.len()).sum();
            let (training, validation) = data.windows();
            line.push_str(&format!("; {tokens} tokens, {training} rows to train on"));
            if validation > 0 {
                line.push_str(&format!(", {validation} for validation"));
            }
        }
        if first > 0 {
            line.push_str(&format!("; going on after step {first}"));
        }
        eprintln!("{line}");
    }

    fn facts(&self) -> Facts {
        let manifest = self.trainer.manifest();
        let mesh: Vec<String> =
            manifest.mesh.iter().map(|axis| format!("{} = {}", axis.name, axis.size)).collect();
        let row = |name: &str, value: String| (name.to_owned(), value);
        let wire: u64 = manifest.report.collectives.iter().map(|c| c.count * c.wire_bytes).sum();
        let mut rows = vec![
            row("command", std::env::args().collect::<Vec<String>>().join(" ")),
            row("parameters", self.trainer.parameters().to_string()),
            row("mesh", if mesh.is_empty() { "one device".to_owned() } else { mesh.join(", ") }),
            row("threads", self.settings.threads.to_string()),
            row(
                "memory per device",
                einmesh_exec::command::bytes(manifest.report.peak_bytes_per_device),
            ),
            row("sent per device and step", einmesh_exec::command::bytes(wire)),
        ];
        if let Feed::Text(data) = &self.feed {
            for source in data.sources() {
                rows.push(row("text", format!("{}, {} tokens", source.name, source.tokens.len())));
            }
        }
        Facts { title: format!("Training {}", self.options.file.display()), rows }
    }

    fn summary(&self, first: u64, done: u64, records: &[Record]) -> serde_json::Value {
        let last = records.last();
        let mut summary = json!({
            "steps": done,
            "loss": last.map(|r| r.loss),
            "validation_loss": records.iter().rev().find_map(|r| r.validation_loss),
            "tokens": last.map(|r| r.tokens),
            "seconds": last.map(|r| r.seconds),
            "step_ms": records.iter().map(|r| r.step_ms).collect::<Vec<f64>>(),
            "parameters": self.trainer.parameters(),
            "peak_bytes_per_device": self.trainer.manifest().report.peak_bytes_per_device,
            "collectives": self.trainer.manifest().report.collectives,
        });
        if self.options.profile {
            let times = self.trainer.profile();
            summary["profile"] = profile::json(&times, (done - first) as usize);
        }
        summary
    }
}

fn write_events(events: &mut EventFile, record: &Record) -> Result<(), Stop> {
    let mut numbers = vec![("loss", record.loss), ("tokens_per_second", record.tokens_per_second)];
    numbers.extend(record.validation_loss.map(|loss| ("validation_loss", loss)));
    numbers.extend(record.mfu.map(|mfu| ("mfu", mfu)));
    numbers.extend(record.others.iter().map(|(name, number)| (name.as_str(), *number)));
    events.write(record.step, &numbers).map_err(failed)
}
