//! Einsum strings: `"b i j, b j k -> b i k"`, `"bij,bjk->bik"`.
//!
//! A string becomes a small program in the language, with every index that is missing on the right
//! summed over the whole product: NumPy's rule, which is looser than the language's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A parsed einsum string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Einsum {
    /// The indices of each operand.
    pub operands: Vec<Vec<String>>,
    /// The indices of the result.
    pub output: Vec<String>,
}

impl Einsum {
    /// Parses a string. Index names are single letters, or words where the string has spaces
    /// between them.
    pub fn parse(text: &str) -> Result<Einsum, String> {
        if text.contains("...") {
            return Err("`...` is not supported: name the indices".to_owned());
        }
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text, None),
        };
        let terms: Vec<&str> = left.split(',').chain(right).collect();
        let words = terms.iter().any(|t| t.trim().contains(char::is_whitespace));
        let indices = |term: &str| -> Result<Vec<String>, String> {
            let names: Vec<String> = if words {
                term.split_whitespace().map(str::to_owned).collect()
            } else {
                term.trim().chars().map(String::from).collect()
            };
            match names.iter().find(|n| !is_index(n)) {
                Some(bad) => Err(format!("`{bad}` is not an index: use letters, digits and `_`")),
                None => Ok(names),
            }
        };
        let operands = left.split(',').map(indices).collect::<Result<Vec<_>, _>>()?;
        let output = match right {
            Some(right) => indices(right)?,
            None => implicit_output(&operands),
        };
        for (position, index) in output.iter().enumerate() {
            if output[..position].contains(index) {
                return Err(format!("the result has `{index}` twice"));
            }
            if !operands.iter().flatten().any(|i| i == index) {
                return Err(format!("the result's index `{index}` is in no operand"));
            }
        }
        Ok(Einsum { operands, output })
    }

    /// The extent of each index, from the operands' shapes.
    pub fn extents(&self, shapes: &[Vec<u64>]) -> Result<BTreeMap<String, u64>, String> {
        if shapes.len() != self.operands.len() {
            let (want, got) = (self.operands.len(), shapes.len());
            let files = if got == 1 { "1 file is".to_owned() } else { format!("{got} files are") };
            return Err(format!("the einsum has {want} operands, but {files} given"));
        }
        let mut extents: BTreeMap<String, u64> = BTreeMap::new();
        for (n, (indices, shape)) in self.operands.iter().zip(shapes).enumerate() {
            if indices.len() != shape.len() {
                let (want, got) = (indices.len(), shape.len());
                return Err(format!(
                    "operand {n} has {want} indices but its file {got} dimensions"
                ));
            }
            for (index, extent) in indices.iter().zip(shape) {
                let known = *extents.entry(index.clone()).or_insert(*extent);
                if known != *extent {
                    let message =
                        format!("index `{index}` is {known} before and {extent} in operand {n}");
                    return Err(message);
                }
            }
        }
        Ok(extents)
    }

    /// All indices, in alphabetical order.
    fn indices(&self) -> BTreeSet<&String> {
        self.operands.iter().flatten().collect()
    }

    /// The program's dims of the indices that have no extent here, in the order in which it declares them.
    pub fn open(&self, extents: &BTreeMap<String, u64>) -> Vec<String> {
        let names = Names::of(self.indices().into_iter());
        let open = self.indices().into_iter().filter(|index| !extents.contains_key(*index));
        open.map(|index| match self.is_repeated(index) {
            true => again(&names.dim(index)),
            false => names.dim(index),
        })
        .collect()
    }

    /// Whether an operand has the index more than once.
    fn is_repeated(&self, index: &str) -> bool {
        self.operands.iter().any(|indices| indices.iter().filter(|i| *i == index).count() > 1)
    }

    /// The program that computes it, with entry `einsum` and arguments `operand0`, `operand1` … Indices without an
    /// extent get dims without one.
    pub fn program(&self, extents: &BTreeMap<String, u64>, dtype: &str) -> String {
        let names = Names::of(self.indices().into_iter());
        let mut text = String::new();
        for index in self.indices() {
            let extent = extents.get(index).map_or_else(String::new, |e| format!(" = {e}"));
            let dim = names.dim(index);
            // A diagonal: a type names a dim once. The second time it is one that the first is a role of, so that
            // the index may subscript both.
            let role = match self.is_repeated(index) {
                true => {
                    let again = again(&dim);
                    let _ = writeln!(text, "dim {again}{extent}");
                    format!(": {again}")
                }
                false => String::new(),
            };
            let _ = writeln!(text, "dim {dim}{role}{extent}");
        }
        let mut params = Vec::new();
        let mut factors = Vec::new();
        let mut roles = String::new();
        for (n, indices) in self.operands.iter().enumerate() {
            let mut dims: Vec<String> = Vec::new();
            let mut subs: Vec<String> = Vec::new();
            for (position, index) in indices.iter().enumerate() {
                let before = indices[..position].iter().filter(|i| *i == index).count();
                if before == 1 {
                    dims.push(again(&names.dim(index)));
                    subs.push(names.index(index));
                } else if before > 1 {
                    let role = format!("{}_{n}_{position}", names.dim(index));
                    let _ = writeln!(roles, "dim {role}: {}", names.dim(index));
                    dims.push(role);
                    subs.push(format!("{} + 0", names.index(index)));
                } else {
                    dims.push(names.dim(index));
                    subs.push(names.index(index));
                }
            }
            let bracket = |list: &[String]| match list {
                [] => String::new(),
                list => format!("[{}]", list.join(",")),
            };
            params.push(format!("operand{n}: {dtype}{}", bracket(&dims)));
            factors.push(format!("operand{n}{}", bracket(&subs)));
        }
        let used = self.indices().into_iter().filter(|i| !self.output.contains(i));
        let summed: Vec<String> = used.map(|i| names.index(i)).collect();
        let product = factors.join(" * ");
        let value = match summed.as_slice() {
            [] => product,
            summed => format!("sum[{}]({product})", summed.join(",")),
        };
        let of = |f: &dyn Fn(&str) -> String| -> String {
            let list: Vec<String> = self.output.iter().map(|i| f(i)).collect();
            if list.is_empty() { String::new() } else { format!("[{}]", list.join(",")) }
        };
        let (result, target) = (of(&|i| names.dim(i)), of(&|i| names.index(i)));
        let params = params.join(", ");
        let _ = write!(
            text,
            "{roles}export fn einsum({params}) -> {dtype}{result} {{\n  out{target} = {value}\n}}\n"
        );
        text
    }
}

