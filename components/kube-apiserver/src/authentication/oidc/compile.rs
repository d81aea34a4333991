//! From an issuer's configuration to what is evaluated for each of its tokens. All mistakes are found here.

use super::expressions::{Over, Wanted};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use cel::Program;
use component_config::kube_apiserver::authentication::{
    ClaimMappings, ClaimOrExpression, ClaimValidationRule, ExtraMapping, JwtAuthenticator,
    PrefixedClaimOrExpression, UserValidationRule,
};
use std::collections::BTreeSet;

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

const BOTH: &str = "claim and expression can't both be set";
const NEITHER: &str = "claim or expression is required";

/// Compiles one issuer's rules and mappings. `path` is where the issuer stands in the file.
pub fn mapping(config: &JwtAuthenticator, path: &Path) -> Result<Mapping, ErrorList> {
    let mut compiler = Compiler::default();
    let mappings = &config.claim_mappings;
    let below = path.child("claimMappings");
    let required = compiler.required(&config.claim_validation_rules);
    let claim_rules = compiler.claim_rules(
        &config.claim_validation_rules,
        &path.child("claimValidationRules"),
    );
    let username = compiler.username(&mappings.username, &below.child("username"));
    let groups = compiler.prefixed(&mappings.groups, &below.child("groups"));
    let uid = compiler.uid(&mappings.uid, &below.child("uid"));
    let extra = compiler.extra(&mappings.extra, &below.child("extra"));
    if let Some(Source::Expression(username)) = &username {
        let rules = claim_rules.iter().map(|rule| &rule.program);
        let others = rules.chain(extra.iter().map(|(_, program)| program));
        compiler.check_email(username, others, mappings, &below);
    }
    let user_rules = compiler.user_rules(&config.user_validation_rules, &path.child("userValidationRules"));
    match username {
        Some(username) if compiler.errors.is_empty() => Ok(Mapping {
            required,
            claim_rules,
            username,
            groups,
            uid,
            extra,
            user_rules,
        }),
        _ => Err(compiler.errors),
    }
}

/// Goes on after a mistake, so that all are told at once.
#[derive(Default)]
struct Compiler {
    errors: ErrorList,
}

impl Compiler {
    fn wrong(&mut self, error: Error) {
        self.errors.push(error);
    }

    fn program(&mut self, over: Over, text: &str, path: &Path, wanted: Wanted) -> Option<Program> {
        over.compile(text, path, wanted)
            .map_err(|error| self.wrong(error))
            .ok()
    }

    fn required(&mut self, rules: &[ClaimValidationRule]) -> Vec<(String, String)> {
        let by_claim = rules.iter().filter(|rule| !rule.claim.is_empty());
        by_claim
            .map(|rule| (rule.claim.clone(), rule.required_value.clone()))
            .collect()
    }

    fn claim_rules(&mut self, rules: &[ClaimValidationRule], path: &Path) -> Vec<Rule> {
        let mut compiled = Vec::new();
        let (mut claims, mut expressions) = (BTreeSet::new(), BTreeSet::new());
        for (index, rule) in rules.iter().enumerate() {
            let path = path.index(index);
            match (rule.claim.is_empty(), rule.expression.is_empty()) {
                (true, true) => self.wrong(Error::required(&path, NEITHER)),
                (false, false) => self.wrong(Error::invalid(&path, rule.claim.as_str(), BOTH)),
                (false, true) => {
                    if !rule.message.is_empty() {
                        let detail = "may not be specified when claim is set";
                        self.wrong(Error::invalid(
                            &path.child("message"),
                            rule.message.as_str(),
                            detail,
                        ));
                    }
                    if !claims.insert(rule.claim.as_str()) {
                        self.wrong(Error::duplicate(&path.child("claim"), rule.claim.as_str()));
                    }
                }
                (true, false) => {
                    if !rule.required_value.is_empty() {
                        let (path, value) = (path.child("requiredValue"), rule.required_value.as_str());
                        let detail = "may not be specified when expression is set";
                        self.wrong(Error::invalid(&path, value, detail));
                    }
                    let path = path.child("expression");
                    if !expressions.insert(rule.expression.as_str()) {
                        self.wrong(Error::duplicate(&path, rule.expression.as_str()));
                        continue;
                    }
                    let program = self.program(Over::Claims, &rule.expression, &path, Wanted::Bool);
                    compiled.extend(program.map(|program| Rule {
                        program,
                        expression: rule.expression.clone(),
                        message: rule.message.clone(),
                    }));
                }
            }
        }
        compiled
    }

    fn username(&mut self, source: &PrefixedClaimOrExpression, path: &Path) -> Option<Source> {
        if source.claim.is_empty() && source.expression.is_empty() {
            self.wrong(Error::required(path, NEITHER));
            return None;
        }
        self.prefixed(source, path)
    }

