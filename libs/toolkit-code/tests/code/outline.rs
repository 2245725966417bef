use serde_json::json;

use crate::project::Project;

/// Compares a text with an indented literal.
fn same(actual: &str, expected: &str) {
    let indent = expected
        .lines()
        .skip(1)
        .find(|l| !l.is_empty())
        .map_or(0, |l| l.len() - l.trim_start().len());
    let expected: Vec<_> = expected
        .lines()
        .skip(1)
        .map(|l| l.get(indent..).unwrap_or(""))
        .collect();
    assert_eq!(
        actual.trim_end(),
        expected.join("\n").trim_end(),
        "\n{actual}"
    );
}

#[tokio::test]
async fn rust() {
    let project = Project::new(&[(
        "lib.rs",
        r#"//! Doc.
use std::fmt;

pub const LIMIT: usize = 3;
static NAMES: &[&str] = &[
    "a",
];

/// A guard.
#[derive(Debug)]
pub struct Guard<'a, T: ?Sized> {
    inner: &'a T,
}

pub enum State { On, Off(u8) }

pub trait Open {
    type Key;
    const ID: u8;
    fn open(&self) -> bool;
    fn close(&self) {}
}

impl<'a, T> Open for Guard<'a, T>
where
    T: Clone,
{
    type Key = u8;
    const ID: u8 = 1;
    fn open(&self) -> bool { fn inner() {} true }
}

macro_rules! twice {
    ($x:expr) => { $x; $x };
}

pub async fn long(
    first: u8,
    second: Vec<String>,
) -> Result<(), fmt::Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn works() {}
}

pub type Pair = (u8, u8);
"#,
    )]);
    same(
        &project.outline("lib.rs").await,
        "
        lib.rs (rust, 50 lines)
          4: pub const LIMIT: usize = 3
          5-7: static NAMES: &[&str] = &[
          11-13: pub struct Guard<'a, T: ?Sized>
          15: pub enum State
          17-22: pub trait Open
            18: type Key
            19: const ID: u8
            20: fn open(&self) -> bool
            21: fn close(&self)
          24-31: impl<'a, T> Open for Guard<'a, T> where T: Clone
            28: type Key = u8
            29: const ID: u8 = 1
            30: fn open(&self) -> bool
              30: fn inner()
          33-35: macro_rules! twice
          37-42: pub async fn long( first: u8, second: Vec<String>, ) -> Result<(), fmt::Error>
          45-48: mod tests
            47: fn works()
          50: pub type Pair = (u8, u8)
        ",
    );
}

#[tokio::test]
async fn python() {
    let project = Project::new(&[(
        "app.py",
        r#"import os

LIMIT = 3
cache: dict[str, int] = {}


@decorate(
    "x"
)
class Store(Base, metaclass=Meta):
    """Doc."""

    size: int = 0

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def name(self): return self.path

    async def load(
        self,
        key,
    ):
        def inner():
            pass


def main() -> int:
    value = 1
    return value
"#,
    )]);
    same(
        &project.outline("app.py").await,
        "
        app.py (python, 31 lines)
          3: LIMIT = 3
          4: cache: dict[str, int] = {}
          7-26: class Store(Base, metaclass=Meta)
            15-16: def __init__(self, path: str) -> None
            18-19: def name(self)
            21-26: async def load( self, key, )
              25-26: def inner()
          29-31: def main() -> int
        ",
    );
    let json = project
        .call("code_outline", json!({ "path": "app.py" }))
        .await
        .unwrap()
        .json;
    let kinds: Vec<_> = json["files"][0]["definitions"][2]["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| child["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["constructor", "method", "method"]);
}

