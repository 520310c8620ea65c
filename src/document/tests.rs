//! Texts become trees, and trees records.

use super::{At, Node, Problems, Read, ScalarKind, Value, parse_toml, parse_yaml, record};

fn yaml(text: &str) -> Node {
    let mut problems = Problems::default();
    let node = parse_yaml("a.yml", text, &mut problems);
    problems.or(node).unwrap_or_else(|problems| panic!("{problems}"))
}

fn text<'a>(node: &'a Node, path: &str) -> &'a str {
    let node = path.split('.').fold(node, |node, key| node.get(key).expect(key));
    match &node.value {
        Value::Scalar(scalar) => &scalar.text,
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn scalars_keep_the_text_they_were_written_with() {
    let root = yaml("a: 1.10\nb: 0440\nc: yes\nd: '~'\ne: !!str null\nf: 2024-01-01\n");
    for (key, expected) in
        [("a", "1.10"), ("b", "0440"), ("c", "yes"), ("d", "~"), ("e", "null"), ("f", "2024-01-01")]
    {
        assert_eq!(text(&root, key), expected);
    }
    let root = yaml("a:\nb: ~\nc: null\n");
    assert!(root.entries().iter().all(|entry| matches!(entry.value.value, Value::Null)));
}

#[test]
fn own_keys_win_over_merged_ones_and_earlier_merges_over_later() {
    let root = yaml(
        "one: &one { a: 1, b: 1, c: 1 }\n\
         two: &two { b: 2, c: 2, d: 2 }\n\
         all:\n  <<: [*one, *two]\n  c: own\n\
         plain: { '<<': text }\n",
    );
    for (key, expected) in [("a", "1"), ("b", "1"), ("c", "own"), ("d", "2")] {
        assert_eq!(text(&root, &format!("all.{key}")), expected);
    }
    assert_eq!(text(&root, "plain.<<"), "text");
}

#[test]
fn an_alias_has_the_place_of_its_anchor_and_the_key_of_its_use() {
    let root = yaml("base: &base\n  - { a: 1 }\nuse: *base\n");
    let Value::List(items) = &root.get("use").expect("use").value else { panic!() };
    let place = &items[0].get("a").expect("a").place;
    assert_eq!((place.line, place.column, &*place.key), (2, 10, "use[0].a"));
}

#[test]
fn columns_count_characters() {
    let root = yaml("é: { ü: x }\n");
    let place = &root.get("é").and_then(|node| node.get("ü")).expect("ü").place;
    assert_eq!((place.line, place.column), (1, 9));
    let mut problems = Problems::default();
    let root = parse_toml("a.toml", "é = 1\n", &mut problems);
    assert!(root.is_none(), "bare keys are ASCII");
    let root = parse_toml("a.toml", "a = \"é\" # x\n'b' = { c = 1 }\n", &mut Problems::default());
    let root = root.expect("valid");
    let place = &root.get("b").and_then(|node| node.get("c")).expect("c").place;
    assert_eq!((place.line, place.column, &*place.key), (2, 13, "b.c"));
}

#[test]
fn toml_tells_its_kinds_apart() {
    let text = "a = 0x10\nb = 1_000\nc = 1.5\nd = true\ne = 2024-01-01\nf = 'x'\n";
    let root = parse_toml("a.toml", text, &mut Problems::default()).expect("valid");
    let found: Vec<_> = root
        .entries()
        .iter()
        .map(|entry| match &entry.value.value {
            Value::Scalar(scalar) => (scalar.text.as_str(), scalar.kind),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("16", ScalarKind::Number),
        ("1000", ScalarKind::Number),
        ("1.5", ScalarKind::Number),
        ("true", ScalarKind::Boolean),
        ("2024-01-01", ScalarKind::Time),
        ("x", ScalarKind::Text),
    ];
    assert_eq!(found, expected);
}

record! {
    struct Shelf is extensible {
        name: String,
        books: Vec<At<u8>>,
        r#type: Option<String>,
        depth as "depth-cm": Option<u8>,
    }
}

fn shelf(text: &str) -> Result<Shelf, Problems> {
    let mut problems = Problems::default();
    let node = parse_yaml("a.yml", text, &mut problems);
    let shelf = node.and_then(|node| Shelf::read(&node, &mut problems));
    problems.or(shelf)
}

#[test]
fn a_record_reads_itself() {
    let shelf =
        shelf("name: top\nbooks: [1, 2]\ntype: wood\ndepth-cm: 30\nx-note: any\n").expect("valid");
    assert_eq!((shelf.name.as_str(), shelf.depth), ("top", Some(30)));
    assert_eq!(shelf.r#type.as_deref(), Some("wood"));
    assert_eq!(shelf.books[1].place.column, 12);
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_text() {
    let problems = shelf("books: [1, many, 300]\ntipe: wood\ndepth-cm: [1]\n").expect_err("wrong");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "a.yml:1:1: `name` is missing; add `name`",
            "a.yml:1:12: books[1]: `many` is not a whole number: it has other characters than \
             digits; write for example `3`",
            "a.yml:1:18: books[2]: `300` is not a whole number: it is too large; write for example \
             `3`",
            "a.yml:2:1: tipe: unknown key `tipe`; did you mean `type`?",
            "a.yml:3:11: depth-cm: found a list where a whole number is needed; write a whole \
             number",
        ]
    );
}

#[test]
fn what_was_reported_is_not_reported_again() {
    let problems = shelf("name: *nobody\n").expect_err("wrong");
    assert_eq!(problems.len(), 1, "{problems}");
}

#[test]
fn long_and_hostile_values_stay_on_one_line() {
    let value = format!("\"1\\n\\e[31m{}\"", "x".repeat(100));
    let problems = shelf(&format!("name: a\nbooks: [{value}]\n")).expect_err("wrong").to_string();
    assert!(!problems.contains(char::is_control), "{problems:?}");
    assert!(problems.contains('…'), "{problems}");
}
