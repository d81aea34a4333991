//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: rules written as expressions.

pub mod apply;
pub mod atomics;
pub mod evaluation;
pub mod failure;
pub mod mutating;
pub mod nulls;
pub mod params;
pub mod policy;
pub mod sync;
pub mod type_names;
pub mod validating;
pub mod validation;
