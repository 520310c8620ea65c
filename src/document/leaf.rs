use std::fmt::Display;
use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;

use super::ScalarKind;

/// A single value with a meaning of its own: a duration, an image, a port.
pub(crate) trait Leaf: Sized {
    /// What it is, with its article: `a duration`.
    const WHAT: &'static str;
    /// One that is right.
    const EXAMPLE: &'static str;
    /// The kinds of scalar that it is written as where the language tells them apart.
    const KINDS: &'static [ScalarKind] = &[ScalarKind::Text];
    /// A wrong value is not repeated in messages.
    const SECRET: bool = false;

    /// The value; or why it is none, as half a sentence.
    fn parse(text: &str) -> Result<Self, String>;
}

impl Leaf for String {
    const WHAT: &'static str = "a text";
    const EXAMPLE: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Leaf for bool {
    const WHAT: &'static str = "a boolean";
    const EXAMPLE: &'static str = "true";
    const KINDS: &'static [ScalarKind] = &[ScalarKind::Boolean];

    /// YAML 1.1's words, which compose files still use.
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Ok(true),
            "false" | "no" | "n" | "off" => Ok(false),
            _ => Err("it is neither `true` nor `false`".to_owned()),
        }
    }
}

/// Whole numbers.
macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Leaf for $number {
            const WHAT: &'static str = "a whole number";
            const EXAMPLE: &'static str = "3";
            const KINDS: &'static [ScalarKind] = &[ScalarKind::Number];

            fn parse(text: &str) -> Result<Self, String> {
                parse_whole(text)
            }
        }
    )*};
}
whole_numbers!(u8, u16, u32, u64, i64);

/// A whole number; the reason says more than the standard library's.
pub(crate) fn parse_whole<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseIntError| {
        match error.kind() {
            IntErrorKind::Empty => "it is empty",
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "it is too large",
            _ if text.starts_with('-') => "it is negative",
            _ => "it has other characters than digits",
        }
        .to_owned()
    })
}

/// The reason that a library gives, as half a sentence.
pub(crate) fn reason(error: impl Display) -> String {
    error.to_string()
}

/// Declares leaves: a named type, what it wraps, what it is, an example, and the function that
/// reads it. `numbers` may be written as numbers too; `secrets` are never repeated in messages;
/// `schema` is what an editor is told.
macro_rules! leaf {
    ($(
        $(#[$meta:meta])*
        $name:ident($inner:ty) is $what:literal, like $example:literal, by $parse:ident
        $($flag:ident)* $(, schema $schema:tt)?;
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name(pub $inner);

        impl $crate::document::Leaf for $name {
            const WHAT: &'static str = $what;
            const EXAMPLE: &'static str = $example;
            $($crate::document::leaf!(@$flag);)*

            fn parse(text: &str) -> Result<Self, String> {
                $parse(text).map(Self)
            }
        }

        $(
            impl schemars::JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!($schema)
                }
            }
        )?
    )*};
    (@numbers) => {
        const KINDS: &'static [$crate::document::ScalarKind] =
            &[$crate::document::ScalarKind::Number, $crate::document::ScalarKind::Text];
    };
    (@secrets) => {
        const SECRET: bool = true;
    };
}
pub(crate) use leaf;
