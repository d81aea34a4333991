//! Quantities as whole numbers of a unit; fractions round up, as everywhere in Kubernetes.

use apimachinery::quantity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in units of one; what cannot be read counts as nothing.
pub fn value(quantity: &Quantity) -> i64 {
    read(quantity).map_or(0, |quantity| quantity.value())
}

/// The quantity in thousandths.
pub fn milli_value(quantity: &Quantity) -> i64 {
    read(quantity).map_or(0, |quantity| quantity.millis())
}

fn read(quantity: &Quantity) -> Option<quantity::Quantity> {
    quantity.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_units_and_thousandths() {
        for (text, units, thousandths) in [
            ("1", 1, 1000),
            ("100m", 1, 100),
            ("1500m", 2, 1500),
            ("0.5", 1, 500),
            ("1Gi", 1 << 30, (1 << 30) * 1000),
            ("2k", 2000, 2_000_000),
            ("x", 0, 0),
        ] {
            let quantity = Quantity(text.to_owned());
            assert_eq!(
                (value(&quantity), milli_value(&quantity)),
                (units, thousandths),
                "{text}"
            );
        }
    }
}
