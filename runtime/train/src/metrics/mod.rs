//! What a run tells while it goes on, and at its end.

mod jsonl;
mod progress;
mod report;
mod tensorboard;

pub use jsonl::{Log, read_log};
pub use progress::Progress;
pub use report::{Facts, report};
pub use tensorboard::EventFile;

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What one step did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Record {
    /// The step's number, from 0: the loss is that before the step's update.
    pub step: u64,
    /// The loss.
    pub loss: f64,
    /// The loss on the part of the text that is not trained on, when it was measured.
    pub validation_loss: Option<f64>,
    /// The entry's other numbers: `grad_norm`, `lr`.
    pub others: BTreeMap<String, f64>,
    /// Tokens of the training batches up to and with this step.
    pub tokens: u64,
    /// Milliseconds that this step took.
    pub step_ms: f64,
    /// Tokens a second in this step.
    pub tokens_per_second: f64,
    /// The step's floating-point operations a second, as a part of what the machine could do at most.
    pub mfu: Option<f64>,
    /// Seconds since the run began, those of earlier parts of a resumed run included.
    pub seconds: f64,
}

impl Record {
    /// The record as an object; numbers that are not finite become `null`, which JSON has in their place.
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("step".to_owned(), self.step.into());
        object.insert("loss".to_owned(), self.loss.into());
        if let Some(loss) = self.validation_loss {
            object.insert("validation_loss".to_owned(), loss.into());
        }
        for (name, number) in &self.others {
            object.insert(name.clone(), (*number).into());
        }
        object.insert("tokens".to_owned(), self.tokens.into());
        object.insert("step_ms".to_owned(), self.step_ms.into());
        object.insert("tokens_per_second".to_owned(), self.tokens_per_second.into());
        if let Some(mfu) = self.mfu {
            object.insert("mfu".to_owned(), mfu.into());
        }
        object.insert("seconds".to_owned(), self.seconds.into());
        object.into()
    }

    /// The record of an object; `None` if it has no step.
    pub fn from_json(object: &Map<String, Value>) -> Option<Record> {
        let mut record = Record { step: object.get("step")?.as_u64()?, ..Record::default() };
        for (name, value) in object {
            let number = value.as_f64().unwrap_or(f64::NAN);
            match name.as_str() {
                "step" => {}
                "loss" => record.loss = number,
                "validation_loss" => record.validation_loss = Some(number),
                "tokens" => record.tokens = value.as_u64()?,
                "step_ms" => record.step_ms = number,
                "tokens_per_second" => record.tokens_per_second = number,
                "mfu" => record.mfu = Some(number),
                "seconds" => record.seconds = number,
                _ => {
                    record.others.insert(name.clone(), number);
                }
            }
        }
        Some(record)
    }
}