#[tokio::test]
async fn javascript() {
    let project = Project::new(&[(
        "app.js",
        r#"import x from "y";

export const LIMIT = 3;
let counter = 0, other = 1;

export default class Store extends Base {
  #secret = 1;
  static create() { return new Store(); }
  constructor(path) { super(); }
  get name() { return this.path; }
  async *items() {}
}

export async function load(key) {
  const inner = () => key;
  return inner();
}

const add = (a, b) => a + b;
const handlers = {
  click: () => {},
  close() {},
};
Store.prototype.reset = function () {};
module.exports.run = (x) => { };
function* ids() {}
"#,
    )]);
    same(
        &project.outline("app.js").await,
        "
        app.js (javascript, 26 lines)
          3: export const LIMIT = 3
          4: counter = 0
          4: other = 1
          6-12: export default class Store extends Base
            8: static create()
            9: constructor(path)
            10: get name()
            11: async *items()
          14-17: export async function load(key)
            15: const inner = ()
          19: const add = (a, b)
          20-23: const handlers
            21: click: ()
            22: close()
          24: Store.prototype.reset = function ()
          25: module.exports.run = (x)
          26: function* ids()
        ",
    );
}

const TYPESCRIPT: &str = r"export interface Shape<T> extends Base {
  readonly name: string;
  area(scale?: number): number;
}
export type Id = string | number;
export enum Color { Red, Green = 2 }
export abstract class Store<T> implements Shape<T> {
  private items: Map<string, T> = new Map();
  constructor(private readonly path: string) {}
  abstract load(key: string): Promise<T>;
  public async get(key: string): Promise<T | undefined> {
    return this.items.get(key);
  }
}
namespace Inner {
  export function deep(): void {}
}
declare function external(x: number): void;
export const use = async <T,>(value: T): Promise<T> => {
  return value;
};
";

#[tokio::test]
async fn typescript() {
    let project = Project::new(&[("app.ts", TYPESCRIPT)]);
    let answer = project
        .call("code_outline", json!({ "path": "app.ts", "members": true }))
        .await
        .unwrap();
    same(
        &answer.text,
        "
        app.ts (typescript, 21 lines)
          1-4: export interface Shape<T> extends Base
            2: readonly name: string
            3: area(scale?: number): number
          5: export type Id = string | number
          6: export enum Color
            6: Red
            6: Green = 2
          7-14: export abstract class Store<T> implements Shape<T>
            8: private items: Map<string, T> = new Map()
            9: constructor(private readonly path: string)
            10: abstract load(key: string): Promise<T>
            11-13: public async get(key: string): Promise<T | undefined>
          15-17: namespace Inner
            16: export function deep(): void
          18: declare function external(x: number): void
          19-21: export const use = async <T,>(value: T): Promise<T>
        ",
    );
}

