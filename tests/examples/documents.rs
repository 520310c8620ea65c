//! Markdown, as much of it as is needed: fenced blocks, tables, links.

use crate::text;

/// A fenced block.
pub struct Block {
    pub language: String,
    pub text: String,
}

pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in document.lines() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(language), false) => {
                open = true;
                blocks.push(Block { language: language.to_owned(), text: String::new() });
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a block is never closed");
    blocks
}

/// The one block in `language` that has all of `words`.
pub fn block(document: &str, language: &str, words: &[&str]) -> String {
    let fits =
        |block: &Block| block.language == language && words.iter().all(|w| block.text.contains(w));
    let mut found: Vec<Block> = blocks(document).into_iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{language} with {words:?}");
    found.remove(0).text
}

/// The rows of the table whose first heading is `first`.
pub fn table(document: &str, first: &str) -> Vec<Vec<String>> {
    let start = format!("| {first} |");
    let rows = document.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// What links lead to.
fn links(document: &str) -> Vec<&str> {
    let parts = document.split("](").skip(1);
    parts.filter_map(|part| part.split_once(')').map(|(link, _)| link)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "docs/reliability.md", "fuzz/README.md"] {
        let text = text(document);
        let here = crate::project(document);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let path = link.split('#').next().unwrap();
            let there = here.parent().unwrap().join(path);
            assert!(there.exists(), "{document}: {link}");
        }
    }
}
