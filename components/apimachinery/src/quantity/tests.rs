use super::*;
use proptest::prelude::*;

/// What upstream's v1.36 makes of texts: of each the text that objects have, that in resource lists and, where it fits, the
/// whole number that isn't less; or the error.
const UPSTREAM: &str = include_str!("upstream.tsv");

#[test]
fn texts_are_read_and_written_as_upstreams() {
    for line in UPSTREAM.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let written = |precision| match canonical(columns[0], precision) {
            Ok(text) => text.into_owned(),
            Err(error) => format!("!{error}"),
        };
        assert_eq!(written(Precision::Nano), columns[1], "{line}");
        let Some([rounded, value]) = columns.get(2..) else {
            continue;
        };
        assert_eq!(written(Precision::Milli), *rounded, "{line}");
        let amount: Quantity = columns[0].parse().unwrap();
        if *value != "-" {
            assert_eq!(amount.value().to_string(), *value, "{line}");
        }
        assert_eq!(amount.to_string().parse(), Ok(amount), "{line}");
    }
}

#[test]
fn texts_of_large_amounts_stay_what_they_are() {
    for (text, written) in [
        ("1000E", "1000E"),
        ("-1000E", "-1000E"),
        ("10000000000000000000000", "10000E"),
        ("1e1000000000", "10e999999999"),
        ("-12.50e100", "-125e99"),
        (
            "123456789012345678901234567890123456789",
            "123456789012345678901234567890123456789",
        ),
        (
            "12345678901234567890123456789012345678900000",
            "12345678901234567890123456789012345678900k",
        ),
        (
            "99999999999999999999999999999999999999999.9999999999",
            "100000000000000000000000E",
        ),
        (
            "19999999999999999999999999999999999999999.9999999989",
            "19999999999999999999999999999999999999999999999999n",
        ),
    ] {
        assert_eq!(canonical(text, Precision::Nano).unwrap(), written, "{text}");
    }
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    assert!(quantity("1e100") > quantity("10E") && quantity("-1e100") < quantity("-10E"));
    assert_eq!(
        (quantity("1e100") + quantity("1e100")).to_string(),
        quantity("1e100").to_string()
    );
    assert_eq!(quantity("1e100") - quantity("1e100"), Quantity::default());
}

#[test]
fn sums_beyond_64_bits() {
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    for (one, other, sum, difference) in [
        (
            "9223372036854775807",
            "1",
            "9223372036854775808",
            "9223372036854775806",
        ),
        ("7Ei", "7Ei", "14Ei", "0"),
        (
            "12E",
            "500m",
            "12000000000000000000500m",
            "11999999999999999999500m",
        ),
        (
            "-9223372036854775808",
            "1u",
            "-9223372036854775807999999u",
            "-9223372036854775808000001u",
        ),
        ("0", "1e19", "10e18", "-10e18"),
    ] {
        let (one, other) = (quantity(one), quantity(other));
        assert_eq!((one + other).to_string(), sum);
        assert_eq!((one - other).to_string(), difference);
    }
    assert_eq!(
        (quantity("12E").value(), quantity("-12E").millis()),
        (i64::MAX, i64::MIN)
    );
}

#[test]
fn doubles_are_the_nearest() {
    for (text, double) in [
        ("1n", 1e-9),
        ("0.1", 0.1),
        ("-1500m", -1.5),
        ("12E", 12e18),
        ("1Ei", 1_152_921_504_606_846_976.0),
    ] {
        assert_eq!(text.parse::<Quantity>().unwrap().approximate(), double, "{text}");
    }
}

#[test]
fn arithmetic_and_rounding() {
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    assert_eq!((quantity("1500m") + quantity("1")).to_string(), "2500m");
    assert_eq!((quantity("0") + quantity("1Gi")).to_string(), "1Gi");
    assert_eq!((quantity("1Gi") - quantity("512Mi")).to_string(), "512Mi");
    assert_eq!(
        (
            quantity("1001m").value(),
            quantity("1001m").millis(),
            quantity("-1500m").value()
        ),
        (2, 1001, -2)
    );
    assert!(quantity("1Gi") > quantity("1G"));
}

proptest! {
    #[test]
    fn canonical_form_is_stable(text in r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]{1,3})?") {
        let quantity: Quantity = text.parse().unwrap();
        let again: Quantity = quantity.to_string().parse().unwrap();
        prop_assert_eq!(quantity, again);
        prop_assert_eq!(quantity.to_string(), again.to_string());
    }

    #[test]
    fn written_texts_stay(text in r"[+-]?[0-9]{0,30}(\.[0-9]{0,30})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,12})?", milli: bool) {
        let precision = if milli { Precision::Milli } else { Precision::Nano };
        prop_assume!(!text.is_empty());
        let written = canonical(&text, precision).unwrap();
        prop_assert_eq!(canonical(&written, precision).unwrap(), &*written);
        let amount = text.parse::<Quantity>().unwrap();
        let rounded = amount.rounded_up(precision);
        prop_assert_eq!(written.parse::<Quantity>().unwrap(), rounded);
        prop_assert!(rounded.sign() == amount.sign());
    }

    #[test]
    fn nothing_panics(text in ".{0,20}") {
        let _ = canonical(&text, Precision::Milli);
        let _ = text.parse::<Quantity>();
    }
}
