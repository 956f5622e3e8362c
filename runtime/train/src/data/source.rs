//! Files of text as one row of tokens.

use super::cache;
use super::tokens::Tokens;
use crate::error::TrainError;
use einmesh_artifact::hex;
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How text becomes tokens.
pub trait Encoder {
    /// The tokens of a text.
    fn encode(&self, text: &str) -> Result<Vec<u32>, String>;
    /// The token that stands after each document of a file of documents.
    fn end(&self) -> Option<u32>;
    /// How many tokens there are: one more than the largest.
    fn size(&self) -> u64;
    /// Names the encoding. Two with one name give the same tokens, so that what was encoded once is kept.
    fn identity(&self) -> String;
}

/// A token is a byte; documents end with a line feed.
pub struct Bytes;

impl Encoder for Bytes {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn end(&self) -> Option<u32> {
        Some(u32::from(b'\n'))
    }

    fn size(&self) -> u64 {
        256
    }

    fn identity(&self) -> String {
        "bytes".to_owned()
    }
}

/// One path's text as tokens.
#[derive(Debug)]
pub struct Source {
    /// The path as it was given.
    pub name: String,
    /// Its tokens.
    pub tokens: Tokens,
    /// The SHA-256 of the tokens' files and of how they were encoded, in hexadecimal.
    pub digest: String,
}

/// About so many bytes of a text are encoded at once.
const CHUNK: usize = 1 << 20;

impl Source {
    /// Opens a text (`.jsonl` is one document a line, `{"text": "…"}` or `{"tokens": […]}`; all else is
    /// one text in UTF-8), or a directory of them, in the order of their names. What a tokenizer gives is kept
    /// in the directory `cache` under a name made of the text's and the encoding's hash.
    pub fn open(path: &Path, encoder: &dyn Encoder, cache: &Path) -> Result<Source, TrainError> {
        let name = path.display().to_string();
        let files = files(path)?;
        let maps = files.iter().map(|file| map(file)).collect::<Result<Vec<Mmap>, _>>()?;
        let digest = digest(&files, &maps, &encoder.identity());
        let plain = encoder.identity() == Bytes.identity() && !is_documents(&files[0]);
        let tokens = match <[Mmap; 1]>::try_from(maps) {
            Ok([map]) if plain => Tokens::Bytes(map),
            Ok([map]) => encoded(&files, &[map], encoder, cache, &digest)?,
            Err(maps) => encoded(&files, &maps, encoder, cache, &digest)?,
        };
        Ok(Source { name, tokens, digest })
    }
}

/// The file itself, or a directory's files of text.
fn files(path: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let metadata = fs::metadata(path).map_err(TrainError::io(path))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(TrainError::io(path))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let file = entry.map_err(TrainError::io(path))?.path();
        let kind = file.extension().and_then(|e| e.to_str());
        if matches!(kind, Some("txt" | "md" | "jsonl")) {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(TrainError::file(
            path,
            "the directory has no text\nhelp: its `.txt`, `.md` and `.jsonl` files would be read",
        )),
        false => Ok(files),
    }
}

fn is_documents(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "jsonl")
}

fn map(path: &Path) -> Result<Mmap, TrainError> {
    let file = File::open(path).map_err(TrainError::io(path))?;
    let metadata = file.metadata().map_err(TrainError::io(path))?;
    if !metadata.is_file() {
        return Err(TrainError::file(path, "it is not a regular file"));
    }
    // SAFETY: the map is only read, and no reference to its bytes is assumed to be constant text: each
    // use checks what it reads. Shortening the file is the documented exception.
    unsafe { Mmap::map(&file) }.map_err(TrainError::io(path))
}

fn digest(files: &[PathBuf], maps: &[Mmap], identity: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(identity.as_bytes());
    for (file, map) in files.iter().zip(maps) {
        hash.update([0, u8::from(is_documents(file))]);
        hash.update((map.len() as u64).to_le_bytes());
        hash.update(map);
    }
    hex(&hash.finalize())
}

