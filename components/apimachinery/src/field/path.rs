use std::fmt;

/// Where in an object a field is: `spec.containers[0].env[NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// A path of one name; an empty name is the root.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The root of an object.
    pub fn root() -> Self {
        Self::default()
    }

    /// That of upstream's `field.NewPath("")`, which it shows so.
    pub fn nameless() -> Self {
        Self("[]".to_owned())
    }

    /// Paths are made for every field that is looked at, wrong or not, so this takes no detour by a formatter.
    fn and<const N: usize>(&self, parts: [&str; N]) -> Self {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut path = String::with_capacity(self.0.len() + length);
        path.push_str(&self.0);
        for part in parts {
            path.push_str(part);
        }
        Self(path)
    }

    /// The field `name` below this path; `name` may hold several names joined by dots.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            self.and([".", name])
        }
    }

    /// The element number `index` of the list here.
    pub fn index(&self, index: usize) -> Self {
        self.and(["[", itoa::Buffer::new().format(index), "]"])
    }

    /// The entry `key` of the map here.
    pub fn key(&self, key: &str) -> Self {
        self.and(["[", key, "]"])
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

impl From<&str> for Path {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}