#[tokio::test]
async fn tsx() {
    let project = Project::new(&[(
        "app.tsx",
        "type Props = { title: string };
export const Page: React.FC<Props> = ({ title }) => {
  const close = () => {};
  return <main onClick={close}>{title}</main>;
};
export function App() { return <Page title=\"x\" />; }
",
    )]);
    same(
        &project.outline("app.tsx").await,
        "
        app.tsx (tsx, 6 lines)
          1: type Props = { title: string }
          2-5: export const Page: React.FC<Props> = ({ title })
            3: const close = ()
          6: export function App()
        ",
    );
}

#[tokio::test]
async fn go() {
    let project = Project::new(&[(
        "main.go",
        r#"package main

import "fmt"

const Limit = 3

const (
	A = iota
	B
)

var x, y = 1, 2

type Shape interface {
	Area(scale float64) float64
	fmt.Stringer
}

type Store[T any] struct {
	items map[string]T
}

type (
	ID   string
	Pair struct{ a, b int }
)

type Alias = Store[int]

func (s *Store[T]) Get(key string) (T, error) {
	inner := func() {}
	inner()
}

func main() {}
"#,
    )]);
    same(
        &project.outline("main.go").await,
        "
        main.go (go, 35 lines)
          5: const Limit = 3
          8: A = iota
          9: B
          12: var x, y = 1, 2
          12: var x, y = 1, 2
          14-17: type Shape interface
            15: Area(scale float64) float64
          19-21: type Store[T any] struct
          24: ID string
          25: Pair struct
          28: type Alias = Store[int]
          30-33: func (s *Store[T]) Get(key string) (T, error)
          35: func main()
        ",
    );
}

#[tokio::test]
async fn java() {
    let project = Project::new(&[(
        "Store.java",
        r#"package app;

import java.util.List;

@Deprecated
public final class Store<T extends Item> extends Base implements Closeable {
    private static final int LIMIT = 3;
    private final List<T> items, others;

    public Store(List<T> items) {
        this.items = items;
    }

    @Override
    public void close() throws IOException {}

    enum State { ON, OFF; boolean on() { return this == ON; } }

    record Point(int x, int y) {
        Point { check(x); }
    }

    interface Visitor<R> {
        R visit(Store<?> store);
    }
}

@interface Marker {
    String value() default "";
}
"#,
    )]);
    let answer = project
        .call(
            "code_outline",
            json!({ "path": "Store.java", "members": true }),
        )
        .await
        .unwrap();
    same(
        &answer.text,
        "
        Store.java (java, 30 lines)
          5-26: @Deprecated public final class Store<T extends Item> extends Base implements Closeable
            7: private static final int LIMIT = 3
            8: private final List<T> items, others
            8: private final List<T> items, others
            10-12: public Store(List<T> items)
            14-15: @Override public void close() throws IOException
            17: enum State
              17: ON
              17: OFF
              17: boolean on()
            19-21: record Point(int x, int y)
              20: Point
            23-25: interface Visitor<R>
              24: R visit(Store<?> store)
          28-30: @interface Marker
            29: String value() default \"\"
        ",
    );
}

#[tokio::test]
async fn broken_syntax_leaves_the_rest() {
    let project = Project::new(&[(
        "broken.rs",
        "fn before() {}\n\nfn broken( -> {\n    let = ;\n}\n\npub struct After { a: u8 }\n\nfn last() {}\n",
    )]);
    let text = project.outline("broken.rs").await;
    for kept in [
        "1: fn before()",
        "7: pub struct After",
        "9: fn last()",
        "Broken syntax at line 3",
    ] {
        assert!(text.contains(kept), "{kept} is missing from\n{text}");
    }
}

#[tokio::test]
async fn a_folder_several_paths_and_a_depth() {
    let project = Project::new(&[
        ("src/a.rs", "mod inner { fn deep() {} }"),
        ("src/b/c.py", "def f(): pass"),
        ("src/notes.txt", "fn no() {}"),
        ("top.go", "package top\nfunc Top() {}"),
    ]);
    let arguments = json!({ "path": "src", "paths": ["top.go", "gone.rs"], "depth": 1 });
    same(
        &project.text("code_outline", arguments).await,
        "
        src/a.rs (rust, 1 lines)
          1: mod inner
        src/b/c.py (python, 1 lines)
          1: def f()
        top.go (go, 2 lines)
          2: func Top()
        Skipped: gone.rs does not exist.
        ",
    );
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let project = Project::new(&[("a.rb", "def x; end"), ("a.rs", "")]);
    let refused = |arguments| async {
        project
            .call("code_outline", arguments)
            .await
            .err()
            .expect("it is refused")
    };
    let message = refused(json!({ "path": "a.rb" })).await;
    assert!(
        message.contains("a.rb is in no supported language"),
        "{message}"
    );
    assert!(
        message.contains("rust (.rs)") && message.contains("tsx (.tsx)"),
        "{message}"
    );
    assert_eq!(
        refused(json!({ "path": "b.rs" })).await,
        "b.rs does not exist"
    );
    assert!(refused(json!({})).await.contains("give a path"));
    let message = refused(json!({ "path": "a.rs", "root": "other" })).await;
    assert!(
        message.starts_with("there is no root \"other\"; there are: project ="),
        "{message}"
    );
    assert!(
        refused(json!({ "pat": "a.rs" }))
            .await
            .contains("unknown field `pat`")
    );
}
