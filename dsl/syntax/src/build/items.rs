//! Items.

use super::{Builder, Children};
use crate::ast::*;
use crate::grammar::Rule;
use pest::iterators::Pair;

impl Builder<'_> {
    /// The tree of an item.
    pub(crate) fn item(&mut self, pair: Pair<'_, Rule>) -> Item {
        match pair.as_rule() {
            Rule::use_item => Item::Use(self.use_item(pair)),
            Rule::dims => Item::Dims(self.dims(pair)),
            Rule::types => Item::Types(self.types(pair)),
            Rule::consts => Item::Consts(self.consts(pair)),
            Rule::record => Item::Record(self.record(pair)),
            Rule::function => Item::Fn(self.function(pair)),
            Rule::plan => Item::Plan(self.plan(pair)),
            rule => unreachable!("{rule:?} is not an item"),
        }
    }

    fn use_item(&mut self, pair: Pair<'_, Rule>) -> Use {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let path = self.text(children.required());
        let (mut bindings, mut names) = (Vec::new(), Imports::Module);
        for child in children {
            match child.as_rule() {
                Rule::binding => {
                    let mut parts = Children::of(child);
                    bindings.push(Binding {
                        name: self.name(parts.required()),
                        value: self.expr(parts.required()),
                    });
                }
                Rule::use_as => names = Imports::As(self.name(Children::of(child).required())),
                Rule::use_all => names = Imports::All(self.span(&child)),
                _ => {
                    names =
                        Imports::Some(Children::of(child).map(|name| self.use_name(name)).collect())
                }
            }
        }
        Use { path, bindings, names, span }
    }

    fn use_name(&mut self, pair: Pair<'_, Rule>) -> (Name, Option<Name>) {
        let mut children = Children::of(pair);
        (self.name(children.required()), children.next().map(|name| self.name(name)))
    }

    fn dims(&mut self, pair: Pair<'_, Rule>) -> Dims {
        let span = self.span(&pair);
        let dims = Children::of(pair)
            .map(|dim| {
                let mut children = Children::of(dim);
                let name = self.name(children.required());
                let role_of = self.role(&mut children);
                DimDecl { name, role_of, extent: children.next().map(|extent| self.expr(extent)) }
            })
            .collect();
        Dims { dims, span }
    }

    fn role(&mut self, children: &mut Children<'_>) -> Option<Name> {
        children.optional(Rule::role).map(|role| self.name(Children::of(role).required()))
    }

    fn types(&mut self, pair: Pair<'_, Rule>) -> Types {
        let span = self.span(&pair);
        let types = Children::of(pair)
            .map(|alias| {
                let mut children = Children::of(alias);
                (self.name(children.required()), self.name(children.required()))
            })
            .collect();
        Types { types, span }
    }

    fn consts(&mut self, pair: Pair<'_, Rule>) -> Consts {
        let span = self.span(&pair);
        let consts = Children::of(pair)
            .map(|constant| {
                let mut children = Children::of(constant);
                let name = self.name(children.required());
                let ty = children.optional(Rule::type_).map(|ty| self.ty(ty));
                ConstDecl { name, ty, value: self.expr(children.required()) }
            })
            .collect();
        Consts { consts, span }
    }

    fn record(&mut self, pair: Pair<'_, Rule>) -> Record {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let (name, generics) = self.record_head(children.required());
        Record { name, generics, fields: children.map(|field| self.field(field)).collect(), span }
    }

    /// A record's name and the dims it is generic over.
    pub(crate) fn record_head(&mut self, pair: Pair<'_, Rule>) -> (Name, Vec<Name>) {
        let mut children = Children::of(pair);
        (self.name(children.required()), children.map(|name| self.name(name)).collect())
    }

    /// A field of a record.
    pub(crate) fn field(&mut self, pair: Pair<'_, Rule>) -> Field {
        let mut children = Children::of(pair);
        Field {
            name: self.name(children.required()),
            ty: self.ty(children.required()),
            init: children.optional(Rule::expr).map(|init| self.expr(init)),
            rename: children.optional(Rule::string).map(|text| self.text(text)),
            condition: children
                .next()
                .map(|condition| self.expr(Children::of(condition).required())),
        }
    }

    fn function(&mut self, pair: Pair<'_, Rule>) -> Fn {
        let mut children = Children::of(pair);
        let mut function = self.fn_head(children.required());
        let body = children.required();
        function.body = match body.as_rule() {
            Rule::expr => FnBody::Expr(self.expr(body)),
            _ => FnBody::Block(self.block(body, 0)),
        };
        function
    }

    /// A function with an empty body.
    pub(crate) fn fn_head(&mut self, pair: Pair<'_, Rule>) -> Fn {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let export = children.optional(Rule::kw_export).is_some();
        let mut parts = Children::of(children.required());
        let name = self.name(parts.required());
        let (mut generics, mut params) = (Vec::new(), Vec::new());
        for part in parts {
            if part.as_rule() == Rule::generics {
                generics = Children::of(part).map(|generic| self.generic(generic)).collect();
            } else {
                params = Children::of(part).map(|param| self.param(param)).collect();
            }
        }
        let result = children.required();
        let result = match result.as_rule() {
            Rule::type_ => FnResult::Single(self.ty(result)),
            _ => FnResult::Named(Children::of(result).map(|result| self.result(result)).collect()),
        };
        Fn { export, name, generics, params, result, body: FnBody::Block(Block::default()), span }
    }

    fn generic(&mut self, pair: Pair<'_, Rule>) -> (Name, Option<Name>) {
        let mut children = Children::of(pair);
        (self.name(children.required()), self.role(&mut children))
    }

    fn param(&mut self, pair: Pair<'_, Rule>) -> Param {
        let mut children = Children::of(pair);
        Param {
            inout: children.optional(Rule::kw_inout).is_some(),
            name: self.name(children.required()),
            ty: self.ty(children.required()),
            default: children.next().map(|default| self.expr(default)),
        }
    }

    fn result(&mut self, pair: Pair<'_, Rule>) -> (Name, Type) {
        let mut children = Children::of(pair);
        (self.name(children.required()), self.ty(children.required()))
    }

    /// A type.
    pub(crate) fn ty(&mut self, pair: Pair<'_, Rule>) -> Type {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let word = |this: &Self, text: &str, pair: &Pair<'_, Rule>| {
            vec![Name { text: text.to_owned(), span: this.span(pair) }]
        };
        let mut of = None;
        let path = if let Some(any) = children.optional(Rule::any_record) {
            word(self, "record", &any)
        } else if let Some(part_of) = children.optional(Rule::part_of) {
            let mut parts = Children::of(part_of);
            let part = parts.required();
            of = Some(Box::new(self.ty(Children::of(parts.required()).required())));
            word(self, part.as_str(), &part)
        } else {
            self.path(children.required())
        };
        let (mut args, mut axes) = (Vec::new(), None);
        for child in children {
            if child.as_rule() == Rule::type_args {
                args = Children::of(child).map(|arg| self.expr(arg)).collect();
            } else {
                axes = Some(Children::of(child).map(|axis| self.expr(axis)).collect());
            }
        }
        Type { path, args, of, axes, span }
    }

    fn path(&mut self, pair: Pair<'_, Rule>) -> Vec<Name> {
        Children::of(pair).map(|name| self.name(name)).collect()
    }

    fn plan(&mut self, pair: Pair<'_, Rule>) -> Plan {
        let mut children = Children::of(pair);
        let mut plan = self.plan_head(children.required());
        plan.decorators = children.map(|decorator| self.decorator(decorator)).collect();
        plan
    }

    /// A plan without decorators.
    pub(crate) fn plan_head(&mut self, pair: Pair<'_, Rule>) -> Plan {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let name = self.name(children.required());
        Plan { name, entry: self.path(children.required()), decorators: Vec::new(), span }
    }

    /// A decorator.
    pub(crate) fn decorator(&mut self, pair: Pair<'_, Rule>) -> Decorator {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let name = self.name(children.required());
        let args = children
            .next()
            .into_iter()
            .flat_map(Children::of)
            .map(|arg| self.decorator_arg(arg))
            .collect();
        Decorator { name, args, span }
    }

    fn decorator_arg(&mut self, pair: Pair<'_, Rule>) -> DecoratorArg {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let key = children.optional(Rule::name).map(|name| self.name(name));
        let value = children.required();
        let value = match value.as_rule() {
            Rule::list => {
                DecoratorValue::List(Children::of(value).map(|item| self.list_item(item)).collect())
            }
            _ => DecoratorValue::Expr(self.expr(value)),
        };
        DecoratorArg { key, value, span }
    }

    fn list_item(&mut self, pair: Pair<'_, Rule>) -> DecoratorItem {
        let item = Children::of(pair).required();
        match item.as_rule() {
            Rule::rest => DecoratorItem::Rest(self.span(&item)),
            Rule::placed => {
                let mut names = Children::of(item).map(|name| self.name(name));
                let dim = names.next().expect("the grammar requires the dim");
                DecoratorItem::Placed(dim, names.collect())
            }
            _ => DecoratorItem::Expr(self.expr(item)),
        }
    }
}
