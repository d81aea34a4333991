//! Named formats of texts, with the reasons why a text isn't of one.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::EvalError;
use crate::value::{Opaque, Value};
use Sig::String;
use apimachinery::go_url::Url;
use apimachinery::names;
use std::string::String as Owned;

const FORMAT: Sig = Sig::Opaque("kubernetes.NamedFormat");
const REASONS: Sig = Sig::Optional(&Sig::List(&String));

/// A named format.
#[derive(Debug)]
pub struct NamedFormat {
    name: &'static str,
    check: fn(&str) -> Vec<Owned>,
}

/// For a prefix a dash at the end is fine.
fn prefix(text: &str, check: fn(&str) -> Vec<Owned>) -> Vec<Owned> {
    check(&names::mask_trailing_dash(text))
}

fn unless(fits: bool, reason: &str) -> Vec<Owned> {
    if fits { Vec::new() } else { vec![reason.to_owned()] }
}

static FORMATS: &[NamedFormat] = &[
    NamedFormat {
        name: "dns1123Label",
        check: names::dns1123_label,
    },
    NamedFormat {
        name: "dns1123Subdomain",
        check: names::dns1123_subdomain,
    },
    NamedFormat {
        name: "dns1035Label",
        check: names::dns1035_label,
    },
    NamedFormat {
        name: "qualifiedName",
        check: names::qualified_name,
    },
    NamedFormat {
        name: "dns1123LabelPrefix",
        check: |text| prefix(text, names::dns1123_label),
    },
    NamedFormat {
        name: "dns1123SubdomainPrefix",
        check: |text| prefix(text, names::dns1123_subdomain),
    },
    NamedFormat {
        name: "dns1035LabelPrefix",
        check: |text| prefix(text, names::dns1035_label),
    },
    NamedFormat {
        name: "labelValue",
        check: names::label_value,
    },
    NamedFormat {
        name: "uri",
        check: |text| Url::check_request(text).err().into_iter().collect(),
    },
    NamedFormat {
        name: "uuid",
        check: |text| unless(is_uuid(text), "does not match the UUID format"),
    },
    NamedFormat {
        name: "byte",
        check: |text| {
            use base64::Engine;
            unless(
                base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
                "invalid base64",
            )
        },
    },
    NamedFormat {
        name: "date",
        check: |text| {
            unless(
                text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
                "invalid date",
            )
        },
    },
    NamedFormat {
        name: "datetime",
        check: |text| unless(is_date_time(text), "invalid datetime"),
    },
];

/// A date and a time of day with an offset, in any case of letters. Leap seconds are none.
fn is_date_time(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    let shaped = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(found, wanted)| match wanted {
                    b'0' => found.is_ascii_digit(),
                    other => found == other,
                })
    };
    let Some((clock, rest)) = time.split_at_checked(8) else {
        return false;
    };
    // Whatever stands before the fraction.
    let zone = match rest.char_indices().nth(1) {
        Some((start, digit)) if digit.is_ascii_digit() && !rest.starts_with(['+', '-', 'z']) => {
            rest[start..].trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    date.len() == 10
        && date.parse::<jiff::civil::Date>().is_ok()
        && shaped(clock, "00:00:00")
        && clock[..2] <= *"23"
        && clock[3..5] <= *"59"
        && clock[6..] <= *"59"
        && (zone == "z" || shaped(zone, "+00:00") || shaped(zone, "-00:00"))
}

fn is_uuid(text: &str) -> bool {
    let plain: Owned = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn named<'a>(name: &str) -> Option<Value<'a>> {
    FORMATS
        .iter()
        .find(|format| format.name == name)
        .map(|format| Value::Opaque(Opaque::Format(format)))
}

macro_rules! constant {
    ($function:literal, $name:literal) => {
        (
            $function,
            function("format", &[], FORMAT, |_, _| {
                named($name).ok_or_else(no_such_overload)
            }),
        )
    };
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    constant!("format.dns1123Label", "dns1123Label"),
    constant!("format.dns1123Subdomain", "dns1123Subdomain"),
    constant!("format.dns1035Label", "dns1035Label"),
    constant!("format.qualifiedName", "qualifiedName"),
    constant!("format.dns1123LabelPrefix", "dns1123LabelPrefix"),
    constant!("format.dns1123SubdomainPrefix", "dns1123SubdomainPrefix"),
    constant!("format.dns1035LabelPrefix", "dns1035LabelPrefix"),
    constant!("format.labelValue", "labelValue"),
    constant!("format.uri", "uri"),
    constant!("format.uuid", "uuid"),
    constant!("format.byte", "byte"),
    constant!("format.date", "date"),
    constant!("format.datetime", "datetime"),
    (
        "format.named",
        function("format", &[String], Sig::Optional(&FORMAT), |_, args| {
            let name = args[0].as_str().ok_or_else(no_such_overload)?;
            Ok(Value::Optional(named(name).map(std::sync::Arc::new)))
        }),
    ),
    (
        "validate",
        method("format", &[FORMAT, String], REASONS, |_, args| {
            let (Value::Opaque(Opaque::Format(format)), Some(text)) = (&args[0], args[1].as_str()) else {
                return Err::<_, EvalError>(no_such_overload());
            };
            let reasons = (format.check)(text);
            if reasons.is_empty() {
                return Ok(Value::Optional(None));
            }
            Ok(Value::some(Value::list(
                reasons.into_iter().map(Value::text).collect(),
            )))
        }),
    ),
];
