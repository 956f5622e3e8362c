//! Codes E01xx: parsing and formatting.

use super::codes;

codes! {
    FILE_TOO_LARGE = 101, "a file is too large", "";
    NESTING = 102, "brackets are nested too deeply", "";
    EXPRESSION_TOO_DEEP = 103, "an expression is too long", "";
    ITEM_TOO_LONG = 104, "an item is too long", "";
    TOO_MANY = 105, "a file has too many mistakes", "";
    EXPECTED = 110, "something else was expected", "";
    OPEN_TEXT = 111, "a text is not closed", "";
    UNKNOWN_CHARACTER = 112, "a character is not part of the language", "";
    NUMBER = 113, "a number is malformed", "";
    FOREIGN_OPERATOR = 114, "an operator of another language", "";
    KEYWORD_AS_NAME = 115, "a keyword is used as a name", "";
    SPACE_BEFORE_BRACKET = 116, "a space before a bracket", "";
    MISSING_COMMA = 117, "a comma is missing", "";
    BRACKETS = 118, "a bracket has no partner", "";
    UNKNOWN_ITEM = 119, "text that starts no declaration", "";
    COMPARISON_CHAIN = 120, "comparisons are chained", "";
    MISPLACED_NOT = 121, "`not` within an operator", "";
    MISSING_RESULT = 122, "a function without a result type", "";
    MISSING_TYPE = 123, "a parameter or result without a type", "";
    WRONG_EQUALS = 124, "`=`, `==`, `:=` and `:` mixed up", "";
    NOT_A_STATEMENT = 125, "text that is not a statement", "";
}
