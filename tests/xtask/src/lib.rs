//! Developer tasks: generated data, architecture rules.
pub mod generate;
