//! Claims and slices of resource.k8s.io/v1beta1: what a request asks for, and what a device is, stood one level higher
//! or lower.
use crate::value::{Object, is_zero, items_mut, make, map_mut};
use serde_json::Value;

/// What a request for exactly one kind of device says.
const EXACTLY: &[&str] = &[
    "adminAccess",
    "allocationMode",
    "capacity",
    "count",
    "deviceClassName",
    "selectors",
    "tolerations",
];

pub(super) fn claim(object: &mut Object) {
    requests(make(object, "spec"));
}

pub(super) fn claim_template(object: &mut Object) {
    requests(make(make(object, "spec"), "spec"));
}

fn requests(spec: &mut Object) {
    let Some(devices) = map_mut(spec, "devices") else {
        return;
    };
    for request in items_mut(devices, "requests") {
        let mut exactly = Object::new();
        for field in EXACTLY {
            // Whether access is that of an administrator may be said to be false.
            let said = request
                .remove(*field)
                .filter(|said| said.is_boolean() || !is_zero(Some(said)));
            if let Some(said) = said {
                exactly.insert((*field).to_owned(), said);
            }
        }
        if !exactly.is_empty() {
            request.insert("exactly".to_owned(), Value::Object(exactly));
        }
    }
}

pub(super) fn slice(object: &mut Object) {
    for device in items_mut(make(object, "spec"), "devices") {
        if let Some(Value::Object(basic)) = device.remove("basic") {
            device.extend(basic);
        }
    }
}
