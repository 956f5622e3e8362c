//! A run's directory.

use super::{FORMAT, KEPT, Loaded, MANIFEST};
use crate::error::TrainError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A directory of checkpoints, held by one run at a time.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Locked while this lives; the system unlocks it when the process ends, however it ends.
    _lock: File,
}

impl Directory {
    /// Opens or makes a directory and removes what a killed run has left half done.
    pub fn open(path: &Path) -> Result<Directory, TrainError> {
        fs::create_dir_all(path).map_err(TrainError::io(path))?;
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path).map_err(TrainError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::file(
                    path,
                    "another run saves its checkpoints here\nhelp: wait for it, or give another `--checkpoint`",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(TrainError::io(&lock_path)(error)),
        }
        let directory = Directory { path: path.to_owned(), _lock: lock };
        for entry in directory.names()? {
            if entry.starts_with(".step-") {
                let leftover = path.join(entry);
                fs::remove_dir_all(&leftover).map_err(TrainError::io(&leftover))?;
            }
        }
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The steps that have a checkpoint, newest first.
    pub fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let names = self.names()?;
        let steps = names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok());
        let mut steps: Vec<u64> = steps.collect();
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// The newest checkpoint that is whole, and what is wrong with those that are newer.
    pub fn newest(&self) -> Result<(Option<Loaded>, Vec<TrainError>), TrainError> {
        let mut wrong = Vec::new();
        for step in self.steps()? {
            match Loaded::open(&self.of_step(step)) {
                Ok(loaded) => return Ok((Some(loaded), wrong)),
                Err(error) => wrong.push(error),
            }
        }
        Ok((None, wrong))
    }

    /// The directory of a checkpoint.
    pub fn of_step(&self, step: u64) -> PathBuf {
        self.path.join(format!("step-{step:08}"))
    }

    /// The directory in which a checkpoint is written before it has its name.
    pub(super) fn unfinished(&self, step: u64) -> Result<PathBuf, TrainError> {
        let path = self.path.join(format!(".step-{step:08}"));
        if path.exists() {
            fs::remove_dir_all(&path).map_err(TrainError::io(&path))?;
        }
        fs::create_dir(&path).map_err(TrainError::io(&path))?;
        Ok(path)
    }

    /// Gives a finished checkpoint its name, then removes the oldest beyond [`KEPT`].
    pub(super) fn publish(&self, unfinished: &Path, step: u64) -> Result<(), TrainError> {
        sync(unfinished)?;
        let path = self.of_step(step);
        if path.exists() {
            self.remove(step)?;
        }
        fs::rename(unfinished, &path).map_err(TrainError::io(&path))?;
        sync(&self.path)?;
        for old in self.steps()?.into_iter().skip(KEPT) {
            self.remove(old)?;
        }
        Ok(())
    }

    /// Takes a checkpoint's name away before its files, so that no half of one is ever found.
    fn remove(&self, step: u64) -> Result<(), TrainError> {
        let (path, hidden) = (self.of_step(step), self.path.join(format!(".step-{step:08}.old")));
        fs::rename(&path, &hidden).map_err(TrainError::io(&path))?;
        fs::remove_dir_all(&hidden).map_err(TrainError::io(&hidden))
    }

    fn names(&self) -> Result<Vec<String>, TrainError> {
        let entries = fs::read_dir(&self.path).map_err(TrainError::io(&self.path))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<Vec<String>>>().map_err(TrainError::io(&self.path))
    }
}

/// Whether a checkpoint's manifest is of a version this program reads.
pub(super) fn check_format(path: &Path, format: u32) -> Result<(), TrainError> {
    match format == FORMAT {
        true => Ok(()),
        false => Err(TrainError::file(
            &path.join(MANIFEST),
            format!(
                "it has the format {format}, this program reads {FORMAT}\nhelp: use the version that wrote it"
            ),
        )),
    }
}

fn sync(directory: &Path) -> Result<(), TrainError> {
    File::open(directory).and_then(|d| d.sync_all()).map_err(TrainError::io(directory))
}
