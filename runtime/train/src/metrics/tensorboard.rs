//! Event files of TensorBoard.
//!
//! A file is a row of records: eight bytes of length, the length's checksum, the data, the data's checksum;
//! the checksums are CRC-32C, masked (TensorFlow, `core/lib/io/record_writer.h`). The data is an `Event` in
//! the protocol buffers' wire format (`core/util/event.proto`), of which three fields are written here.

use crate::error::TrainError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of numbers by step.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a file in a directory, under a name that TensorBoard looks for. Each part of a resumed run has a file of
    /// its own, as TensorBoard expects.
    pub fn create(directory: &Path) -> Result<EventFile, TrainError> {
        std::fs::create_dir_all(directory).map_err(TrainError::io(directory))?;
        let process = std::process::id();
        let path =
            directory.join(format!("events.out.tfevents.{:010}.einmesh.{process}", now() as u64));
        let file = File::create(&path).map_err(TrainError::io(&path))?;
        let mut events = EventFile { path, file };
        let mut version = double(1, now());
        version.extend(bytes(3, b"brain.Event:2"));
        events.record(&version)?;
        Ok(events)
    }

    /// Writes numbers of one step.
    pub fn write(&mut self, step: u64, numbers: &[(&str, f64)]) -> Result<(), TrainError> {
        let mut summary = Vec::new();
        for (tag, number) in numbers {
            let mut value = bytes(1, tag.as_bytes());
            value.push(key(2, FIXED32));
            value.extend((*number as f32).to_le_bytes());
            summary.extend(bytes(1, &value));
        }
        let mut event = double(1, now());
        event.push(key(2, VARINT));
        event.extend(varint(step));
        event.extend(bytes(5, &summary));
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> Result<(), TrainError> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked(data).to_le_bytes());
        self.file.write_all(&record).map_err(TrainError::io(&self.path))
    }
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

/// What stands before a field: its number and how it is written.
fn key(field: u8, wire: u8) -> u8 {
    field << 3 | wire
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn double(field: u8, number: f64) -> Vec<u8> {
    let mut bytes = vec![key(field, FIXED64)];
    bytes.extend(number.to_le_bytes());
    bytes
}

fn bytes(field: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![key(field, LENGTH)];
    bytes.extend(varint(data.len() as u64));
    bytes.extend(data);
    bytes
}

fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xAC, 2]);
    }

    #[test]
    fn a_record_is_framed_by_masked_checksums() {
        // The check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
        let rotated = 0xE306_9283_u32.rotate_right(15);
        assert_eq!(masked(b"123456789"), rotated.wrapping_add(0xA282_EAD8));
        let directory = std::env::temp_dir().join(format!("einmesh-events-{}", std::process::id()));
        let mut events = EventFile::create(&directory).unwrap();
        events.write(300, &[("loss", 2.5)]).unwrap();
        let file = std::fs::read(&events.path).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let (mut rest, mut records) = (&file[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked(data).to_le_bytes());
            records.push(data);
            rest = &rest[16 + length..];
        }
        assert_eq!(records.len(), 2);
        assert_eq!(records[0][9..], *b"\x1a\x0dbrain.Event:2");
        // step: 300; summary: one value with the tag and 2.5.
        assert_eq!(
            records[1][9..],
            *b"\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x20\x40"
        );
    }
}
