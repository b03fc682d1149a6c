//! Reading JSON with little code, for a client that is downloaded before it runs.
//!
//! serde writes the code that reads a type anew for each thing that it is read from, and twice more for an enum whose variants
//! are told by a tag. So everything is read from one thing here, a [`Value`] that a text was made into first: [`read`]. Of the
//! forms that serde lets a struct have, this takes objects only, as the protocol says. It made
//! what a browser loads first 45 KB smaller, of 522.
//!
//! [`tagged!`](crate::wire::json::tagged) does the same for enums with a tag, on every platform: the tag may stand anywhere in the object, and where it
//! stands first, as everything of ours writes it, nothing is copied.

use core::fmt;
use core::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

/// Reads a text. The error says what was found and what is expected, without the place in the text unless it is no JSON at all.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    T::deserialize(Reader::new(serde_json::from_str(text)?))
}

/// What a text of JSON says. It is nested at most 128 deep: deeper texts are refused while they are read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number from 0 on.
    Whole(u64),
    /// A number below 0.
    Negative(i64),
    /// A number with a fraction, or beyond the others.
    Real(f64),
    /// A text.
    Text(String),
    /// In order.
    List(Vec<Self>),
    /// In the order in which it was written.
    Object(Vec<(String, Self)>),
}

impl Value {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Whole(value) => Unexpected::Unsigned(*value),
            Self::Negative(value) => Unexpected::Signed(*value),
            Self::Real(value) => Unexpected::Float(*value),
            Self::Text(value) => Unexpected::Str(value),
            Self::List(_) => Unexpected::Seq,
            Self::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Whole(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Whole))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Real(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Text(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(Value::Text(value))
            }
            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Value::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut object = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    object.push(entry);
                }
                Ok(Value::Object(object))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Gives a [`Value`] to whatever is made of it.
struct Reader<E> {
    value: Value,
    error: PhantomData<E>,
}

impl<E: Error> Reader<E> {
    fn new(value: Value) -> Self {
        Self { value, error: PhantomData }
    }

    #[cold]
    fn wrong(&self, expected: &dyn Expected) -> E {
        E::invalid_type(self.value.unexpected(), expected)
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.value {
            Value::Whole(value) => visitor.visit_u64(value),
            Value::Negative(value) => visitor.visit_i64(value),
            Value::Real(value) => visitor.visit_f64(value),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => {
                Err(self.wrong(&visitor))
            }
        }
    }
}

macro_rules! numbers {
    ($($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            self.number(visitor)
        })*
    };
}

/// One form each, with the same refusal of every other.
macro_rules! forms {
    ($($name:ident($($argument:ident: $type:ty),*): $form:pat => |$visitor:ident| $give:expr;)*) => {
        $(fn $name<V: Visitor<'de>>(self, $($argument: $type,)* $visitor: V) -> Result<V::Value, E> {
            if let $form = self.value { $give } else { Err(self.wrong(&$visitor)) }
        })*
    };
}

