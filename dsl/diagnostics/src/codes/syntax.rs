//! Codes E01xx: parsing and formatting.

use super::codes;

codes! {
    FILE_TOO_LARGE = 101, "a file is too large", "";
    NESTING = 102, "brackets are nested too deeply", "";
    EXPRESSION_TOO_DEEP = 103, "an expression is too long", "";
    EXPECTED = 110, "something else was expected", "";
    COMPARISON_CHAIN = 120, "comparisons are chained", "";
    MISPLACED_NOT = 121, "`not` within an operator", "";
}
