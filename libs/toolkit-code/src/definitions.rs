//! Finds the definitions in a syntax tree.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    time::Instant,
};

use tree_sitter::{Node, QueryCursor, QueryCursorOptions, QueryMatch, StreamingIterator, Tree};

use waybill_workspace::Job;

use crate::{
    job,
    kind::{Capture, Kind},
    language::Grammar,
    limits::{CONTAINER_NAMES, FILE_DEFINITIONS, PARSE_TIME, SIGNATURE_BYTES},
    scope::Visited,
    source::{Text, cut},
};

/// The definitions of one file, in the order of the text.
pub(crate) struct Definitions<'t> {
    pub(crate) list: Vec<Definition<'t>>,
    /// The nodes of names that are bound locally.
    bindings: HashSet<usize>,
    /// The nodes of defined names. An `impl` names its type and defines no name.
    names: HashSet<usize>,
    /// Whether a limit left some out.
    cut: bool,
}

pub(crate) struct Definition<'t> {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// With its decorators and `export`, as far as they are one node with it.
    pub(crate) node: Node<'t>,
    /// Without them.
    core: Node<'t>,
    name_node: Node<'t>,
    /// The type that a method outside of it belongs to (Go).
    receiver: Option<String>,
    /// Index of the definition around this one.
    pub(crate) parent: Option<usize>,
}

/// What the matches of a query tell.
#[derive(Default)]
struct Matched<'t> {
    /// By the node of the name.
    found: HashMap<usize, Found<'t>>,
    bindings: HashSet<usize>,
    /// The node around a node, by the inner one.
    wrappers: HashMap<usize, Node<'t>>,
    cut: bool,
}

struct Found<'t> {
    pattern: usize,
    kind: Kind,
    node: Node<'t>,
    name: Node<'t>,
    receiver: Option<Node<'t>>,
}

impl<'t> Matched<'t> {
    fn find(grammar: &Grammar, tree: &'t Tree, text: &Text, job: &Job) -> Self {
        let until = Instant::now() + PARSE_TIME;
        let mut late = false;
        let mut flow = |_: &tree_sitter::QueryCursorState| {
            let flow = job::flow(job, until);
            late |= flow.is_break();
            flow
        };
        let options = QueryCursorOptions::new().progress_callback(&mut flow);
        let (root, bytes) = (tree.root_node(), text.0.as_slice());
        let mut cursor = QueryCursor::new();
        let mut matches = cursor.matches_with_options(&grammar.query, root, bytes, options);
        let mut matched = Self::default();
        while let Some(this) = matches.next() {
            matched.add(grammar, this);
        }
        drop(matches);
        matched.cut |= late;
        matched
    }

    fn add(&mut self, grammar: &Grammar, matched: &QueryMatch<'_, 't>) {
        let (mut kind, mut name, mut receiver) = (None, None, None);
        let (mut outer, mut inner) = (None, None);
        for capture in matched.captures() {
            let node = capture.node;
            match grammar.captures.meaning(capture.index) {
                Capture::Name => name = Some(node),
                Capture::Definition(this) => kind = Some((this, node)),
                Capture::Container => receiver = Some(node),
                Capture::Binding => drop(self.bindings.insert(node.id())),
                Capture::Wrapper => outer = Some(node),
                Capture::Wrapped => inner = Some(node),
            }
        }
        if let (Some(outer), Some(inner)) = (outer, inner)
            && holds_only_one(outer)
        {
            self.wrappers.insert(inner.id(), outer);
        }
        let (Some((kind, node)), Some(name)) = (kind, name) else {
            return;
        };
        let pattern = matched.pattern_index;
        let known = self.found.get(&name.id());
        if known.is_some_and(|known| known.pattern <= pattern) {
            return;
        }
        if self.found.len() >= FILE_DEFINITIONS {
            self.cut = true;
            return;
        }
        self.found.insert(
            name.id(),
            Found {
                pattern,
                kind,
                node,
                name,
                receiver,
            },
        );
    }

    fn outermost(&self, mut node: Node<'t>) -> Node<'t> {
        while let Some(outer) = self.wrappers.get(&node.id()) {
            node = *outer;
        }
        node
    }
}

impl<'t> Definitions<'t> {
    pub(crate) fn find(grammar: &Grammar, tree: &'t Tree, text: &Text, job: &Job) -> Self {
        let mut matched = Matched::find(grammar, tree, text, job);
        let found = std::mem::take(&mut matched.found);
        let found = found
            .into_values()
            .map(|found| (matched.outermost(found.node), found));
        let list = nested(found.collect(), text);
        let names = list
            .iter()
            .filter(|d| d.kind != Kind::Impl)
            .map(|d| d.name_node.id());
        let names = names.collect();
        Self {
            list,
            names,
            bindings: matched.bindings,
            cut: matched.cut,
        }
    }

    pub(crate) fn visited(&self) -> Visited {
        if self.cut {
            Visited::Partly
        } else {
            Visited::Whole
        }
    }

    pub(crate) fn defines(&self, name: Node<'_>) -> bool {
        self.names.contains(&name.id())
    }

    pub(crate) fn binds(&self, name: Node<'_>) -> bool {
        self.bindings.contains(&name.id())
    }

    /// Where a definition stands: `outer.inner`, without itself. `None` at the top of the file.
    /// Only the innermost names of a deep nest.
    pub(crate) fn container(&self, index: usize) -> Option<String> {
        let definition = &self.list[index];
        let mut names: Vec<&str> = definition.receiver.as_deref().into_iter().collect();
        let mut parent = definition.parent;
        while let Some(index) = parent {
            if names.len() == CONTAINER_NAMES {
                names.push("…");
                break;
            }
            names.push(&self.list[index].name);
            parent = self.list[index].parent;
        }
        names.reverse();
        (!names.is_empty()).then(|| names.join("."))
    }

