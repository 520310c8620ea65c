/// Declares records: structs whose fields are the keys of a table, read all at once with every
/// problem reported. An optional key has an `Option` or `Vec` type. `as "key"` gives a field another
/// key; `extensible` lets `x-` keys pass; `refuses` names a function that knows keys which are not
/// supported here, with the reason.
macro_rules! record {
    ($(
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident $(is $extensible:ident)? $(refuses $refuse:path)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident $(as $key:literal)? : $type:ty
            ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl $crate::document::Read for $name {
            fn read(
                node: &$crate::document::Node,
                problems: &mut $crate::document::Problems,
            ) -> Option<Self> {
                let mut table = $crate::document::Table::open(node, problems)?;
                $(
                    let $field = table.take::<$type>(
                        $crate::document::record!(@key $field $($key)?),
                        problems,
                    );
                )*
                table.close(
                    $crate::document::record!(@extensible $($extensible)?),
                    $crate::document::record!(@refuse $($refuse)?),
                    problems,
                );
                Some(Self { $( $field: $field?, )* })
            }
        }
    )*};
    (@key $field:ident) => {
        stringify!($field).trim_start_matches("r#")
    };
    (@key $field:ident $key:literal) => {
        $key
    };
    (@refuse) => {
        $crate::document::Refusal::none
    };
    (@refuse $refuse:path) => {
        $refuse
    };
    (@extensible) => {
        false
    };
    (@extensible extensible) => {
        true
    };
}
pub(crate) use record;
