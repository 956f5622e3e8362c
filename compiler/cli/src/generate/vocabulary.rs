//! Between text and tokens.

use std::path::Path;
use tokenizers::Tokenizer;

/// Texts that end a text, in the vocabularies of published models.
const ENDS: [&str; 7] = [
    "<|endoftext|>",
    "</s>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<eos>",
    "<end_of_turn>",
];
/// So many tokens are held back at most while their bytes are no whole character.
const HELD: usize = 8;

/// What tokens mean.
pub enum Vocabulary {
    /// A token is a byte.
    Bytes,
    /// A `tokenizer.json` of Hugging Face.
    File(Box<Tokenizer>),
}

impl Vocabulary {
    /// `bytes`, or the path of a `tokenizer.json`.
    pub fn open(name: &str) -> Result<Vocabulary, String> {
        if name == "bytes" {
            return Ok(Vocabulary::Bytes);
        }
        match Tokenizer::from_file(Path::new(name)) {
            Ok(tokenizer) => Ok(Vocabulary::File(Box::new(tokenizer))),
            Err(why) => Err(format!(
                "cannot read the tokenizer `{name}`: {why}\n\
                 help: pass a `tokenizer.json`, or `bytes` for a model of bytes"
            )),
        }
    }

    /// How many tokens there are: one more than the largest.
    pub fn len(&self) -> usize {
        match self {
            Vocabulary::Bytes => 256,
            Vocabulary::File(tokenizer) => {
                let ids = tokenizer.get_vocab(true).into_values();
                ids.max().map_or(0, |largest| largest as usize + 1)
            }
        }
    }

    /// The tokens of a text, with those that the tokenizer puts around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        match self {
            Vocabulary::Bytes => Ok(text.bytes().map(u32::from).collect()),
            Vocabulary::File(tokenizer) => {
                let encoded = tokenizer.encode(text, true);
                let encoded = encoded.map_err(|why| format!("cannot encode the prompt: {why}"))?;
                Ok(encoded.get_ids().to_vec())
            }
        }
    }

    /// The tokens of a part of a text, with none around it.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, String> {
        match self {
            Vocabulary::Bytes => self.encode(text),
            Vocabulary::File(tokenizer) => {
                let encoded = tokenizer.encode(text, false);
                let encoded = encoded.map_err(|why| format!("cannot encode the text: {why}"))?;
                Ok(encoded.get_ids().to_vec())
            }
        }
    }

    /// A name that two vocabularies share only if they give the same tokens.
    pub fn fingerprint(&self) -> String {
        match self {
            Vocabulary::Bytes => "bytes".to_owned(),
            Vocabulary::File(tokenizer) => match tokenizer.to_string(false) {
                Ok(text) => einmesh_artifact::sha256_hex(text.as_bytes()),
                Err(why) => format!("unknown: {why}"),
            },
        }
    }

    /// The tokens after which a text is at its end.
    pub fn ends(&self) -> Vec<u32> {
        match self {
            Vocabulary::Bytes => Vec::new(),
            Vocabulary::File(tokenizer) => {
                ENDS.iter().filter_map(|text| tokenizer.token_to_id(text)).collect()
            }
        }
    }

    /// The text of tokens, one after the other as they come.
    pub fn reader(&self) -> Reader<'_> {
        Reader { vocabulary: self, tokens: Vec::new(), before: 0, given: 0 }
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        match self {
            Vocabulary::Bytes => {
                let bytes: Vec<u8> = tokens.iter().map(|t| *t as u8).collect();
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Vocabulary::File(tokenizer) => {
                tokenizer.decode(tokens, true).map_err(|why| format!("cannot decode: {why}"))
            }
        }
    }
}

/// Makes text of tokens as they come. A token may be a part of a character: its text is held back until
/// the character is whole, so that what is given is always valid and never taken back.
pub struct Reader<'a> {
    vocabulary: &'a Vocabulary,
    tokens: Vec<u32>,
    /// The tokens before this one have been given and say nothing about what follows.
    before: usize,
    /// So many tokens have been given.
    given: usize,
}

impl Reader<'_> {
    /// The text that a token adds.
    pub fn push(&mut self, token: u32) -> Result<String, String> {
        self.tokens.push(token);
        let text = self.new_text()?;
        let held = self.tokens.len() - self.given;
        let incomplete = match self.vocabulary {
            // Bytes that no further byte can complete are no reason to wait.
            Vocabulary::Bytes => self.is_cut(),
            Vocabulary::File(_) => text.ends_with(char::REPLACEMENT_CHARACTER) && held < HELD,
        };
        if incomplete {
            return Ok(String::new());
        }
        self.before = self.given;
        self.given = self.tokens.len();
        Ok(text)
    }

    /// The text that was held back when no more tokens come.
    pub fn finish(mut self) -> Result<String, String> {
        let text = self.new_text()?;
        self.given = self.tokens.len();
        Ok(text)
    }

    /// The text of the tokens that were not given yet. How a token is written can depend on the one
    /// before, as with spaces: so it is the difference of two longer texts.
    fn new_text(&self) -> Result<String, String> {
        if matches!(self.vocabulary, Vocabulary::Bytes) {
            return self.vocabulary.decode(&self.tokens[self.given..]);
        }
        let known = self.vocabulary.decode(&self.tokens[self.before..self.given])?;
        let all = self.vocabulary.decode(&self.tokens[self.before..])?;
        Ok(all.get(known.len()..).unwrap_or_default().to_owned())
    }

    /// Whether the bytes that were not given yet end within a character.
    fn is_cut(&self) -> bool {
        let mut bytes: Vec<u8> = self.tokens[self.given..].iter().map(|t| *t as u8).collect();
        while let Err(error) = std::str::from_utf8(&bytes) {
            match error.error_len() {
                None => return true,
                Some(wrong) => bytes.drain(..error.valid_up_to() + wrong),
            };
        }
        false
    }
}
