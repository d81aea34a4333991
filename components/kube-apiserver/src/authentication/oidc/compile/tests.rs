use super::*;

fn told(text: &str) -> Vec<String> {
    let text = format!("issuer: {{url: 'https://i', audiences: [a]}}\n{text}");
    let config: JwtAuthenticator = serde_yaml_ng::from_str(&text).unwrap();
    let outcome = mapping(&config, &Path::new("jwt").index(0));
    let errors = outcome.err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_are_named() {
    let sub = "username: {claim: a, prefix: ''}";
    for (text, field, part) in [
        (
            "claimMappings: {username: {claim: sub}}",
            "claimMappings.username.prefix: ",
            "Required",
        ),
        ("claimMappings: {}", "claimMappings.username: ", NEITHER),
        (
            "claimMappings: {username: {expression: 'claims.'}}",
            "claimMappings.username.expression: ",
            "compilation failed",
        ),
        (
            "claimMappings: {username: {claim: a, prefix: '', expression: b}}",
            "claimMappings.username: ",
            BOTH,
        ),
        (
            &format!("claimMappings: {{{sub}, extra: [{{key: foo, valueExpression: claims.a}}]}}"),
            "claimMappings.extra[0].key: ",
            "domain-prefixed",
        ),
        (
            &format!(
                "claimMappings: {{{sub}, extra: [{{key: not_a domain/foo, valueExpression: claims.a}}]}}"
            ),
            "claimMappings.extra[0].key: ",
            "RFC 1123",
        ),
        (
            &format!(
                "claimMappings: {{{sub}, extra: [{{key: 'acme.io/fo o|', valueExpression: claims.a}}]}}"
            ),
            "claimMappings.extra[0].key: ",
            "Invalid path",
        ),
        (
            &format!("claimMappings: {{{sub}, extra: [{{key: x.k8s.io/foo, valueExpression: claims.a}}]}}"),
            "claimMappings.extra[0].key: ",
            "reserved",
        ),
        (
            &format!(
                "claimMappings: {{{sub}}}\nclaimValidationRules: [{{claim: a, requiredValue: b}}, {{claim: a, requiredValue: c}}]"
            ),
            "claimValidationRules[1].claim: ",
            "Duplicate value: \"a\"",
        ),
        (
            &format!(
                "claimMappings: {{{sub}}}\nclaimValidationRules: [{{expression: 'true'}}, {{expression: 'true'}}]"
            ),
            "claimValidationRules[1].expression: ",
            "Duplicate value: \"true\"",
        ),
        (
            &format!(
                "claimMappings: {{{sub}}}\nuserValidationRules: [{{expression: 'true'}}, {{expression: 'true'}}]"
            ),
            "userValidationRules[1].expression: ",
            "Duplicate value: \"true\"",
        ),
        (
            &format!("claimMappings: {{{sub}}}\nuserValidationRules: [{{expression: user.name != \"a\"}}]"),
            "userValidationRules[0].expression: ",
            "undefined field 'name'",
        ),
    ] {
        let [error] = &told(text)[..] else {
            panic!("{text}: {:?}", told(text));
        };
        assert!(
            error.starts_with(&format!("jwt[0].{field}")) && error.contains(part),
            "{error}"
        );
    }
}

#[test]
fn what_claims_come_to_is_not_known_before_a_token_comes() {
    let sub = "username: {claim: a, prefix: ''}";
    for text in [
        "claimMappings: {username: {expression: '1 + 1'}}",
        "claimMappings: {username: {expression: '[claims.sub]'}}",
        &format!(
            "claimMappings: {{{sub}, groups: {{expression: '{{}}'}}, uid: {{expression: 'claims.a + 1'}}}}"
        ),
        &format!("claimMappings: {{{sub}, extra: [{{key: acme.io/a, valueExpression: '1'}}]}}"),
        &format!("claimMappings: {{{sub}, groups: {{prefix: g}}}}"),
    ] {
        assert!(told(text).is_empty(), "{text}: {:?}", told(text));
    }
}

#[test]
fn all_mistakes_are_told() {
    let text = "claimMappings: {username: {claim: a}}\nclaimValidationRules: [{}]\nuserValidationRules: [{expression: user.x == 1}]";
    let told = told(text);
    let fields: Vec<&str> = told
        .iter()
        .map(|error| error.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "jwt[0].claimValidationRules[0]",
            "jwt[0].claimMappings.username.prefix",
            "jwt[0].userValidationRules[0].expression",
        ]
    );
}

#[test]
fn an_address_has_to_be_verified() {
    let rule = "claimValidationRules: [{expression: CHECK}]";
    for (username, check, good) in [
        ("claims.email", "'true'", false),
        ("claims.?email.orValue(\"none\")", "'true'", false),
        ("has(claims.email) ? claims.email : claims.sub", "'true'", false),
        ("claims.sub", "'true'", true),
        ("claims.email_address", "'true'", true),
        ("claims.email", "claims.email_verified == true", true),
        (
            "claims.email",
            "claims.?email_verified.orValue(false) == true",
            true,
        ),
        // Naming it in a text or in another's field is no check.
        ("claims.email", "'\"claims.email_verified\" != \"\"'", false),
        ("claims.email", "claims.x.email_verified == true", false),
        (
            "claims.email_verified == true ? claims.email : claims.sub",
            "'true'",
            true,
        ),
    ] {
        let text = format!(
            "claimMappings: {{username: {{expression: '{username}'}}}}\n{}",
            rule.replace("CHECK", check)
        );
        let told = told(&text);
        assert_eq!(told.is_empty(), good, "{text}: {told:?}");
        assert!(
            told.iter()
                .all(|error| error.contains("claims.email_verified must be used in")),
            "{told:?}"
        );
    }
}
