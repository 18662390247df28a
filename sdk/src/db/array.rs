//! Arrays, in the text form of PostgreSQL: `{1,2}`, `{"a b",NULL}`.
//!
//! `WHERE id = ANY($1)` takes a `Vec<i64>`, a `text[]` column becomes a `Vec<String>`; with `Option`
//! inside where an element may be NULL. Arrays of one dimension; source/server: array_in, array_out
//! in src/backend/utils/adt/arrayfuncs.c.

use super::{FromValue, Value};

/// A type that an array may be of.
trait Element: Sized {
    /// Appends the element as `array_in` reads it.
    fn write(&self, out: &mut String);
    /// From the text of one element; none for NULL.
    fn read(text: Option<&str>) -> Option<Self>;
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Element for $type {
            fn write(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }
            fn read(text: Option<&str>) -> Option<Self> {
                text?.parse().ok()
            }
        })*
    };
}

plain!(i32, i64, f64);

impl Element for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "t" } else { "f" });
    }

    fn read(text: Option<&str>) -> Option<Self> {
        match text? {
            "t" => Some(true),
            "f" => Some(false),
            _ => None,
        }
    }
}

impl Element for String {
    fn write(&self, out: &mut String) {
        quote(self, out);
    }

    fn read(text: Option<&str>) -> Option<Self> {
        text.map(str::to_owned)
    }
}

impl Element for &str {
    fn write(&self, out: &mut String) {
        quote(self, out);
    }

    // Nothing is read into a borrowed text.
    fn read(_: Option<&str>) -> Option<Self> {
        None
    }
}

impl<T: Element> Element for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(element) => element.write(out),
            None => out.push_str("NULL"),
        }
    }

    fn read(text: Option<&str>) -> Option<Self> {
        match text {
            None => Some(None),
            some => T::read(some).map(Some),
        }
    }
}

/// Always in quotes, so that no text is taken for NULL, a brace or a comma.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

fn written<T: Element>(elements: &[T]) -> Value {
    let mut text = String::from("{");
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        element.write(&mut text);
    }
    text.push('}');
    Value::Text(text)
}

/// The texts of the elements; none for what is no array of one dimension.
fn elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let mut elements = Vec::new();
    let mut rest = inner.chars().peekable();
    loop {
        let mut element = String::new();
        if rest.next_if_eq(&'"').is_some() {
            loop {
                match rest.next()? {
                    '"' => break,
                    '\\' => element.push(rest.next()?),
                    character => element.push(character),
                }
            }
            elements.push(Some(element));
        } else {
            while let Some(character) = rest.next_if(|character| *character != ',') {
                if matches!(character, '{' | '}' | '"') {
                    return None;
                }
                element.push(character);
            }
            elements.push((element != "NULL").then_some(element));
        }
        match rest.next() {
            None => return Some(elements),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

fn read<T: Element>(value: &Value) -> Option<Vec<T>> {
    let Value::Text(text) = value else { return None };
    elements(text)?
        .iter()
        .map(|element| T::read(element.as_deref()))
        .collect()
}

macro_rules! arrays {
    ($($type:ty),*) => {
        $(impl From<Vec<$type>> for Value {
            fn from(elements: Vec<$type>) -> Self {
                written(&elements)
            }
        }
        impl From<&[$type]> for Value {
            fn from(elements: &[$type]) -> Self {
                written(elements)
            }
        }
        impl From<&Vec<$type>> for Value {
            fn from(elements: &Vec<$type>) -> Self {
                written(elements)
            }
        })*
    };
}

macro_rules! from_arrays {
    ($($type:ty),*) => {
        $(impl FromValue for Vec<$type> {
            fn from_value(value: &Value) -> Option<Self> {
                read(value)
            }
        })*
    };
}

arrays!(i32, i64, f64, bool, String, &str, Option<i64>, Option<String>);
from_arrays!(i32, i64, f64, bool, String, Option<i64>, Option<String>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_written_as_postgresql_reads_it_and_read_as_it_writes_it() {
        let texts = vec![
            "plain".to_owned(),
            String::new(),
            "NULL".to_owned(),
            "a,b{c}".to_owned(),
            "q\"u\\o".to_owned(),
            " ü\n".to_owned(),
        ];
        let value = Value::from(&texts);
        assert_eq!(
            value,
            Value::Text("{\"plain\",\"\",\"NULL\",\"a,b{c}\",\"q\\\"u\\\\o\",\" ü\n\"}".to_owned())
        );
        assert_eq!(Vec::<String>::from_value(&value), Some(texts));
        // PostgreSQL quotes only what it must.
        let sparse = Value::Text("{a,NULL,\"NULL\",\"\"}".to_owned());
        let expected = vec![Some("a".to_owned()), None, Some("NULL".to_owned()), Some(String::new())];
        assert_eq!(Vec::<Option<String>>::from_value(&sparse), Some(expected));
        assert_eq!(Vec::<String>::from_value(&sparse), None, "a NULL is no text");
        assert_eq!(Value::from(vec![1_i64, -2]), Value::Text("{1,-2}".to_owned()));
        assert_eq!(Vec::<i64>::from_value(&Value::Text("{}".to_owned())), Some(vec![]));
        assert_eq!(
            Vec::<bool>::from_value(&Value::from(vec![true, false])),
            Some(vec![true, false])
        );
        let floats = Value::Text("{1.5,NaN,-Infinity,1e+30}".to_owned());
        assert_eq!(Vec::<f64>::from_value(&floats).map(|floats| floats.len()), Some(4));
    }

    #[test]
    fn what_is_no_array_of_one_dimension_is_none() {
        for text in ["", "{", "1,2", "{{1},{2}}", "[0:1]={1,2}", "{\"a}", "{\"a\"b}"] {
            assert_eq!(Vec::<String>::from_value(&Value::Text(text.to_owned())), None, "{text}");
        }
        assert_eq!(Vec::<i64>::from_value(&Value::Text("{a}".to_owned())), None);
        assert_eq!(Vec::<i64>::from_value(&Value::Integer(1)), None);
    }
}