    /// The full name of the innermost definition around a node, data members aside.
    pub(crate) fn around(&self, node: Node<'_>) -> Option<String> {
        let (start, end) = (node.start_byte(), node.end_byte());
        let after = self.list.partition_point(|d| d.node.start_byte() <= start);
        let mut index = after.checked_sub(1);
        while let Some(at) = index {
            let definition = &self.list[at];
            let holds = definition.node.end_byte() >= end;
            if holds && !definition.kind.is_member() && definition.name_node.id() != node.id() {
                return Some(match self.container(at) {
                    Some(container) => format!("{container}.{}", definition.name),
                    None => definition.name.clone(),
                });
            }
            index = definition.parent;
        }
        None
    }
}

impl Definition<'_> {
    pub(crate) fn line(&self) -> usize {
        self.node.start_position().row + 1
    }

    /// The last line, from 1. A node that ends with its newline does not hold the next line.
    pub(crate) fn end_line(&self) -> usize {
        let end = self.node.end_position();
        let row = if end.column == 0 {
            end.row.saturating_sub(1)
        } else {
            end.row
        };
        row.max(self.node.start_position().row) + 1
    }

    /// The definition without its body, on one line.
    pub(crate) fn signature(&self, text: &Text) -> String {
        let outer = if self.node.kind() == "decorated_definition" {
            self.core
        } else {
            self.node
        };
        let start = outer.start_byte();
        let limit = outer.end_byte().min(start + SIGNATURE_BYTES);
        let end = match body(self.core) {
            Some(body) if body.start_byte() > self.name_node.start_byte() => {
                body.start_byte().min(limit)
            }
            _ if self.is_code() => limit,
            _ => first_line(text, start, limit),
        };
        let line = String::from_utf8_lossy(&text.0[start..end]);
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = line.trim_end_matches(['{', ';', ',', ' ']);
        cut(line
            .strip_suffix("=>")
            .unwrap_or(line)
            .trim_end_matches([':', '=', ' ']))
    }

    fn is_code(&self) -> bool {
        matches!(self.kind, Kind::Function | Kind::Method | Kind::Constructor)
    }
}

/// In the order of the text, outer before inner, each with the one around it. Takes each with its
/// wrappers' node.
fn nested<'t>(mut found: Vec<(Node<'t>, Found<'t>)>, text: &Text) -> Vec<Definition<'t>> {
    found.sort_by_key(|(node, f)| {
        (
            node.start_byte(),
            Reverse(node.end_byte()),
            f.name.start_byte(),
        )
    });
    let mut list: Vec<Definition<'t>> = Vec::with_capacity(found.len());
    let mut open: Vec<usize> = Vec::new();
    for (
        node,
        Found {
            mut kind,
            node: core,
            name,
            receiver,
            ..
        },
    ) in found
    {
        while open
            .last()
            .is_some_and(|last| !is_inside(node, list[*last].node))
        {
            open.pop();
        }
        let parent = open.last().copied();
        if kind == Kind::Function && parent.is_some_and(|index| list[index].kind.has_methods()) {
            kind = Kind::Method;
        }
        open.push(list.len());
        list.push(Definition {
            kind,
            name: name_of(kind, name, text),
            node,
            core,
            name_node: name,
            receiver: receiver.map(|node| text.of(node)),
            parent,
        });
    }
    list
}

/// Several names of one declaration stand beside each other.
fn is_inside(node: Node<'_>, outer: Node<'_>) -> bool {
    node.end_byte() <= outer.end_byte() && node.byte_range() != outer.byte_range()
}

/// `impl<T> Deref for Guard<T>` is found by `Guard`.
fn name_of(kind: Kind, name: Node<'_>, text: &Text) -> String {
    let generic = kind == Kind::Impl && name.kind() == "generic_type";
    let bare = generic.then(|| name.child_by_field_name("type")).flatten();
    cut(&text.of(bare.unwrap_or(name)))
}

/// Go's parentheses start a group, even of one.
fn holds_only_one(wrapper: Node<'_>) -> bool {
    match wrapper.kind() {
        "lexical_declaration"
        | "variable_declaration"
        | "const_declaration"
        | "var_declaration"
        | "type_declaration" => {
            wrapper.named_child_count() == 1 && wrapper.child(1).is_none_or(|c| c.kind() != "(")
        }
        _ => true,
    }
}

/// The body of a definition or of the function that it is set to.
fn body(definition: Node<'_>) -> Option<Node<'_>> {
    let inside = |field| {
        definition
            .child_by_field_name(field)?
            .child_by_field_name("body")
    };
    definition
        .child_by_field_name("body")
        .or_else(|| ["value", "right"].into_iter().find_map(inside))
        .or_else(|| braces(definition))
}

/// The bodies of Go's types have no field name.
fn braces(node: Node<'_>) -> Option<Node<'_>> {
    let kind = node.child_by_field_name("type")?;
    match kind.kind() {
        "interface_type" => (0..kind.child_count())
            .filter_map(|i| kind.child(i))
            .find(|c| c.kind() == "{"),
        "struct_type" => kind.named_child(0),
        _ => None,
    }
}

fn first_line(text: &Text, start: usize, limit: usize) -> usize {
    text.0[start..limit]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(limit, |n| start + n)
}