    fn prefixed(&mut self, source: &PrefixedClaimOrExpression, path: &Path) -> Option<Source> {
        match (source.claim.is_empty(), source.expression.is_empty()) {
            (true, true) => None,
            (false, false) => {
                self.wrong(Error::invalid(path, "", BOTH));
                None
            }
            (true, false) => {
                if let Some(prefix) = &source.prefix {
                    let detail = "may not be specified when expression is set";
                    self.wrong(Error::invalid(&path.child("prefix"), prefix.as_str(), detail));
                }
                self.program(
                    Over::Claims,
                    &source.expression,
                    &path.child("expression"),
                    Wanted::Anything,
                )
                .map(Source::Expression)
            }
            (false, true) => {
                if source.prefix.is_none() {
                    let detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                    self.wrong(Error::required(&path.child("prefix"), detail));
                }
                Some(Source::Claim {
                    name: source.claim.clone(),
                    prefix: source.prefix.clone().unwrap_or_default(),
                })
            }
        }
    }

    fn uid(&mut self, source: &ClaimOrExpression, path: &Path) -> Option<Source> {
        match (source.claim.is_empty(), source.expression.is_empty()) {
            (true, true) => None,
            (false, false) => {
                self.wrong(Error::invalid(path, "", BOTH));
                None
            }
            (false, true) => Some(Source::Claim {
                name: source.claim.clone(),
                prefix: String::new(),
            }),
            (true, false) => {
                let path = path.child("expression");
                self.program(Over::Claims, &source.expression, &path, Wanted::Anything)
                    .map(Source::Expression)
            }
        }
    }

    fn extra(&mut self, mappings: &[ExtraMapping], path: &Path) -> Vec<(String, Program)> {
        let mut compiled = Vec::new();
        let mut keys = BTreeSet::new();
        for (index, mapping) in mappings.iter().enumerate() {
            let path = path.index(index);
            let key = path.child("key");
            self.errors.extend(key_errors(&mapping.key, &key));
            if !keys.insert(mapping.key.as_str()) {
                self.wrong(Error::duplicate(&key, mapping.key.as_str()));
                continue;
            }
            let path = path.child("valueExpression");
            if mapping.value_expression.is_empty() {
                self.wrong(Error::required(&path, ""));
                continue;
            }
            let program = self.program(Over::Claims, &mapping.value_expression, &path, Wanted::Anything);
            compiled.extend(program.map(|program| (mapping.key.clone(), program)));
        }
        compiled
    }

    fn user_rules(&mut self, rules: &[UserValidationRule], path: &Path) -> Vec<Rule> {
        let mut compiled = Vec::new();
        let mut expressions = BTreeSet::new();
        for (index, rule) in rules.iter().enumerate() {
            let path = path.index(index).child("expression");
            if rule.expression.is_empty() {
                self.wrong(Error::required(&path, ""));
            } else if !expressions.insert(rule.expression.as_str()) {
                self.wrong(Error::duplicate(&path, rule.expression.as_str()));
            } else {
                let program = self.program(Over::User, &rule.expression, &path, Wanted::Bool);
                compiled.extend(program.map(|program| Rule {
                    program,
                    expression: rule.expression.clone(),
                    message: rule.message.clone(),
                }));
            }
        }
        compiled
    }

    /// An address that nobody has verified must not become a name.
    fn check_email<'p>(
        &mut self,
        username: &'p Program,
        others: impl Iterator<Item = &'p Program>,
        mappings: &ClaimMappings,
        path: &Path,
    ) {
        // The claims are the only variable.
        let uses = |program: &Program, claim: &str| program.selects(0, claim);
        let mut all = others.chain([username]);
        if uses(username, "email") && !all.any(|program| uses(program, "email_verified")) {
            let detail = "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";
            let (path, text) = (
                path.child("username.expression"),
                mappings.username.expression.as_str(),
            );
            self.wrong(Error::invalid(&path, text, detail));
        }
    }
}

/// Keys of extra data begin with the domain of who makes sense of them.
fn key_errors(key: &str, path: &Path) -> ErrorList {
    let mut errors = domain_prefixed(key, path);
    if key != key.to_lowercase() {
        errors.push(Error::invalid(path, key, "must be lowercase"));
    }
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let reserved = |suffix: &str| domain == suffix || domain.ends_with(&format!(".{suffix}"));
    if reserved("k8s.io") || reserved("kubernetes.io") {
        let detail = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
        errors.push(Error::invalid(path, key, detail));
    }
    errors
}

fn domain_prefixed(key: &str, path: &Path) -> ErrorList {
    if key.is_empty() {
        return vec![Error::required(path, "")];
    }
    let Some((domain, rest)) = key
        .split_once('/')
        .filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![Error::invalid(path, key, detail)];
    };
    let wrong = names::dns1123_subdomain(domain);
    let mut errors: ErrorList = wrong
        .into_iter()
        .map(|why| Error::invalid(path, domain, why))
        .collect();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/%:@._~!$&'()*+,;=-".contains(&byte);
    if !rest.bytes().all(plain) {
        let detail = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";
        errors.push(Error::invalid(path, rest, detail));
    }
    errors
}

#[cfg(test)]
mod tests;
