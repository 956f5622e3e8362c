//! Codes E02–05xx: names, dims, types and statements.

use super::codes;

codes! {
}
