//! The registry of diagnostic codes. Each stage has a file; `einmesh explain` reads them all.

pub mod language;
pub mod plan;
pub mod syntax;

/// A diagnostic's code: `E0301`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub u16);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "E{:04}", self.0)
    }
}

/// What `einmesh explain` prints.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// A few words.
    pub title: &'static str,
    /// What is wrong, an example that fails, and one that works.
    pub text: &'static str,
}

/// Declares codes as constants, and `ALL`, the table of their explanations.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $title:literal, $text:literal;)*) => {
        $($(#[$doc])* #[doc = $title] pub const $name: $crate::codes::Code = $crate::codes::Code($number);)*
        /// The explanations of this stage's codes.
        pub const ALL: &[$crate::codes::Explanation] = &[
            $($crate::codes::Explanation { code: $name, title: $title, text: $text },)*
        ];
    };
}
pub(crate) use codes;

/// Every code, in order.
pub fn all() -> Vec<Explanation> {
    let mut all: Vec<Explanation> = [syntax::ALL, plan::ALL].concat();
    all.extend(language::ALL.concat());
    all.sort_by_key(|e| e.code);
    all
}

/// The explanation of a code such as `E0301`.
pub fn explain(code: &str) -> Option<Explanation> {
    all().into_iter().find(|e| e.code.to_string().eq_ignore_ascii_case(code))
}
