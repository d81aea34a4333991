//! From the claims of a verified token to its user.

use super::compile::{Mapping, Rule, Source};
use super::expressions::Over;
use crate::identity::User;
use cel::{PER_CALL_LIMIT, Program, Value as CelValue, from_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Upstream's.
const NO_STRINGS: &str = "expression must return a string or a list of strings";

/// The user, or why the token is refused.
pub fn user(mapping: &Mapping, claims: &Value) -> Result<User, String> {
    for (claim, wanted) in &mapping.required {
        match claims[claim].as_str() {
            None => return Err(format!("required claim {claim} not present in ID token")),
            Some(found) if found != wanted => {
                return Err(format!(
                    "required claim {claim} value does not match. Got = {found}, want = {wanted}"
                ));
            }
            Some(_) => {}
        }
    }
    check(Over::Claims, &mapping.claim_rules, claims)
        .map_err(|why| format!("error evaluating claim validation expression: {why}"))?;
    let name = match &mapping.username {
        Source::Claim { name, prefix } => format!("{prefix}{}", username_claim(claims, name)?),
        Source::Expression(program) => string(program, claims, "username")?,
    };
    if name.is_empty() {
        return Err("username claim is empty".to_owned());
    }
    let groups = match &mapping.groups {
        None => Vec::new(),
        Some(Source::Claim { name, prefix }) => group_claim(claims, name)?
            .into_iter()
            .map(|group| format!("{prefix}{group}"))
            .collect(),
        Some(Source::Expression(program)) => strings(program, claims)
            .map_err(|why| format!("error evaluating group claim expression: {why}"))?,
    };
    let uid = match &mapping.uid {
        None => String::new(),
        Some(Source::Claim { name, .. }) => match claims.get(name) {
            None => return Err(format!("parse uid claim {name:?}: claim not present")),
            Some(value) => {
                text_or_null(value).ok_or_else(|| format!("parse uid claim {name:?}: it is not a string"))?
            }
        },
        Some(Source::Expression(program)) => string(program, claims, "uid")?,
    };
    let mut extra = BTreeMap::new();
    for (key, program) in &mapping.extra {
        let values = strings(program, claims)
            .map_err(|why| format!("error evaluating extra claim expression: {why}"))?;
        if !values.is_empty() {
            extra.insert(key.clone(), values);
        }
    }
    // The token's own number, as for every credential.
    if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
        extra.insert(
            crate::identity::CREDENTIAL_ID.to_owned(),
            vec![format!("JTI={id}")],
        );
    }
    let user = User {
        name,
        uid,
        groups,
        extra,
    };
    if !mapping.user_rules.is_empty() {
        let object = json!({
            "username": user.name,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
        });
        check(Over::User, &mapping.user_rules, &object)
            .map_err(|why| format!("error evaluating user info validation rule: {why}"))?;
    }
    Ok(user)
}

fn username_claim<'a>(claims: &'a Value, name: &str) -> Result<&'a str, String> {
    let Some(value) = claims.get(name) else {
        return Err(format!("parse username claims {name:?}: claim not present"));
    };
    let text = value
        .as_str()
        .ok_or_else(|| format!("parse username claims {name:?}: it is not a string"))?;
    // An address that its provider says is not verified could be anybody's.
    if name == "email" {
        match claims.get("email_verified") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err("email not verified".to_owned()),
            Some(_) => return Err("parse 'email_verified' claim: it is not a boolean".to_owned()),
        }
    }
    Ok(text)
}

fn group_claim(claims: &Value, name: &str) -> Result<Vec<String>, String> {
    match &claims[name] {
        Value::Null => Ok(Vec::new()),
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Array(all) => all
            .iter()
            .map(text_or_null)
            .collect::<Option<_>>()
            .ok_or_else(|| format!("parse groups claim {name:?}: not all of its values are strings")),
        _ => Err(format!(
            "parse groups claim {name:?}: it is neither a string nor a list"
        )),
    }
}

/// A text; null reads as the empty one, as in Go.
fn text_or_null(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        value => value.as_str().map(str::to_owned),
    }
}