/// The dim of an index that an operand has a second time.
fn again(dim: &str) -> String {
    format!("{dim}_AGAIN")
}

fn is_index(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// NumPy's rule without `->`: the indices that occur once, in alphabetical order.
fn implicit_output(operands: &[Vec<String>]) -> Vec<String> {
    let all: Vec<&String> = operands.iter().flatten().collect();
    let mut once: Vec<String> = all
        .iter()
        .filter(|i| all.iter().filter(|j| j == i).count() == 1)
        .map(|i| (*i).clone())
        .collect();
    once.sort();
    once
}

/// Dims and indices of the program: an index is its dim's name in lower case, so that names that
/// differ only in case need numbers, and keywords and other names of the program must not occur.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of<'a>(indices: impl Iterator<Item = &'a String>) -> Names {
        let mut taken: Vec<String> = Vec::new();
        let mut names = BTreeMap::new();
        for index in indices {
            let lower = index.to_lowercase();
            let plain = lower.len() == 1;
            let mut name = if plain { lower.clone() } else { format!("{lower}_ix") };
            let mut number = 1;
            while taken.contains(&name) {
                number += 1;
                name = format!("{lower}_{number}");
            }
            taken.push(name.clone());
            names.insert(index.clone(), name);
        }
        Names(names)
    }

    fn index(&self, index: &str) -> String {
        self.0[index].clone()
    }

    fn dim(&self, index: &str) -> String {
        self.0[index].to_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::Einsum;

    fn program(text: &str, shapes: &[&[u64]]) -> String {
        let einsum = Einsum::parse(text).expect("a good einsum");
        let shapes: Vec<Vec<u64>> = shapes.iter().map(|s| s.to_vec()).collect();
        einsum.program(&einsum.extents(&shapes).expect("good shapes"), "f32")
    }

    #[test]
    fn a_product_sums_what_is_missing_on_the_right() {
        let text = program("b i j, b j k -> b i k", &[&[2, 3, 4], &[2, 4, 5]]);
        assert!(text.contains("out[b,i,k] = sum[j](operand0[b,i,j] * operand1[b,j,k])"), "{text}");
        assert_eq!(text, program("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 5]]));
    }

    #[test]
    fn a_trace_uses_a_role() {
        let text = program("ii->", &[&[3, 3]]);
        assert!(text.contains("dim I_AGAIN = 3\ndim I: I_AGAIN = 3"), "{text}");
        assert!(text.contains("out = sum[i](operand0[i,i])"), "{text}");
        let third = program("iii->i", &[&[3, 3, 3]]);
        assert!(third.contains("dim I_0_2: I"), "{third}");
        assert!(third.contains("out[i] = operand0[i,i,i + 0]"), "{third}");
    }

    #[test]
    fn names_that_differ_in_case_stay_apart() {
        let text = program("iI->Ii", &[&[2, 3]]);
        assert!(text.contains("out[i,i_2] = operand0[i_2,i]"), "{text}");
    }

    #[test]
    fn the_implicit_result_is_sorted() {
        let einsum = Einsum::parse("ba").expect("a good einsum");
        assert_eq!(einsum.output, ["a", "b"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(Einsum::parse("ab->ac").unwrap_err().contains("`c` is in no operand"));
        assert!(Einsum::parse("ab->aa").unwrap_err().contains("twice"));
        let einsum = Einsum::parse("ab,bc").expect("a good einsum");
        let found = einsum.extents(&[vec![2, 3], vec![4, 5]]).unwrap_err();
        assert!(found.contains("index `b` is 3 before and 4 in operand 1"), "{found}");
    }
}
