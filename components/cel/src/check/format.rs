//! Templates that are written out, with the list of what is put into them.
use super::Checker;
use crate::functions::{Clause, Piece, pieces};
use crate::node::{Node, Op};
use crate::syntax::{Expr, ExprKind, Issue, Literal};

impl Checker<'_> {
    /// What `format` could never do with its arguments, whose nodes are given. It is told of an expression that is sound
    /// otherwise.
    pub(super) fn check_format(&mut self, at: u32, template: &Expr, args: &[Expr], nodes: &[Node]) {
        let (ExprKind::Literal(Literal::String(template)), [list], [_, list_node]) =
            (&template.kind, args, nodes)
        else {
            return;
        };
        let (ExprKind::List(items), Op::List(item_nodes)) = (&list.kind, &list_node.op) else {
            return;
        };
        if let Err((at, message)) = self.formatted(at, template, items, item_nodes) {
            self.later.push(Issue {
                at: Some(at),
                message,
            });
        }
    }

    fn formatted(
        &self,
        at: u32,
        template: &str,
        items: &[(Expr, bool)],
        nodes: &[(Node, bool)],
    ) -> Result<(), (u32, String)> {
        let mut seen = 0;
        for piece in pieces(template) {
            let clause = match piece {
                Piece::Text(_) => continue,
                Piece::Clause(clause) => Some(clause),
                Piece::End => None,
            };
            seen += 1;
            let clause = clause.ok_or_else(|| (at, "unexpected end of string".to_owned()))?;
            let (Some((item, _)), Some((node, _))) = (items.get(seen - 1), nodes.get(seen - 1)) else {
                return Err((at, format!("index {} out of range", seen - 1)));
            };
            self.fits(clause.map_err(|why| (at, why))?, item, node)?;
        }
        if items.len() > seen {
            let given = items.len();
            let why = format!("too many arguments supplied to string.format (expected {seen}, got {given})");
            return Err((at, why));
        }
        Ok(())
    }

    /// Whether a clause takes an argument, and what is written out in it.
    fn fits(&self, clause: Clause, expr: &Expr, node: &Node) -> Result<(), (u32, String)> {
        let ty = self.infer.resolve(&node.ty);
        if !clause.takes(&ty) {
            return Err((expr.at, clause.mismatch(&ty)));
        }
        if !clause.is_plain() {
            return Ok(());
        }
        match (&expr.kind, &node.op) {
            (ExprKind::List(items), Op::List(nodes)) => {
                let mut pairs = items.iter().zip(nodes);
                pairs.try_for_each(|((item, _), (node, _))| self.fits(clause, item, node))
            }
            (ExprKind::Map(entries), Op::Map(nodes)) => {
                let mut pairs = entries.iter().zip(nodes);
                pairs.try_for_each(|((key, value, _), (key_node, value_node, _))| {
                    self.fits(clause, key, key_node)?;
                    self.fits(clause, value, value_node)
                })
            }
            _ => Ok(()),
        }
    }
}
