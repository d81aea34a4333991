//! From an issuer's configuration to what is evaluated for each of its tokens. All mistakes are found here.

use cel::{Decl, Environment, Program, Type};
use component_config::kube_apiserver::authentication::{
    ClaimMappings, JwtAuthenticator, PrefixedClaimOrExpression,
};

/// A claim with its prefix, or an expression.
#[derive(Debug)]
pub enum Source {
    Claim { name: String, prefix: String },
    Expression(Program),
}

/// A check with the text that its failure gets.
#[derive(Debug)]
pub struct Rule {
    pub program: Program,
    pub expression: String,
    pub message: String,
}

/// What the claims of a token mean.
#[derive(Debug)]
pub struct Mapping {
    pub required: Vec<(String, String)>,
    pub claim_rules: Vec<Rule>,
    pub username: Source,
    pub groups: Option<Source>,
    pub uid: Option<Source>,
    pub extra: Vec<(String, Program)>,
    pub user_rules: Vec<Rule>,
}

/// A mistake in the configuration: the field's path and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Mistake {
    pub field: String,
    pub message: String,
}

fn wrong<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake {
        field: field.into(),
        message: message.into(),
    })
}

/// Whether results of an expression may be of a type; what isn't known until it runs may.
fn may_be(ty: &Type, wanted: &[Type]) -> bool {
    matches!(ty, Type::Dyn | Type::Var(_))
        || wanted.iter().any(|wanted| match (ty, wanted) {
            (Type::List(_), Type::List(_)) => true,
            _ => ty == wanted,
        })
}

fn program(variable: &str, text: &str, field: &str, wanted: &[Type]) -> Result<Program, Mistake> {
    let environment = Environment::new().with(variable, Decl::dynamic());
    let program = match Program::compile(text, &environment) {
        Ok(program) => program,
        Err(error) => {
            return wrong(
                field,
                format!("Invalid value: {text:?}: compilation failed: {error}"),
            );
        }
    };
    if !may_be(program.ty(), wanted) {
        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        return wrong(
            field,
            format!(
                "Invalid value: {text:?}: must evaluate to one of [{}]",
                names.join(" ")
            ),
        );
    }
    Ok(program)
}

fn texts() -> [Type; 2] {
    [Type::String, Type::List(std::sync::Arc::new(Type::String))]
}

fn prefixed(
    source: &PrefixedClaimOrExpression,
    field: &str,
    wanted: &[Type],
) -> Result<Option<Source>, Mistake> {
    match (source.claim.is_empty(), source.expression.is_empty()) {
        (true, true) if source.prefix.is_some() => wrong(
            format!("{field}.claim"),
            "Required value: non-empty claim name is required when prefix is set",
        ),
        (true, true) => Ok(None),
        (false, false) => wrong(
            field,
            "Invalid value: \"\": claim and expression can't both be set",
        ),
        (true, false) if source.prefix.is_some() => wrong(
            format!("{field}.prefix"),
            "Invalid value: prefix can't be set when expression is set",
        ),
        (true, false) => program(
            "claims",
            &source.expression,
            &format!("{field}.expression"),
            wanted,
        )
        .map(|program| Some(Source::Expression(program))),
        (false, true) => match &source.prefix {
            None => wrong(
                format!("{field}.prefix"),
                "Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing",
            ),
            Some(prefix) => Ok(Some(Source::Claim {
                name: source.claim.clone(),
                prefix: prefix.clone(),
            })),
        },
    }
}

