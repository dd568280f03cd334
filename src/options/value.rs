//! A value in Prosody's configuration.

use std::cmp::Ordering;

/// A value in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set.
    Nil,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A string.
    String(String),
    /// A table: its keys and values, in the order of the keys.
    Table(Vec<(Value, Value)>),
    /// A value of another Lua type, which no option takes: the name of the type.
    Other(&'static str),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::String(value) => write!(f, "{value:?}"),
            Self::Table(fields) if fields.is_empty() => f.write_str("{}"),
            Self::Table(fields) => {
                for (index, (key, value)) in fields.iter().enumerate() {
                    f.write_str(if index == 0 { "{ " } else { "; " })?;
                    match key {
                        Self::String(name) => write!(f, "{name} = {value}")?,
                        Self::Number(_) => write!(f, "{value}")?,
                        key => write!(f, "[{key}] = {value}")?,
                    }
                }
                f.write_str(" }")
            }
            Self::Other(kind) => write!(f, "a {kind}"),
        }
    }
}

impl Value {
    /// A table with these fields.
    #[must_use]
    pub fn table(mut fields: Vec<(Self, Self)>) -> Self {
        fields.sort_by(|(a, _), (b, _)| match (a, b) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Number(_), _) => Ordering::Less,
            (_, Self::Number(_)) => Ordering::Greater,
            (a, b) => a.to_string().cmp(&b.to_string()),
        });
        Self::Table(fields)
    }

    /// The value of a field of a table. Returns [`Value::Nil`] if there is no such field, or if this is not a table.
    #[must_use]
    pub fn field(&self, name: &str) -> &Self {
        let fields = if let Self::Table(fields) = self { fields.as_slice() } else { &[] };
        fields.iter().find(|(key, _)| matches!(key, Self::String(key) if key == name)).map_or(&Self::Nil, |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    #[test]
    fn a_table_is_shown_in_the_order_of_its_keys() {
        let list = Value::table(vec![(Value::Number(2.0), text("b")), (Value::Number(1.0), text("a"))]);
        let value = Value::table(vec![(text("window"), text("60s")), (text("types"), list), (text("burst"), Value::Number(5.0))]);
        assert_eq!(value.to_string(), r#"{ burst = 5; types = { "a"; "b" }; window = "60s" }"#);
        assert_eq!((value.field("burst"), value.field("limit")), (&Value::Number(5.0), &Value::Nil));
        assert_eq!((Value::Nil.field("burst"), Value::table(vec![]).to_string().as_str()), (&Value::Nil, "{}"));
    }
}
