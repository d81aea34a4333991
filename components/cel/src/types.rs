//! Types of expressions, and declared data: types with bounds on their sizes.
use crate::syntax::RESERVED;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The type of an expression.
#[derive(Clone, Debug)]
pub enum Type {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// The type of a type.
    Type,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Object(Arc<Object>),
    Optional(Arc<Type>),
    /// A library's type: `net.IP`.
    Opaque(&'static str),
    /// Not yet known, inside the checker.
    Var(u32),
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Map(a, b), Self::Map(c, d)) => a == c && b == d,
            (Self::Object(a), Self::Object(b)) => a.name == b.name,
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Var(a), Self::Var(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::Type => f.write_str("type"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Opaque(name) => f.write_str(name),
            Self::Var(number) => write!(f, "_var{number}"),
        }
    }
}

impl Type {
    /// The name of the type itself, without what it is made of.
    pub fn name(&self) -> &str {
        match self {
            Self::Dyn | Self::Var(_) => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Type => "type",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Object(object) => &object.name,
            Self::Optional(_) => "optional_type",
            Self::Opaque(name) => name,
        }
    }
}

/// A type with named fields.
#[derive(Debug, Default)]
pub struct Object {
    pub name: String,
    /// By the name that expressions use.
    pub fields: BTreeMap<String, ObjectField>,
}

/// A field of an [`Object`].
#[derive(Clone, Debug)]
pub struct ObjectField {
    /// The name in the data, which may have characters that expressions can't.
    pub json_name: String,
    pub decl: Arc<Decl>,
    /// Whether an absent field reads as its type's zero value, as fields of upstream's typed objects do.
    pub zero_when_absent: bool,
    /// Whether a field that is null counts as absent, as those of custom resources do.
    pub null_is_absent: bool,
}

/// How a declared list compares with others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// Items are told apart by these keys of the data.
    Map(Vec<String>),
}

/// What declared data is made of.
#[derive(Clone, Debug)]
pub enum Shape {
    Dyn,
    Null,
    Bool,
    Int,
    Double,
    String,
    /// Base64 text in the data.
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Decl>, ListKind),
    /// Values by text.
    Map(Arc<Decl>),
    Object(Arc<Object>),
    Opaque(&'static str),
    Optional(Arc<Decl>),
}

/// Declared data: its shape, and how large it may be.
#[derive(Clone, Debug)]
pub struct Decl {
    pub shape: Shape,
    /// Most elements of a list or map, most bytes of a text; `u64::MAX` when there is no bound.
    pub max: u64,
}

impl Decl {
    /// Data without bounds.
    pub fn new(shape: Shape) -> Self {
        Self { shape, max: u64::MAX }
    }

    /// Anything.
    pub fn dynamic() -> Self {
        Self::new(Shape::Dyn)
    }

    /// Data with a bound.
    pub fn bounded(shape: Shape, max: u64) -> Self {
        Self { shape, max }
    }

    /// The type that the checker sees.
    pub fn ty(&self) -> Type {
        match &self.shape {
            Shape::Dyn => Type::Dyn,
            Shape::Null => Type::Null,
            Shape::Bool => Type::Bool,
            Shape::Int => Type::Int,
            Shape::Double => Type::Double,
            Shape::String => Type::String,
            Shape::Bytes => Type::Bytes,
            Shape::Timestamp => Type::Timestamp,
            Shape::Duration => Type::Duration,
            Shape::List(item, _) => Type::List(Arc::new(item.ty())),
            Shape::Map(value) => Type::Map(Arc::new(Type::String), Arc::new(value.ty())),
            Shape::Object(object) => Type::Object(Arc::clone(object)),
            Shape::Opaque(name) => Type::Opaque(name),
            Shape::Optional(inner) => Type::Optional(Arc::new(inner.ty())),
        }
    }
}

/// The declaration of what nothing is known about.
pub(crate) fn any() -> &'static Decl {
    static ANY: Decl = Decl {
        shape: Shape::Dyn,
        max: u64::MAX,
    };
    &ANY
}

impl Object {
    /// The field that an expression selects by this name. Reserved words can be written as they are, too.
    pub(crate) fn field(&self, name: &str) -> Option<&ObjectField> {
        let reserved = || RESERVED.contains(&name).then(|| format!("__{name}__"));
        self.fields.get(name).or_else(|| self.fields.get(&reserved()?))
    }

    /// An object type of fields given as (name, declaration), which read as zero when absent.
    pub fn of(name: &str, fields: &[(&str, Decl)]) -> Arc<Self> {
        let fields = fields
            .iter()
            .map(|(name, decl)| {
                let field = ObjectField {
                    json_name: (*name).to_owned(),
                    decl: Arc::new(decl.clone()),
                    zero_when_absent: true,
                    null_is_absent: false,
                };
                ((*name).to_owned(), field)
            })
            .collect();
        Arc::new(Self {
            name: name.to_owned(),
            fields,
        })
    }
}
