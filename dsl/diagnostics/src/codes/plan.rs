//! Codes E06xx: decorators, propagation and budgets.

use super::codes;

codes! {
}
