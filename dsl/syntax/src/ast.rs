//! The syntax tree. One type per production of the grammar; every node knows its span.

use einmesh_diagnostics::Span;

/// A file: its items in order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct File {
    /// `use`, `dim`, `type`, `const`, `record`, `fn`, `plan`.
    pub items: Vec<Item>,
}

/// An identifier in the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The identifier.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// A text in double quotes, without them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// What stands between the quotes.
    pub text: String,
    /// Its place, quotes included.
    pub span: Span,
}

/// A top-level declaration.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// `use "llama3.ein" (V = 32000): { B, T, loss as base_loss }`
    Use(Use),
    /// `dim B, P = 1024, T: P`
    Dims(Dims),
    /// `type W = f32`
    Types(Types),
    /// `const theta = 10000.0`
    Consts(Consts),
    /// `record Linear(O, I) { weight: f32[O,I] }`
    Record(Record),
    /// `export fn forward(…) -> … { … }`
    Fn(Fn),
    /// `plan pod for loss { … }`
    Plan(Plan),
}

/// An import.
#[derive(Clone, PartialEq, Debug)]
pub struct Use {
    /// The file, relative to this one.
    pub path: Text,
    /// Dims, types and consts of the file that get other values.
    pub bindings: Vec<Binding>,
    /// What is imported.
    pub names: Imports,
    /// The whole item.
    pub span: Span,
}

/// `V = 32000` in an import.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// The imported file's name.
    pub name: Name,
    /// Its value here.
    pub value: Expr,
}

/// What an import brings into scope.
#[derive(Clone, PartialEq, Debug)]
pub enum Imports {
    /// Nothing by itself: `use "std.ein"`; names are reached by the file's stem: `std.softmax`.
    Module,
    /// `as m`: names are reached as `m.name`.
    As(Name),
    /// `: *`
    All(Span),
    /// `: { a, b as c }`
    Some(Vec<(Name, Option<Name>)>),
}

/// `dim B, P = 1024`
#[derive(Clone, PartialEq, Debug)]
pub struct Dims {
    /// The dims declared.
    pub dims: Vec<DimDecl>,
    /// The whole item.
    pub span: Span,
}

/// `T: P = 512`
#[derive(Clone, PartialEq, Debug)]
pub struct DimDecl {
    /// The dim.
    pub name: Name,
    /// The dim whose role or subrange it is.
    pub role_of: Option<Name>,
    /// Its extent; a tuple for a product.
    pub extent: Option<Expr>,
}

/// `type W = f32, A = bf16`
#[derive(Clone, PartialEq, Debug)]
pub struct Types {
    /// Each name and the dtype it stands for.
    pub types: Vec<(Name, Name)>,
    /// The whole item.
    pub span: Span,
}

/// `const eps = 1e-5, tied: bool = false`
#[derive(Clone, PartialEq, Debug)]
pub struct Consts {
    /// The constants.
    pub consts: Vec<ConstDecl>,
    /// The whole item.
    pub span: Span,
}

/// One constant.
#[derive(Clone, PartialEq, Debug)]
pub struct ConstDecl {
    /// Its name.
    pub name: Name,
    /// Its type, if given.
    pub ty: Option<Type>,
    /// Its value.
    pub value: Expr,
}

/// A record type, generic over dims.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// The dims it is generic over.
    pub generics: Vec<Name>,
    /// Its fields.
    pub fields: Vec<Field>,
    /// The whole item.
    pub span: Span,
}

/// `wte: f32[V,D] = normal(0.02) as "wte.weight" if not tied`
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: Type,
    /// Its initialiser.
    pub init: Option<Expr>,
    /// Its component in checkpoint names.
    pub rename: Option<Text>,
    /// The compile-time condition under which it exists.
    pub condition: Option<Expr>,
}

/// `f32[D,(3,H,K)]`, `Linear(F, D)`, `Block[L]`, `float[N]`
#[derive(Clone, PartialEq, Debug)]
pub struct Type {
    /// The dtype's or record's name, qualified by modules.
    pub path: Vec<Name>,
    /// Arguments of a generic record.
    pub args: Vec<Expr>,
    /// `R` of `rows(R)` and `columns(R)`, whose word is the path.
    pub of: Option<Box<Type>>,
    /// Axes; a tuple is a product axis. `None` without brackets.
    pub axes: Option<Vec<Expr>>,
    /// Its place.
    pub span: Span,
}

/// A function.
#[derive(Clone, PartialEq, Debug)]
pub struct Fn {
    /// Whether it is an entry.
    pub export: bool,
    /// Its name.
    pub name: Name,
    /// The dims it is generic over, with the dim that each is a role of.
    pub generics: Vec<(Name, Option<Name>)>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its result.
    pub result: FnResult,
    /// What it computes.
    pub body: FnBody,
    /// `fn` up to the result's type.
    pub span: Span,
}

/// `inout cache: Cache[L]`, `eps: f32 = 1e-5`
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// Whether the argument is donated and returned.
    pub inout: bool,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: Type,
    /// Its value when it is not given.
    pub default: Option<Expr>,
}

/// What a function returns.
#[derive(Clone, PartialEq, Debug)]
pub enum FnResult {
    /// One value, bound to `out` in the body.
    Single(Type),
    /// Named values, bound to their names in the body.
    Named(Vec<(Name, Type)>),
}

/// A function's body.
#[derive(Clone, PartialEq, Debug)]
pub enum FnBody {
    /// `= expr`
    Expr(Expr),
    /// `{ … }`
    Block(Block),
}

/// Statements in braces.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Block {
    /// The statements, in order.
    pub stmts: Vec<Stmt>,
}

