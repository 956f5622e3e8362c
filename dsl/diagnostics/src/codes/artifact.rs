//! Codes E07xx: artifacts, checkpoints and inputs.

use super::codes;

codes! {}
