//! What is written is what is read, byte for byte, and damage is named.

mod support;

use einmesh_artifact::{Artifact, ArtifactError, FORMAT};
use support::{rehash, sample};

#[test]
fn artifacts_round_trip_and_are_deterministic() {
    let artifact = sample();
    let bytes = artifact.write();
    let read = Artifact::read(&bytes).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(read, artifact);
    assert_eq!(read.write(), bytes);

    let path =
        std::env::temp_dir().join(format!("einmesh-roundtrip-{}.einpkg", std::process::id()));
    artifact.write_file(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(Artifact::read_file(&path).unwrap(), artifact);
    std::fs::remove_file(&path).unwrap();
    let missing = Artifact::read_file(&path).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("cannot read {}: ", path.display())), "{missing}");
}

#[test]
fn any_damaged_byte_is_found() {
    let bytes = sample().write();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert!(Artifact::read(&damaged).is_err(), "byte {at}");
    }
    let at = bytes.len() - 1000;
    let mut damaged = bytes.clone();
    damaged[at] ^= 1;
    let message = Artifact::read(&damaged).unwrap_err().to_string();
    assert!(message.starts_with("the artifact is damaged: its SHA-256 is "), "{message}");
}

#[test]
fn any_cut_is_found() {
    let bytes = sample().write();
    for end in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        let error = Artifact::read(&bytes[..end]).unwrap_err();
        match end {
            0..8 => assert!(matches!(error, ArtifactError::NotAnArtifact)),
            _ => assert!(matches!(error, ArtifactError::Layout(_)), "{end}: {error}"),
        }
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(Artifact::read(&longer), Err(ArtifactError::Layout(_))));
}

#[test]
fn another_version_says_who_built_it_and_what_to_do() {
    let mut bytes = sample().write();
    bytes[8..12].copy_from_slice(&9u32.to_le_bytes());
    rehash(&mut bytes);
    let message = Artifact::read(&bytes).unwrap_err().to_string();
    let expected = format!(
        "the artifact was built by einmesh 0.1.0, format 9; this runtime reads format {FORMAT}\n\
         help: rebuild it with `einmesh build`, or run it with the `einmesh-run` of the same release"
    );
    assert_eq!(message, expected);
}
