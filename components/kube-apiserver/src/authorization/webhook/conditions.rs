//! What a webhook is asked about: expressions over the review's spec.

use crate::declarations::{list_of, map_of, object, text, texts};
use apimachinery::field::{Error, ErrorList, Path};
use cel::{Decl, Environment, PER_CALL_LIMIT, Program, Type, from_json};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Most conditions of one webhook.
const MOST: usize = 64;

static REQUEST: LazyLock<Decl> = LazyLock::new(|| {
    let requirement = object(
        "kubernetes.SelectorRequirement",
        &[("key", text()), ("operator", text()), ("values", texts())],
    );
    let selector = |name: &str| {
        let requirements = list_of(requirement.clone());
        object(name, &[("rawSelector", text()), ("requirements", requirements)])
    };
    let resource = object(
        "kubernetes.ResourceAttributes",
        &[
            ("namespace", text()),
            ("verb", text()),
            ("group", text()),
            ("version", text()),
            ("resource", text()),
            ("subresource", text()),
            ("name", text()),
            ("fieldSelector", selector("kubernetes.FieldSelectorAttributes")),
            ("labelSelector", selector("kubernetes.LabelSelectorAttributes")),
        ],
    );
    let other = object(
        "kubernetes.NonResourceAttributes",
        &[("path", text()), ("verb", text())],
    );
    object(
        "kubernetes.SubjectAccessReviewSpec",
        &[
            ("resourceAttributes", resource),
            ("nonResourceAttributes", other),
            ("user", text()),
            ("groups", texts()),
            ("extra", map_of(texts())),
            ("uid", text()),
        ],
    )
});

/// Expressions all of which must hold for the webhook to be asked.
#[derive(Debug, Default)]
pub struct MatchConditions(Vec<Program>);