fn run<T>(
    program: &Program,
    over: Over,
    input: &Value,
    read: impl FnOnce(&CelValue<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let outcome = program.evaluate(&[Some(from_json(input, over.decl()))], PER_CALL_LIMIT);
    match outcome.result {
        Ok(value) => read(&value),
        Err(error) => Err(error.to_string()),
    }
}

fn check(over: Over, rules: &[Rule], input: &Value) -> Result<(), String> {
    for rule in rules {
        let holds = run(&rule.program, over, input, |value| {
            let holds = value.as_bool();
            holds.ok_or_else(|| "validation expression must return a boolean".to_owned())
        })?;
        if !holds {
            return Err(if rule.message.is_empty() {
                format!("validation expression '{}' failed", rule.expression)
            } else {
                format!(
                    "validation expression '{}' failed: {}",
                    rule.expression, rule.message
                )
            });
        }
    }
    Ok(())
}

/// A text and nothing else: of several names none may be picked.
fn string(program: &Program, claims: &Value, what: &str) -> Result<String, String> {
    run(program, Over::Claims, claims, |value| {
        let text = value
            .as_str()
            .ok_or_else(|| format!("{what} claim expression must return a string"))?;
        Ok(text.to_owned())
    })
    .map_err(|why| format!("error evaluating {what} claim expression: {why}"))
}

/// A text or a list of texts; null is none, and empty ones are left out.
fn strings(program: &Program, claims: &Value) -> Result<Vec<String>, String> {
    run(program, Over::Claims, claims, |value| {
        let mut found: Vec<String> = Vec::new();
        if let Some(text) = value.as_str() {
            found.push(text.to_owned());
        } else if let Some(list) = value.as_list() {
            for item in list.iter() {
                let text = item.as_str().ok_or(NO_STRINGS)?;
                found.push(text.to_owned());
            }
        } else if !matches!(value, CelValue::Null | CelValue::Json(Value::Null, _)) {
            return Err(NO_STRINGS.to_owned());
        }
        found.retain(|text| !text.is_empty());
        Ok(found)
    })
}

#[cfg(test)]
mod tests {
    use super::super::compile::mapping;
    use super::*;
    use apimachinery::field::Path;
    use component_config::kube_apiserver::authentication::JwtAuthenticator;

    fn jwt() -> Path {
        Path::new("jwt").index(0)
    }

    fn config(text: &str) -> JwtAuthenticator {
        serde_yaml_ng::from_str(&format!("issuer: {{url: 'https://i', audiences: [a]}}\n{text}")).unwrap()
    }

    #[test]
    fn claims_become_users_by_claims_and_expressions() {
        let by_claims = "claimMappings: {username: {claim: sub, prefix: 'o:'}, groups: {claim: roles, prefix: ''}, uid: {claim: id}}";
        let by_expressions = "claimMappings: {username: {expression: 'claims.sub + \"@\" + claims.tenant'}, groups: {expression: 'claims.roles.map(r, \"g:\" + r)'}, extra: [{key: acme.io/tenant, valueExpression: claims.tenant}]}";
        let email = "claimMappings: {username: {claim: email, prefix: ''}}";
        let claims = json!({"sub": "jane", "roles": ["dev", "ops"], "tenant": "t", "id": "7", "email": "j@x", "email_verified": true, "jti": "n"});
        let unverified = json!({"email": "j@x", "email_verified": false});
        let number = json!({"sub": 5, "roles": "dev", "id": "7"});
        for (text, claims, expected) in [
            (by_claims, &claims, Some(("o:jane", vec!["dev", "ops"], "7"))),
            (
                by_expressions,
                &claims,
                Some(("jane@t", vec!["g:dev", "g:ops"], "")),
            ),
            (email, &claims, Some(("j@x", vec![], ""))),
            (email, &unverified, None),
            (by_claims, &number, None),
            (by_expressions, &number, None),
        ] {
            let found = user(&mapping(&config(text), &jwt()).unwrap(), claims);
            let seen = found.as_ref().ok().map(|user| {
                let groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
                (user.name.as_str(), groups, user.uid.as_str())
            });
            assert_eq!(seen, expected, "{text} {claims} {found:?}");
        }
        let found = user(&mapping(&config(by_expressions), &jwt()).unwrap(), &claims).unwrap();
        assert_eq!(found.extra["acme.io/tenant"], ["t"]);
        assert_eq!(
            found.extra["authentication.kubernetes.io/credential-id"],
            ["JTI=n"]
        );
    }

    #[test]
    fn null_in_a_claim_reads_as_empty() {
        let text = "claimMappings: {username: {claim: sub, prefix: ''}, groups: {claim: roles, prefix: ''}, uid: {claim: id}}";
        let mapping = mapping(&config(text), &jwt()).unwrap();
        let found = user(&mapping, &json!({"sub": "a", "roles": [null, "b"], "id": null})).unwrap();
        assert_eq!(
            (found.uid.as_str(), &found.groups[..]),
            ("", &[String::new(), "b".to_owned()][..])
        );
        assert!(user(&mapping, &json!({"sub": "a", "id": 1})).is_err());
        assert!(user(&mapping, &json!({"sub": "a"})).is_err());
    }

    #[test]
    fn names_and_uids_are_one_text() {
        let claims = json!({"sub": "a", "roles": ["a", "b"], "none": null, "number": 1});
        for (expression, good) in [
            ("claims.sub", true),
            ("claims.roles", false),
            ("claims.none", false),
            ("claims.number", false),
        ] {
            for (text, what) in [
                (
                    format!("claimMappings: {{username: {{expression: {expression}}}}}"),
                    "username",
                ),
                (
                    format!(
                        "claimMappings: {{username: {{claim: sub, prefix: ''}}, uid: {{expression: {expression}}}}}"
                    ),
                    "uid",
                ),
            ] {
                let outcome = user(&mapping(&config(&text), &jwt()).unwrap(), &claims);
                let refused = format!(
                    "error evaluating {what} claim expression: {what} claim expression must return a string"
                );
                assert_eq!(outcome.as_ref().err(), (!good).then_some(&refused), "{text}");
            }
        }
    }

    #[test]
    fn rules_refuse_tokens() {
        let base = "claimMappings: {username: {claim: sub, prefix: ''}}\n";
        for (rules, claims, expected) in [
            (
                "claimValidationRules: [{claim: hd, requiredValue: x}]",
                json!({"sub": "a", "hd": "x"}),
                true,
            ),
            (
                "claimValidationRules: [{claim: hd, requiredValue: x}]",
                json!({"sub": "a"}),
                false,
            ),
            (
                "claimValidationRules: [{expression: 'claims.age > 17', message: too young}]",
                json!({"sub": "a", "age": 18}),
                true,
            ),
            (
                "claimValidationRules: [{expression: 'claims.age > 17', message: too young}]",
                json!({"sub": "a", "age": 17}),
                false,
            ),
            (
                "userValidationRules: [{expression: \"!user.username.startsWith('system:')\"}]",
                json!({"sub": "a"}),
                true,
            ),
            (
                "userValidationRules: [{expression: \"!user.username.startsWith('system:')\"}]",
                json!({"sub": "system:x"}),
                false,
            ),
        ] {
            let mapping = mapping(&config(&format!("{base}{rules}")), &jwt()).unwrap();
            assert_eq!(user(&mapping, &claims).is_ok(), expected, "{rules} {claims}");
        }
    }
}
