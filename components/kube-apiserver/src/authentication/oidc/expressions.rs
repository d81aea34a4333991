//! The expressions of an issuer's configuration, and what is declared about the values that they are evaluated over.

use crate::declarations::{map_of, object, text, texts};
use apimachinery::field::{Error, Path};
use cel::{Decl, Environment, Program, Type};
use std::sync::LazyLock;

/// What an expression sees: the claims of a token, or the user that they came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Claims,
    User,
}

/// What an expression has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Bool,
    /// What claims are isn't known until a token comes, so neither is what is mapped from them: it is looked at then.
    Anything,
}

static CLAIMS: LazyLock<Decl> = LazyLock::new(|| map_of(Decl::dynamic()));

static USER: LazyLock<Decl> = LazyLock::new(|| {
    object(
        "kubernetes.UserInfo",
        &[
            ("username", text()),
            ("uid", text()),
            ("groups", texts()),
            ("extra", map_of(texts())),
        ],
    )
});

impl Over {
    fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::User => "user",
        }
    }

    /// What is declared about the value.
    pub fn decl(self) -> &'static Decl {
        match self {
            Self::Claims => &CLAIMS,
            Self::User => &USER,
        }
    }

    /// Compiles an expression that stands at `path`.
    pub fn compile(self, text: &str, path: &Path, wanted: Wanted) -> Result<Program, Error> {
        let environment = Environment::new().with(self.name(), self.decl().clone());
        let program = Program::compile(text, &environment)
            .map_err(|error| Error::invalid(path, text, error.explained()))?;
        if wanted == Wanted::Bool && *program.ty() != Type::Bool {
            return Err(Error::invalid(path, text, "must evaluate to bool"));
        }
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found_before_a_token_comes() {
        let path = Path::new("e");
        for (over, text, wanted, expected) in [
            (Over::User, "user.username == 'a'", Wanted::Bool, None),
            (Over::User, "user.groups.all(g, g != 'x')", Wanted::Bool, None),
            (
                Over::User,
                "'a' in user.extra && user.extra['a'][0] == 'b'",
                Wanted::Bool,
                None,
            ),
            (Over::User, "user.?uid.orValue('') == ''", Wanted::Bool, None),
            (
                Over::User,
                "user.name != 'a'",
                Wanted::Bool,
                Some("undefined field 'name'"),
            ),
            (
                Over::User,
                "user.username == 1",
                Wanted::Bool,
                Some("no matching overload"),
            ),
            (
                Over::User,
                "user.groups == 'x'",
                Wanted::Bool,
                Some("no matching overload"),
            ),
            (
                Over::User,
                "user.groups",
                Wanted::Bool,
                Some("must evaluate to bool"),
            ),
            (
                Over::User,
                "claims.sub == 'a'",
                Wanted::Bool,
                Some("undeclared reference to 'claims'"),
            ),
            (Over::Claims, "claims.admin == true", Wanted::Bool, None),
            (
                Over::Claims,
                "claims.admin",
                Wanted::Bool,
                Some("must evaluate to bool"),
            ),
            (Over::Claims, "claims.sub", Wanted::Anything, None),
            (
                Over::Claims,
                "claims == 'a'",
                Wanted::Bool,
                Some("no matching overload"),
            ),
            (Over::Claims, "1", Wanted::Anything, None),
            (Over::Claims, "['a']", Wanted::Anything, None),
            (
                Over::Claims,
                "1 + ''",
                Wanted::Anything,
                Some("no matching overload"),
            ),
        ] {
            let outcome = over.compile(text, &path, wanted);
            let error = outcome.err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None, "{text}"),
                Some(part) => assert!(
                    error.as_ref().is_some_and(|error| error.contains(part)),
                    "{text}: {error:?}"
                ),
            }
        }
    }
}
