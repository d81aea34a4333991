//! The kind registry: schemas, defaults, validation, strategies, table columns.
