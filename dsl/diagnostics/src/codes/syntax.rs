//! Codes E01xx: parsing and formatting.

use super::codes;

codes! {
}
