//! Writes what `models/gpt2.ein` needs to run: reproducible weights in the Hugging Face layout, and a text
//! as tokens.
//!
//! `gpt2-data small DIR TEXT.txt ROWS LENGTH` writes `DIR/gpt2.safetensors` and `DIR/text.safetensors`.

use einmesh_models::gpt2::{self, Config};
use einmesh_models::{Data, Tensor, write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [size, folder, text, rows, length] = args.as_slice() else {
        eprintln!("usage: gpt2-data tiny|small DIR TEXT.txt ROWS LENGTH");
        return ExitCode::from(2);
    };
    match run(size, Path::new(folder), Path::new(text), rows, length) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
    }
}

fn run(size: &str, folder: &Path, text: &Path, rows: &str, length: &str) -> Result<(), String> {
    let config = match size {
        "tiny" => Config::TINY,
        "small" => Config::SMALL,
        other => return Err(format!("there is no size `{other}`: tiny or small")),
    };
    let number = |s: &str| s.parse::<usize>().map_err(|_| format!("`{s}` is not a number"));
    let (rows, length) = (number(rows)?, number(length)?);
    let bytes = std::fs::read(text).map_err(|e| format!("{}: {e}", text.display()))?;
    let mut tokens = gpt2::byte_tokens(&bytes);
    if tokens.len() < rows * length {
        return Err(format!(
            "{} has {} bytes; {} are needed",
            text.display(),
            tokens.len(),
            rows * length
        ));
    }
    tokens.truncate(rows * length);
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let weights = gpt2::weights(&config);
    let save = |name: &str, tensors: &[Tensor]| {
        write(&folder.join(name), tensors).map_err(|e| format!("{name}: {e}"))
    };
    save("gpt2.safetensors", &weights)?;
    let tokens =
        Tensor { name: "tokens".to_owned(), shape: vec![rows, length], data: Data::I32(tokens) };
    save("text.safetensors", &[tokens])
}