impl MatchConditions {
    /// Compiles expressions; `path` is where their list stands.
    pub fn compile<'a>(
        texts: impl ExactSizeIterator<Item = &'a str>,
        path: &Path,
    ) -> Result<Self, ErrorList> {
        if texts.len() > MOST {
            return Err(vec![Error::too_many(path, texts.len(), MOST)]);
        }
        let environment = Environment::new().with("request", REQUEST.clone());
        let mut errors = ErrorList::new();
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, text) in texts.enumerate() {
            let path = path.index(index).child("expression");
            if text.trim().is_empty() {
                errors.push(Error::required(&path, ""));
                continue;
            }
            if !seen.insert(text) {
                errors.push(Error::duplicate(&path, text));
                continue;
            }
            match Program::compile(text, &environment) {
                Ok(program) if *program.ty() == Type::Bool => all.push(program),
                Ok(program) => {
                    let detail = format!("must evaluate to bool but got {}", program.ty());
                    errors.push(Error::invalid(&path, text, detail));
                }
                Err(error) => {
                    let detail = error.explained();
                    errors.push(Error::invalid(&path, text, detail));
                }
            }
        }
        match errors.is_empty() {
            true => Ok(Self(all)),
            false => Err(errors),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the webhook is to be asked about a review's spec; an error if that can't be said.
    pub fn hold(&self, spec: &Value) -> Result<bool, String> {
        let spec = with_all_fields(spec);
        let mut failure = None;
        for program in &self.0 {
            let _timed = cel::timing::evaluation();
            let outcome = program.evaluate(&[Some(from_json(&spec, &REQUEST))], PER_CALL_LIMIT);
            match outcome.result.as_ref().map(cel::Value::as_bool) {
                Ok(Some(true)) => {}
                // One that doesn't hold settles it, whatever is wrong with the others.
                Ok(Some(false)) => return Ok(false),
                Ok(None) => failure = Some("a match condition is not a boolean".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        failure.map_or(Ok(true), Err)
    }
}

/// The spec as conditions see it: what is empty is there, but for one of the two kinds of attributes and for selectors.
fn with_all_fields(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let text = json!("");
    fill(&mut spec, &["user", "uid"], &text);
    fill(&mut spec, &["groups"], &json!([]));
    fill(&mut spec, &["extra"], &json!({}));
    if let Some(attributes) = spec.get_mut("nonResourceAttributes") {
        fill(attributes, &["path", "verb"], &text);
    }
    let Some(attributes) = spec.get_mut("resourceAttributes") else {
        return spec;
    };
    let fields = [
        "namespace",
        "verb",
        "group",
        "version",
        "resource",
        "subresource",
        "name",
    ];
    fill(attributes, &fields, &text);
    for selector in ["fieldSelector", "labelSelector"] {
        let requirements = attributes
            .get_mut(selector)
            .and_then(|selector| selector.get_mut("requirements"))
            .and_then(Value::as_array_mut);
        for requirement in requirements.into_iter().flatten() {
            fill(requirement, &["values"], &json!([]));
        }
    }
    spec
}

fn fill(part: &mut Value, fields: &[&str], empty: &Value) {
    if let Value::Object(part) = part {
        for field in fields {
            part.entry(*field).or_insert_with(|| empty.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(texts: &[&str]) -> Result<MatchConditions, Vec<String>> {
        let outcome = MatchConditions::compile(texts.iter().copied(), &Path::new("matchConditions"));
        outcome.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn conditions_decide_who_is_asked_about() {
        let pods = json!({
            "user": "jane", "groups": ["dev"],
            "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "a", "labelSelector": {"requirements": [
                {"key": "a", "operator": "Exists"},
            ]}},
        });
        for (texts, expected) in [
            (&[][..], Ok(true)),
            (
                &[
                    "has(request.resourceAttributes)",
                    "request.resourceAttributes.namespace == 'a'",
                ],
                Ok(true),
            ),
            (&["request.user == 'joe'"], Ok(false)),
            (
                &["request.uid == '' && request.resourceAttributes.name == ''"],
                Ok(true),
            ),
            (&["'dev' in request.groups"], Ok(true)),
            (
                &["request.resourceAttributes.labelSelector.requirements.exists(r, r.values.size() == 0)"],
                Ok(true),
            ),
            (&["!has(request.resourceAttributes.fieldSelector)"], Ok(true)),
            (
                &[
                    "request.nonResourceAttributes.path == 'x'",
                    "request.user == 'joe'",
                ],
                Ok(false),
            ),
            (&["request.nonResourceAttributes.path == 'x'"], Err(())),
            (&["request.extra['a'][0] == 'x'"], Err(())),
        ] {
            let found = compile(texts).unwrap().hold(&pods).map_err(|_| ());
            assert_eq!(found, expected, "{texts:?}");
        }
    }

    #[test]
    fn mistakes_are_found_before_anybody_asks() {
        for (text, part) in [
            ("1 + 1", "must evaluate to bool but got int"),
            ("dyn(true)", "must evaluate to bool but got dyn"),
            ("request.", "compilation failed"),
            ("request.foo == 'x'", "undefined field 'foo'"),
            ("request.resourceAttributes.foo == 'x'", "undefined field 'foo'"),
            ("request.user == 1", "no matching overload"),
            ("request.groups", "must evaluate to bool but got list(string)"),
            (" ", "Required value"),
        ] {
            let told = compile(&[text]).unwrap_err();
            assert!(
                told[0].starts_with("matchConditions[0].expression: ") && told[0].contains(part),
                "{told:?}"
            );
        }
        let twice = compile(&["true", "true", "false", "request.foo"]).unwrap_err();
        assert_eq!(twice.len(), 2, "{twice:?}");
        assert_eq!(
            twice[0],
            "matchConditions[1].expression: Duplicate value: \"true\""
        );
        let many = compile(&["true"; 65]).unwrap_err();
        assert_eq!(
            many,
            ["matchConditions: Too many: 65: must have at most 64 items"]
        );
    }
}