/// Compiles one issuer's rules and mappings. `field` is the path of the issuer in the file.
pub fn mapping(config: &JwtAuthenticator, field: &str) -> Result<Mapping, Mistake> {
    let mut required = Vec::new();
    let mut claim_rules = Vec::new();
    for (index, rule) in config.claim_validation_rules.iter().enumerate() {
        let field = format!("{field}.claimValidationRules[{index}]");
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (true, true) => return wrong(field, "Required value: claim or expression is required"),
            (false, false) => return wrong(field, "Invalid value: claim and expression can't both be set"),
            (false, true) if !rule.message.is_empty() => {
                return wrong(
                    format!("{field}.message"),
                    "Invalid value: message can't be set when claim is set",
                );
            }
            (false, true) => required.push((rule.claim.clone(), rule.required_value.clone())),
            (true, false) if !rule.required_value.is_empty() => {
                return wrong(
                    format!("{field}.requiredValue"),
                    "Invalid value: requiredValue can't be set when expression is set",
                );
            }
            (true, false) => claim_rules.push(Rule {
                program: program(
                    "claims",
                    &rule.expression,
                    &format!("{field}.expression"),
                    &[Type::Bool],
                )?,
                expression: rule.expression.clone(),
                message: rule.message.clone(),
            }),
        }
    }
    let mappings = &config.claim_mappings;
    let of = |name: &str| format!("{field}.claimMappings.{name}");
    let Some(username) = prefixed(&mappings.username, &of("username"), &[Type::String])? else {
        return wrong(of("username"), "Required value: claim or expression is required");
    };
    check_email(config, mappings, &of("username.expression"))?;
    let groups = prefixed(&mappings.groups, &of("groups"), &texts())?;
    let uid = match (mappings.uid.claim.is_empty(), mappings.uid.expression.is_empty()) {
        (true, true) => None,
        (false, false) => return wrong(of("uid"), "Invalid value: claim and expression can't both be set"),
        (false, true) => Some(Source::Claim {
            name: mappings.uid.claim.clone(),
            prefix: String::new(),
        }),
        (true, false) => {
            let text = &mappings.uid.expression;
            Some(Source::Expression(program(
                "claims",
                text,
                &of("uid.expression"),
                &[Type::String],
            )?))
        }
    };
    let mut extra: Vec<(String, Program)> = Vec::new();
    for (index, mapping) in mappings.extra.iter().enumerate() {
        let field = of(&format!("extra[{index}]"));
        check_key(&mapping.key, &format!("{field}.key"))?;
        if extra.iter().any(|(key, _)| *key == mapping.key) {
            return wrong(
                format!("{field}.key"),
                format!("Duplicate value: {:?}", mapping.key),
            );
        }
        if mapping.value_expression.is_empty() {
            return wrong(
                format!("{field}.valueExpression"),
                "Required value: valueExpression is required",
            );
        }
        let program = program(
            "claims",
            &mapping.value_expression,
            &format!("{field}.valueExpression"),
            &texts(),
        )?;
        extra.push((mapping.key.clone(), program));
    }
    let mut user_rules = Vec::new();
    for (index, rule) in config.user_validation_rules.iter().enumerate() {
        let field = format!("{field}.userValidationRules[{index}].expression");
        if rule.expression.is_empty() {
            return wrong(field, "Required value: expression is required");
        }
        user_rules.push(Rule {
            program: program("user", &rule.expression, &field, &[Type::Bool])?,
            expression: rule.expression.clone(),
            message: rule.message.clone(),
        });
    }
    Ok(Mapping {
        required,
        claim_rules,
        username,
        groups,
        uid,
        extra,
        user_rules,
    })
}

/// An address that nobody has verified must not become a name.
fn check_email(config: &JwtAuthenticator, mappings: &ClaimMappings, field: &str) -> Result<(), Mistake> {
    let uses = |text: &str, claim: &str| {
        let named = format!("claims.{claim}");
        text.match_indices(&named).any(|(at, _)| {
            let next = text[at + named.len()..].chars().next();
            !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let verified = |text: &str| {
        uses(text, "email_verified") || text.contains("?.email_verified") || text.contains("?email_verified")
    };
    if !uses(&mappings.username.expression, "email") {
        return Ok(());
    }
    let known = verified(&mappings.username.expression)
        || mappings
            .extra
            .iter()
            .any(|extra| verified(&extra.value_expression))
        || config
            .claim_validation_rules
            .iter()
            .any(|rule| verified(&rule.expression));
    if known {
        return Ok(());
    }
    wrong(
        field,
        "Invalid value: claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
    )
}

fn check_key(key: &str, field: &str) -> Result<(), Mistake> {
    if key.is_empty() {
        return wrong(field, "Required value");
    }
    let Some((domain, path)) = key
        .split_once('/')
        .filter(|(domain, path)| !domain.is_empty() && !path.is_empty())
    else {
        return wrong(
            field,
            format!("Invalid value: {key:?}: must be a domain-prefixed path (such as \"acme.io/foo\")"),
        );
    };
    if key != key.to_lowercase() {
        return wrong(field, format!("Invalid value: {key:?}: key must be lowercase"));
    }
    let reserved = |suffix: &str| domain == suffix || domain.ends_with(&format!(".{suffix}"));
    if reserved("k8s.io") || reserved("kubernetes.io") {
        return wrong(
            field,
            format!(
                "Invalid value: {key:?}: k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use ({path:?})"
            ),
        );
    }
    Ok(())
}
