//! Batches from files.

use einmesh_train::data::Source;
use einmesh_train::{Bytes, Dataset, Encoder};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("einmesh-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn open(&self, path: &Path) -> Source {
        Source::open(path, &Bytes, &self.0.join("cache")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes, but under another name and with another token at a document's end.
struct Shifted;

impl Encoder for Shifted {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        Ok(text.bytes().map(|b| u32::from(b) + 1000).collect())
    }
    fn end(&self) -> Option<u32> {
        Some(7)
    }
    fn size(&self) -> u64 {
        1256
    }
    fn identity(&self) -> String {
        "shifted".to_owned()
    }
}

#[test]
fn a_pass_has_every_window_once_and_targets_follow_tokens() {
    let scratch = Scratch::new("pass");
    let text: Vec<u8> = (0..=250).collect();
    let source = scratch.open(&scratch.file("a.bin", &text));
    let data = Dataset::new(vec![source], None, 10, 0.1, 3).unwrap();
    assert_eq!(data.windows(), (22, 3));
    let mut position = data.start();
    for pass in 0..3 {
        let mut begins = Vec::new();
        for _ in 0..11 {
            let batch = data.training(&mut position, 2);
            for (tokens, targets) in batch.tokens.chunks(10).zip(batch.targets.chunks(10)) {
                assert_eq!(tokens[1..], targets[..9]);
                assert_eq!(targets[9], tokens[9] + 1);
                begins.push(tokens[0]);
            }
        }
        assert!(!begins.is_sorted(), "pass {pass} is not shuffled");
        begins.sort_unstable();
        assert_eq!(begins, (0..22).map(|i| 10 * i).collect::<Vec<i32>>(), "pass {pass}");
    }
    let kept = data.validation(0..3);
    assert_eq!(kept.tokens.iter().step_by(10).copied().collect::<Vec<i32>>(), [220, 230, 240]);
}

#[test]
fn a_run_goes_on_from_any_position() {
    let scratch = Scratch::new("position");
    let text: Vec<u8> = (0..10_000).map(|i| (i * 31 % 251) as u8).collect();
    let path = scratch.file("a.txt", &text[..4000]);
    let other = scratch.file("b.txt", &text[4000..]);
    let open = || {
        let sources = vec![scratch.open(&path), scratch.open(&other)];
        Dataset::new(sources, Some(&[0.75, 0.25]), 16, 0.05, 9).unwrap()
    };
    let (data, mut position) = (open(), open().start());
    let whole: Vec<_> = (0..20).map(|_| data.training(&mut position, 8)).collect();
    let mut saved = data.start();
    for (i, batch) in whole.iter().enumerate() {
        // As a resumed process would: opened again, from the position alone.
        assert_eq!(*batch, open().training(&mut saved, 8), "batch {i}");
    }
    assert_eq!(saved.taken, [120, 40]);
}

#[test]
fn documents_end_with_a_token_and_are_encoded_once() {
    let scratch = Scratch::new("documents");
    let lines = b"{\"text\": \"ab\"}\n\n{\"tokens\": [1, 2, 3]}\n{\"text\": \"\\u00e9\"}";
    let path = scratch.file("a.jsonl", lines);
    let cache = scratch.0.join("cache");
    let tokens = |source: &Source| {
        let mut all = Vec::new();
        source.tokens.copy(0..source.tokens.len(), &mut all);
        all
    };
    let source = Source::open(&path, &Shifted, &cache).unwrap();
    assert_eq!(tokens(&source), [1097, 1098, 7, 1, 2, 3, 7, 1195, 1169, 7]);
    let bytes = Source::open(&path, &Bytes, &cache).unwrap();
    assert_eq!(tokens(&bytes), [97, 98, 10, 1, 2, 3, 10, 195, 169, 10]);
    assert_ne!(source.digest, bytes.digest);
    // The cache is what is read: a changed cache shows.
    let kept = cache.join(format!("{}.tokens", source.digest));
    fs::write(&kept, 5_u32.to_le_bytes()).unwrap();
    assert_eq!(tokens(&Source::open(&path, &Shifted, &cache).unwrap()), [5]);
}

#[test]
fn a_directory_is_one_source_in_the_order_of_names() {
    let scratch = Scratch::new("directory");
    let texts = scratch.0.join("texts");
    fs::create_dir_all(&texts).unwrap();
    let files = BTreeMap::from([("b.txt", "two"), ("a.md", "one"), ("c.bin", "no text")]);
    for (name, text) in files {
        fs::write(texts.join(name), text).unwrap();
    }
    let source = scratch.open(&texts);
    let mut all = Vec::new();
    source.tokens.copy(0..source.tokens.len(), &mut all);
    assert_eq!(all, "onetwo".bytes().map(i32::from).collect::<Vec<i32>>());
}

#[test]
fn wrong_files_are_refused_with_a_way_out() {
    let scratch = Scratch::new("wrong");
    let said = |path: &Path| {
        let cache = scratch.0.join("cache");
        Source::open(path, &Shifted, &cache).unwrap_err().to_string()
    };
    assert!(said(&scratch.0.join("none.txt")).contains("none.txt"));
    assert!(said(&scratch.file("a.txt", b"ab\xFF")).contains("byte 2 is not UTF-8"));
    let line = said(&scratch.file("b.jsonl", b"{\"text\": \"x\"}\n{}\n"));
    assert!(line.contains("line 2") && line.contains("help:"), "{line}");
    assert!(!scratch.0.join("cache").read_dir().unwrap().any(|e| e.is_ok()), "half a cache");
    let short = scratch.open(&scratch.file("short.txt", b"0123456789"));
    let error = Dataset::new(vec![short], None, 10, 0.0, 0).err().unwrap().to_string();
    assert!(error.contains("10 tokens") && error.contains("help:"), "{error}");
}
