//! Developer tasks: generated data, architecture rules.
