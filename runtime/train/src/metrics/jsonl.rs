//! Metrics as a file of JSON objects, one a line.

use super::Record;
use crate::error::TrainError;
use einmesh_artifact::write_atomically;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of records that a run appends to.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run that is about to do step `next`: later lines, of a run that was killed before
    /// it saved, are removed, since their steps are done again. A new run (`next` is 0) begins a new log.
    pub fn open(path: &Path, next: u64) -> Result<Log, TrainError> {
        let kept: Vec<Record> = match next > 0 && path.exists() {
            true => read_log(path)?.into_iter().filter(|r| r.step < next).collect(),
            false => Vec::new(),
        };
        write_atomically(path, |file| {
            kept.iter().try_for_each(|record| writeln!(file, "{}", record.json()))
        })
        .map_err(TrainError::io(path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::io(path))?;
        Ok(Log { path: path.to_owned(), file })
    }

    /// Appends a record: whole lines only, readable at once.
    pub fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        let text = format!("{}\n", record.json());
        self.file.write_all(text.as_bytes()).map_err(TrainError::io(&self.path))
    }
}

/// The records of a log; a last line that was cut short is left out.
pub fn read_log(path: &Path) -> Result<Vec<Record>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(i, line): (usize, &str)| {
        let object = serde_json::from_str(line).ok();
        object
            .and_then(|object| Record::from_json(&object))
            .ok_or_else(|| TrainError::file(path, format!("line {} is no record of a run", i + 1)))
    };
    whole.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_log_loses_the_lines_that_come_again() {
        let path = std::env::temp_dir().join(format!("einmesh-log-{}.jsonl", std::process::id()));
        let record = |step, loss| {
            let others = [("lr".to_owned(), 0.5)].into();
            Record { step, loss, others, ..Record::default() }
        };
        let mut log = Log::open(&path, 0).unwrap();
        for step in 0..4 {
            log.write(&record(step, f64::NAN)).unwrap();
        }
        // The process was killed within a line.
        log.file.write_all(b"{\"step\": 4, \"lo").unwrap();
        let mut log = Log::open(&path, 2).unwrap();
        log.write(&record(2, 1.5)).unwrap();
        let read = read_log(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.iter().map(|r| r.step).collect::<Vec<u64>>(), [0, 1, 2]);
        assert!(read[0].loss.is_nan());
        assert_eq!(read[2], record(2, 1.5));
    }
}
