//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: programs elsewhere that change or refuse requests.

pub mod annotations;
pub mod call;
pub mod decode;
pub mod hook;
pub mod mutating;
pub mod reinvocation;
pub mod rejection;
pub mod review;
pub mod select;
pub mod sync;
pub mod validating;
