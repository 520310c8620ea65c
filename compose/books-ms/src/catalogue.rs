//! The books.

use serde::Serialize;

/// One book.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Book {
    /// Its number in the catalogue.
    pub id: u32,
    /// Its title.
    pub title: &'static str,
    /// Who wrote it.
    pub author: &'static str,
}

/// Every book there is.
pub const BOOKS: [Book; 3] = [
    Book { id: 1, title: "Frankenstein", author: "Mary Shelley" },
    Book { id: 2, title: "Middlemarch", author: "George Eliot" },
    Book { id: 3, title: "Emma", author: "Jane Austen" },
];