/// A statement with its decorators.
#[derive(Clone, PartialEq, Debug)]
pub struct Stmt {
    /// Decorators before it.
    pub decorators: Vec<Decorator>,
    /// What it does.
    pub kind: StmtKind,
    /// The whole statement, without decorators.
    pub span: Span,
}

/// The kinds of statements.
#[derive(Clone, PartialEq, Debug)]
pub enum StmtKind {
    /// `q[b,t]: f32 = …`, `cache[l].k[b,s] := …`, `buf[e] += …`
    Assign {
        /// What is bound or stored to.
        lhs: Lhs,
        /// Its type, if given.
        ty: Option<Type>,
        /// How.
        op: AssignOp,
        /// The right side.
        value: Expr,
    },
    /// `(a[i], b[i]) = …`
    Unpack {
        /// What is bound.
        targets: Vec<Lhs>,
        /// The right side.
        value: Expr,
    },
    /// `for l in L reversed { … }`
    For {
        /// The counter.
        var: Name,
        /// The dim.
        over: Expr,
        /// Whether it counts down.
        reversed: bool,
        /// One iteration.
        body: Block,
    },
    /// `while cond limit N { … }`
    While {
        /// Whether to go on.
        condition: Expr,
        /// The most iterations.
        limit: Expr,
        /// One iteration.
        body: Block,
    },
    /// `if tied { … } else { … }`
    If {
        /// A compile-time condition.
        condition: Expr,
        /// When it holds.
        then: Block,
        /// When it does not; `else if` is a block of one statement.
        otherwise: Option<Block>,
    },
}

/// How an assignment assigns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AssignOp {
    /// `=` binds.
    Bind,
    /// `:=` stores.
    Store,
    /// `+=` adds into.
    Add,
    /// `max=` stores the larger.
    Max,
    /// `min=` stores the smaller.
    Min,
}

/// A left side: a name with fields and subscripts.
#[derive(Clone, PartialEq, Debug)]
pub struct Lhs {
    /// The variable.
    pub name: Name,
    /// Fields and subscripts, in order.
    pub path: Vec<LhsPart>,
    /// Its place.
    pub span: Span,
}

/// A part of a left side.
#[derive(Clone, PartialEq, Debug)]
pub enum LhsPart {
    /// `.weight`
    Field(Name),
    /// `[b, q: 1 | cond]`
    Subscript(Subscripts),
}

/// What stands in brackets.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscripts {
    /// The subscripts.
    pub subs: Vec<Subscript>,
    /// The guard after `|`.
    pub guard: Option<Box<Expr>>,
    /// Its place, brackets included.
    pub span: Span,
}

/// One subscript.
#[derive(Clone, PartialEq, Debug)]
pub enum Subscript {
    /// An index or an integer expression; a tuple subscripts a product axis.
    Expr(Expr),
    /// `j: I`, a binder with its range.
    Ranged(Name, Expr),
}

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its place. That of a parenthesised expression has the parentheses, that of what is in them not.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, PartialEq, Debug)]
pub enum ExprKind {
    /// A name: index, variable, dim, constant, function, dtype.
    Name(String),
    /// A number as written: `1e-5`, `70GiB`.
    Number(String),
    /// A text.
    Text(String),
    /// `(h, k)`, a product subscript or a product dim.
    Tuple(Vec<Expr>),
    /// `(e)`. Kept: a parenthesised product is not an atom of the Einstein rule.
    Paren(Box<Expr>),
    /// `e.name`
    Field(Box<Expr>, Name),
    /// `e[subs | guard]`
    Subscript(Box<Expr>, Subscripts),
    /// `f(a, name: b)`; `f` may be a subscripted name: `softmax[u | u <= t](s[b,u])`.
    Call(Box<Expr>, Vec<Arg>),
    /// `-e`
    Neg(Box<Expr>),
    /// `not e`
    Not(Box<Expr>),
    /// `a + b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `x[…] else v`: the value outside of `x`.
    Else(Box<Expr>, Box<Expr>),
    /// Text that could not be parsed; a diagnostic was given.
    Error,
}

/// An argument, by position or by name.
#[derive(Clone, PartialEq, Debug)]
pub struct Arg {
    /// The parameter's name, if given.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// Operators between two expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Pow,
    Mul,
    Div,
    Rem,
    Add,
    Sub,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

/// `plan pod for loss { @mesh(data: 2) … }`
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Its name.
    pub name: Name,
    /// The entry it is for, qualified by modules.
    pub entry: Vec<Name>,
    /// What it asks for.
    pub decorators: Vec<Decorator>,
    /// `plan` up to the entry.
    pub span: Span,
}

/// `@shard(data: B, tensor: [H, F, V])`
#[derive(Clone, PartialEq, Debug)]
pub struct Decorator {
    /// Its name.
    pub name: Name,
    /// Its arguments.
    pub args: Vec<DecoratorArg>,
    /// The whole decorator.
    pub span: Span,
}

/// An argument of a decorator.
#[derive(Clone, PartialEq, Debug)]
pub struct DecoratorArg {
    /// The key before the colon, if there is one.
    pub key: Option<Name>,
    /// The value.
    pub value: DecoratorValue,
    /// The whole argument.
    pub span: Span,
}

/// The value of a decorator's argument.
#[derive(Clone, PartialEq, Debug)]
pub enum DecoratorValue {
    /// An expression.
    Expr(Expr),
    /// `[H, F, V]`, `[B: data, ..]`
    List(Vec<DecoratorItem>),
}

/// An element of a decorator's list.
#[derive(Clone, PartialEq, Debug)]
pub enum DecoratorItem {
    /// `H`
    Expr(Expr),
    /// `B: data`, `T: [data, tensor]`
    Placed(Name, Vec<Name>),
    /// `..`
    Rest(Span),
}
