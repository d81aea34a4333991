use super::*;
use proptest::prelude::*;

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("0", "0"),
        ("0.5", "500m"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1000", "1k"),
        ("12345", "12345"),
        ("-1", "-1"),
        ("+2", "2"),
        ("1u", "1u"),
        ("0.1n", "1n"),
        ("100Mi", "100Mi"),
        ("1500M", "1500M"),
        (".5", "500m"),
        ("5.", "5"),
        ("1e-3", "1e-3"),
        ("9223372036854775808", "9223372036854775807"),
        ("1E", "1E"),
        ("0.0001Ki", "102400u"),
        ("00123", "123"),
    ] {
        assert_eq!(text.parse::<Quantity>().unwrap().to_string(), canonical, "{text}");
    }
}

#[test]
fn wrong_texts() {
    for (text, error) in [
        ("", ParseQuantityError::FormatWrong),
        ("x", ParseQuantityError::FormatWrong),
        ("100x", ParseQuantityError::FormatWrong),
        ("1.2.3", ParseQuantityError::FormatWrong),
        ("1 Gi", ParseQuantityError::FormatWrong),
        ("1mm", ParseQuantityError::Suffix),
        ("-", ParseQuantityError::FormatWrong),
        ("1K", ParseQuantityError::Suffix),
    ] {
        assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
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
        (2, 1001, -1)
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
    fn nothing_panics(text in ".{0,20}") {
        let _ = text.parse::<Quantity>();
    }
}
