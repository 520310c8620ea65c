use crate::document::{At, Node, Problems, Read, Value, record};

use super::super::leaves::Mode;

/// A secret or a config in a service.
#[derive(Debug, Clone)]
pub(crate) struct FileUse {
    /// The key it has in the file.
    pub source: At<String>,
    pub target: Option<At<String>>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mode: Option<Mode>,
}

record! {
    /// The long form.
    struct FileRecord is extensible {
        source: At<String>,
        target: Option<At<String>>,
        uid: Option<u32>,
        gid: Option<u32>,
        mode: Option<Mode>,
    }
}

impl Read for FileUse {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Table(_) = node.value {
            let FileRecord { source, target, uid, gid, mode } = FileRecord::read(node, problems)?;
            return Some(Self { source, target, uid, gid, mode });
        }
        let source = At::read(node, problems)?;
        Some(Self { source, target: None, uid: None, gid: None, mode: None })
    }
}