impl<'de, E: Error> Deserializer<'de> for Reader<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Whole(_) | Value::Negative(_) | Value::Real(_) => self.number(visitor),
            Value::Text(value) => visitor.visit_string(value),
            Value::List(list) => visitor.visit_seq(Items::new(list)),
            Value::Object(object) => visitor.visit_map(Entries::new(object)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        if self.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        let (name, value) = match self.value {
            Value::Text(name) => (name, Value::Null),
            Value::Object(mut object) => match (object.pop(), object.is_empty()) {
                (Some(only), true) => only,
                (Some(_) | None, _) => return Err(E::custom("a variant is the one field of its object")),
            },
            Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Negative(_) | Value::Real(_) | Value::List(_) => {
                return Err(self.wrong(&visitor));
            }
        };
        visitor.visit_enum(Plain { name, value, error: PhantomData })
    }

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_f32 deserialize_f64
    }

    forms! {
        deserialize_bool(): Value::Bool(value) => |visitor| visitor.visit_bool(value);
        deserialize_char(): Value::Text(value) => |visitor| visitor.visit_str(&value);
        deserialize_str(): Value::Text(value) => |visitor| visitor.visit_str(&value);
        deserialize_string(): Value::Text(value) => |visitor| visitor.visit_string(value);
        deserialize_identifier(): Value::Text(value) => |visitor| visitor.visit_str(&value);
        deserialize_unit(): Value::Null => |visitor| visitor.visit_unit();
        deserialize_unit_struct(_name: &'static str): Value::Null => |visitor| visitor.visit_unit();
        deserialize_bytes(): Value::List(list) => |visitor| visitor.visit_seq(Items::new(list));
        deserialize_byte_buf(): Value::List(list) => |visitor| visitor.visit_seq(Items::new(list));
        deserialize_seq(): Value::List(list) => |visitor| visitor.visit_seq(Items::new(list));
        deserialize_tuple(_length: usize): Value::List(list) => |visitor| visitor.visit_seq(Items::new(list));
        deserialize_tuple_struct(_name: &'static str, _length: usize): Value::List(list) => |visitor| visitor.visit_seq(Items::new(list));
        deserialize_map(): Value::Object(object) => |visitor| visitor.visit_map(Entries::new(object));
        deserialize_struct(_name: &'static str, _fields: &'static [&'static str]): Value::Object(object) => |visitor| visitor.visit_map(Entries::new(object));
    }
}

struct Items<E> {
    rest: std::vec::IntoIter<Value>,
    error: PhantomData<E>,
}

impl<E> Items<E> {
    fn new(list: Vec<Value>) -> Self {
        Self { rest: list.into_iter(), error: PhantomData }
    }
}

impl<'de, E: Error> SeqAccess<'de> for Items<E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, E> {
        self.rest.next().map(|value| seed.deserialize(Reader::new(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Entries<E> {
    rest: std::vec::IntoIter<(String, Value)>,
    /// Of the key that was given last.
    value: Value,
    error: PhantomData<E>,
}

impl<E> Entries<E> {
    fn new(object: Vec<(String, Value)>) -> Self {
        Self { rest: object.into_iter(), value: Value::Null, error: PhantomData }
    }
}

impl<'de, E: Error> MapAccess<'de> for Entries<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, E> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = value;
        seed.deserialize(Reader::new(Value::Text(key))).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, E> {
        seed.deserialize(Reader::new(core::mem::replace(&mut self.value, Value::Null)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A variant as serde writes it by itself: its name alone, or an object with its name and its content.
struct Plain<E> {
    name: String,
    value: Value,
    error: PhantomData<E>,
}

impl<'de, E: Error> EnumAccess<'de> for Plain<E> {
    type Error = E;
    type Variant = Reader<E>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Reader<E>), E> {
        Ok((seed.deserialize(Reader::new(Value::Text(self.name)))?, Reader::new(self.value)))
    }
}

impl<'de, E: Error> VariantAccess<'de> for Reader<E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, E> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, E> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, E> {
        self.deserialize_struct("", fields, visitor)
    }
}

/// Gives the object of an enum with a tag as serde would give a variant by its name.
pub(crate) struct Tagged<D> {
    tag: &'static str,
    object: D,
}

impl<D> Tagged<D> {
    pub(crate) fn new(tag: &'static str, object: D) -> Self {
        Self { tag, object }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Tagged<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, D::Error> {
        Err(D::Error::custom("only an enum has a tag"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.object.deserialize_map(OfTag { tag: self.tag, visitor })
    }

    forward_to_deserialize_any! {
        bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

struct OfTag<V> {
    tag: &'static str,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for OfTag<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", self.tag)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<V::Value, A::Error> {
        let Some(key) = entries.next_key::<String>()? else { return Err(A::Error::missing_field(self.tag)) };
        if key == self.tag {
            return self.visitor.visit_enum(Variant(entries));
        }
        let mut object = vec![(key, entries.next_value()?)];
        let value = loop {
            match entries.next_key::<String>()? {
                None => return Err(A::Error::missing_field(self.tag)),
                Some(key) if key == self.tag => break entries.next_value()?,
                Some(key) => object.push((key, entries.next_value()?)),
            }
        };
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        self.visitor.visit_enum(Variant(Entries { value, ..Entries::new(object) }))
    }
}

/// Whose next value is the variant's name; what follows are its fields.
struct Variant<A>(A);

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Variant<A> {
    type Error = A::Error;
    type Variant = Fields<A>;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Fields<A>), A::Error> {
        Ok((self.0.next_value_seed(seed)?, Fields(self.0)))
    }
}

struct Fields<A>(A);

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn unit_variant(mut self) -> Result<(), A::Error> {
        while self.0.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        seed.deserialize(MapAccessDeserializer::new(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("a variant with a tag has named fields"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_map(self.0)
    }
}

/// An enum of which a tag in the object says which variant it is; `remote` is its name once more, what stands in braces goes to
/// serde beside it.
macro_rules! tagged {
    (tag = $tag:tt, remote = $named:tt, { $($serde:tt)* } $(#[$outer:meta])* pub enum $Name:ident { $($body:tt)* }) => {
        $(#[$outer])*
        #[derive(serde::Serialize)]
        #[serde(tag = $tag, $($serde)*)]
        pub enum $Name { $($body)* }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(remote = $named, $($serde)*)]
                enum Twin { $($body)* }
                Twin::deserialize($crate::wire::json::Tagged::new($tag, deserializer))
            }
        }
    };
}
pub(crate) use tagged;

#[cfg(test)]
mod tests;