/// The files' tokens, from the cache if they were encoded before.
fn encoded(
    files: &[PathBuf],
    maps: &[Mmap],
    encoder: &dyn Encoder,
    directory: &Path,
    digest: &str,
) -> Result<Tokens, TrainError> {
    let path = cache::find_or_write(directory, digest, |out| {
        for (file, map) in files.iter().zip(maps) {
            let mut push = |tokens: &[u32]| write(out, tokens).map_err(TrainError::io(file));
            match is_documents(file) {
                true => documents(file, map, encoder, &mut push)?,
                false => text(file, map, encoder, &mut push)?,
            }
        }
        Ok(())
    })?;
    Ok(Tokens::Words(map(&path)?))
}

fn write(out: &mut dyn Write, tokens: &[u32]) -> std::io::Result<()> {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    out.write_all(&bytes)
}

type Push<'a> = dyn FnMut(&[u32]) -> Result<(), TrainError> + 'a;

/// Encodes a text in pieces that begin where a line does, where tokenizers part words in any case.
fn text(
    path: &Path,
    bytes: &[u8],
    encoder: &dyn Encoder,
    push: &mut Push,
) -> Result<(), TrainError> {
    let mut rest = utf8(path, bytes, 0)?;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece(rest, CHUNK));
        push(&encoder.encode(piece).map_err(|why| TrainError::file(path, why))?)?;
        rest = after;
    }
    Ok(())
}

/// Where a piece of a text ends: before the first line that follows `least` bytes and does not begin with
/// white space, or at the end.
fn piece(text: &str, least: usize) -> usize {
    let bytes = text.as_bytes();
    let begins = |i: &usize| bytes[i - 1] == b'\n' && !bytes[*i].is_ascii_whitespace();
    (least.max(1)..bytes.len()).find(begins).unwrap_or(bytes.len())
}

/// Encodes the documents of a file, one a line.
fn documents(
    path: &Path,
    bytes: &[u8],
    encoder: &dyn Encoder,
    push: &mut Push,
) -> Result<(), TrainError> {
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let mut tokens = document(utf8(path, line, number + 1)?, encoder)
            .map_err(|why| TrainError::file(path, format!("line {}: {why}", number + 1)))?;
        tokens.extend(encoder.end());
        push(&tokens)?;
    }
    Ok(())
}

fn document(line: &str, encoder: &dyn Encoder) -> Result<Vec<u32>, String> {
    const HELP: &str = "help: a line is `{\"text\": \"…\"}` or `{\"tokens\": [1, 2, …]}`";
    let object: serde_json::Value =
        serde_json::from_str(line).map_err(|why| format!("it is no JSON: {why}\n{HELP}"))?;
    if let Some(text) = object.get("text").and_then(|t| t.as_str()) {
        return encoder.encode(text);
    }
    let Some(tokens) = object.get("tokens").and_then(|t| t.as_array()) else {
        return Err(format!("it has neither `text` nor `tokens`\n{HELP}"));
    };
    let size = encoder.size();
    let token = |t: &serde_json::Value| match t.as_u64() {
        Some(n) if n < size => Ok(n as u32),
        _ => Err(format!("{t} is not a token from 0 to {}", size - 1)),
    };
    tokens.iter().map(token).collect()
}

/// Text of a file, or of one of its lines.
fn utf8<'a>(path: &Path, bytes: &'a [u8], line: usize) -> Result<&'a str, TrainError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let place = match line {
            0 => format!("byte {}", error.valid_up_to()),
            n => format!("line {n}"),
        };
        TrainError::file(
            path,
            format!("{place} is not UTF-8\nhelp: convert it, or train on `bytes`"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text_and_begin_with_lines() {
        let text = "one two\nthree\n\n  four\nfive\nsix";
        for least in 0..text.len() + 2 {
            let mut rest = text;
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(piece(rest, least));
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(pieces.concat(), text);
            for piece in &pieces[1..] {
                assert!(piece.starts_with(['t', 'f', 's']), "{piece:?} of {least}");
            }
        }
    }

    #[test]
    fn a_document_is_text_or_tokens() {
        assert_eq!(document(r#"{"text": "ab"}"#, &Bytes), Ok(vec![97, 98]));
        assert_eq!(document(r#"{"tokens": [0, 255]}"#, &Bytes), Ok(vec![0, 255]));
        let said = |line| document(line, &Bytes).unwrap_err();
        assert!(said(r#"{"tokens": [256]}"#).contains("256 is not a token from 0 to 255"));
        assert!(said(r#"{"body": "x"}"#).contains("neither `text` nor `tokens`"));
        assert!(said("x").contains("no JSON"));
    }
}
