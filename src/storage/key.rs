//! Keys of items as they are stored. A UUID takes 16 bytes in place of 36 characters.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

/// A key. A UUID in its usual form is a blob in the database, everything else a text, so the two can't be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Uuid(Uuid),
    Text(&'a str),
}

impl<'a> Key<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        match Uuid::try_parse(text) {
            // Other forms, such as with capital letters, would be read back in another form.
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut [0; 36]) == text => Self::Uuid(uuid),
            _ => Self::Text(text),
        }
    }
}

impl ToSql for Key<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Uuid(uuid) => ValueRef::Blob(uuid.as_bytes()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// A key as it is read.
pub(super) struct Stored(pub(super) String);

impl FromSql for Stored {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(_) => value.as_str().map(|text| Self(text.to_owned())),
            ValueRef::Blob(bytes) => {
                let uuid = Uuid::from_slice(bytes).map_err(|error| FromSqlError::Other(Box::new(error)))?;
                Ok(Self(uuid.hyphenated().to_string()))
            }
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_in_its_usual_form_is_short() {
        let usual = "0194a2b0-7c3e-7d11-8000-00000000abcd";
        assert_eq!(Key::parse(usual), Key::Uuid(Uuid::try_parse(usual).unwrap()));
        for other in [&usual.to_uppercase(), &usual.replace('-', ""), &format!("{{{usual}}}"), "", "0123456789abcdef"] {
            assert_eq!(Key::parse(other), Key::Text(other));
        }
    }
}
