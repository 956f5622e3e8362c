//! Random programs, and what of a tree is independent of places.
// Each test binary uses a part of it.
#![allow(dead_code)]

use einmesh_diagnostics::FileId;
use einmesh_syntax::ast::File;

/// The time that this thread has run on a processor, in milliseconds, so that other load on the machine
/// does not count; where the system does not say, the time that has passed.
pub fn milliseconds(of: impl FnOnce()) -> u64 {
    let on_processor = || -> Option<u64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let (before, started) = (on_processor(), std::time::Instant::now());
    of();
    match (before, on_processor()) {
        (Some(before), Some(after)) => (after - before) / 1_000_000,
        _ => started.elapsed().as_millis() as u64,
    }
}

/// How many cases to try; `EINMESH_CASES` multiplies it.
pub fn cases(count: u64) -> u64 {
    let factor = std::env::var("EINMESH_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    count * factor
}

/// SplitMix64: the same programs in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Writes a random program: any production, any white space and comments that the grammar allows.
pub struct Writer {
    pub random: Random,
    /// The text so far; also what white space may not be added to.
    pub out: String,
    /// Whether to write comments and line breaks at random.
    wild: bool,
}

impl Writer {
    pub fn program(seed: u64) -> String {
        let mut random = Random(seed);
        let wild = random.chance(70);
        let mut writer = Writer { random, out: String::new(), wild };
        for _ in 0..writer.random.below(6) + 1 {
            writer.item();
            writer.out.push('\n');
        }
        writer.out
    }

    /// A token after a space of some kind.
    fn put(&mut self, token: &str) {
        self.space();
        self.out.push_str(token);
    }

    /// A token that touches the one before.
    fn touch(&mut self, token: &str) {
        self.out.push_str(token);
    }

    fn space(&mut self) {
        if !self.wild {
            self.out.push(' ');
            return;
        }
        match self.random.below(40) {
            0 => self.out.push('\n'),
            1 => self.out.push_str("\n\n\n   "),
            2 => self.out.push_str(" // trailing\n"),
            3 => self.out.push_str("\n  // own line  \n"),
            4 => self.out.push_str("\t "),
            5 => self.out.push_str("   "),
            6 => self.out.push_str("\n//x\n\n // y é\n"),
            _ => self.out.push(' '),
        }
    }

    fn name(&mut self) -> &'static str {
        self.random.pick(&[
            "a",
            "b",
            "bx",
            "longer_name",
            "forward",
            "inner",
            "max",
            "min",
            "x2",
            "_",
            "notes",
            "ifx",
            "T",
        ])
    }

    fn list(&mut self, most: usize, mut element: impl FnMut(&mut Self)) {
        let count = self.random.below(most) + 1;
        for i in 0..count {
            if i > 0 {
                self.put(",");
            }
            element(self);
        }
    }

    fn some_name(&mut self) {
        let name = self.name();
        self.put(name);
    }

    fn item(&mut self) {
        match self.random.below(9) {
            0 => self.import(),
            1 => {
                self.put("dim");
                self.list(4, |w| {
                    w.some_name();
                    if w.random.chance(30) {
                        w.put(":");
                        w.some_name();
                    }
                    if w.random.chance(50) {
                        w.put("=");
                        w.expr(2);
                    }
                });
            }
            2 => {
                self.put("type");
                self.list(3, |w| {
                    w.some_name();
                    w.put("=");
                    w.some_name();
                });
            }
            3 => {
                self.put("const");
                self.list(3, |w| {
                    w.some_name();
                    if w.random.chance(30) {
                        w.put(":");
                        w.ty();
                    }
                    w.put("=");
                    w.expr(2);
                });
            }
            4 | 5 => self.record(),
            6 => {
                self.put("plan");
                self.some_name();
                self.put("for");
                self.some_name();
                self.put("{");
                for _ in 0..self.random.below(4) {
                    self.decorator();
                }
                self.put("}");
            }
            _ => self.function(),
        }
    }

    fn import(&mut self) {
        self.put("use");
        self.put("\"file.ein\"");
        if self.random.chance(40) {
            self.put("(");
            self.list(3, |w| {
                w.some_name();
                w.put("=");
                w.expr(1);
            });
            self.put(")");
        }
        match self.random.below(4) {
            0 => {}
            1 => {
                self.put("as");
                self.some_name();
            }
            2 => {
                self.put(":");
                self.put("*");
            }
            _ => {
                self.put(":");
                self.put("{");
                self.list(30, |w| {
                    w.some_name();
                    if w.random.chance(20) {
                        w.put("as");
                        w.some_name();
                    }
                });
                self.put("}");
            }
        }
    }

    fn record(&mut self) {
        self.put("record");
        self.some_name();
        if self.random.chance(40) {
            if self.random.chance(50) {
                self.touch("(");
            } else {
                self.put("(");
            }
            self.list(3, |w| w.some_name());
            self.put(")");
        }
        self.put("{");
        self.list(4, |w| {
            w.some_name();
            w.put(":");
            w.ty();
            if w.random.chance(30) {
                w.put("=");
                w.expr(1);
            }
            if w.random.chance(30) {
                w.put("as");
                w.put("\"some.name\"");
            }
            if w.random.chance(20) {
                w.put("if");
                w.expr(1);
            }
        });
        if self.random.chance(40) {
            self.put(",");
        }
        self.put("}");
    }

    fn function(&mut self) {
        if self.random.chance(30) {
            self.put("export");
        }
        self.put("fn");
        self.some_name();
        if self.random.chance(30) {
            self.touch("[");
            self.list(3, |w| {
                w.some_name();
                if w.random.chance(30) {
                    w.put(":");
                    w.some_name();
                }
            });
            self.put("]");
        }
        self.touch("(");
        if self.random.chance(80) {
            self.list(8, |w| {
                if w.random.chance(20) {
                    w.put("inout");
                }
                w.typed_name();
                if w.random.chance(20) {
                    w.put("=");
                    w.expr(1);
                }
            });
        }
        self.put(")");
        self.put("->");
        if self.random.chance(60) {
            self.ty();
        } else {
            self.put("(");
            self.list(3, |w| w.typed_name());
            self.put(")");
        }
        if self.random.chance(30) {
            self.put("=");
            self.expr(4);
        } else {
            self.block(3);
        }
    }

    fn typed_name(&mut self) {
        self.some_name();
        self.put(":");
        self.ty();
    }

    fn ty(&mut self) {
        self.some_name();
        if self.random.chance(10) {
            self.put(".");
            self.some_name();
        }
        if self.random.chance(20) {
            self.touch("(");
            self.list(2, |w| w.expr(1));
            self.put(")");
        }
        if self.random.chance(50) {
            self.touch("[");
            self.list(3, |w| w.expr(1));
            self.put("]");
        }
    }

    fn block(&mut self, depth: usize) {
        self.put("{");
        for _ in 0..self.random.below(4) {
            self.stmt(depth);
        }
        self.put("}");
    }

    fn stmt(&mut self, depth: usize) {
        while self.random.chance(10) {
            self.decorator();
        }
        match self.random.below(if depth > 0 { 10 } else { 6 }) {
            0 => {
                self.put("(");
                self.lhs();
                self.put(",");
                self.list(3, |w| w.lhs());
                self.put(")");
                self.put("=");
                self.expr(3);
            }
            1..=5 => {
                self.lhs();
                if self.random.chance(20) {
                    self.put(":");
                    self.ty();
                }
                let op = self.random.pick(&["=", "=", "=", ":=", "+=", "max=", "min="]);
                self.put(op);
                self.expr(4);
            }
            6 | 7 => {
                self.put("for");
                self.some_name();
                self.put("in");
                self.expr(1);
                if self.random.chance(20) {
                    self.put("reversed");
                }
                self.block(depth - 1);
            }
            8 => {
                self.put("while");
                self.expr(2);
                self.put("limit");
                self.expr(1);
                self.block(depth - 1);
            }
            _ => {
                self.put("if");
                self.expr(2);
                self.block(depth - 1);
                while self.random.chance(25) {
                    self.put("else");
                    self.put("if");
                    self.expr(1);
                    self.block(depth - 1);
                }
                if self.random.chance(40) {
                    self.put("else");
                    self.block(depth - 1);
                }
            }
        }
    }

    fn lhs(&mut self) {
        self.some_name();
        for _ in 0..self.random.below(3) {
            if self.random.chance(30) {
                self.put(".");
                self.some_name();
            } else {
                self.subscripts(2);
            }
        }
    }

    fn subscripts(&mut self, depth: usize) {
        self.touch("[");
        if self.random.chance(95) {
            self.list(4, |w| {
                if w.random.chance(10) {
                    w.some_name();
                    w.put(":");
                }
                w.expr(depth.min(2));
            });
            if self.random.chance(15) {
                self.put("|");
                self.expr(depth);
            }
        }
        self.put("]");
    }

    fn decorator(&mut self) {
        self.put("@");
        self.touch("mesh");
        if self.random.chance(80) {
            self.touch("(");
            self.list(3, |w| {
                if w.random.chance(70) {
                    w.some_name();
                    w.put(":");
                }
                if w.random.chance(50) {
                    w.expr(1);
                } else {
                    w.put("[");
                    w.list(3, |w| match w.random.below(4) {
                        0 => w.put(".."),
                        1 => {
                            w.some_name();
                            w.put(":");
                            w.some_name();
                        }
                        2 => {
                            w.some_name();
                            w.put(":");
                            w.put("[");
                            w.list(2, |w| w.some_name());
                            w.put("]");
                        }
                        _ => w.expr(1),
                    });
                    w.put("]");
                }
            });
            self.put(")");
        }
    }

    /// An expression without comparisons outside of brackets, unless `comparison` says so.
    fn expr(&mut self, depth: usize) {
        if depth > 1 && self.random.chance(20) {
            if self.random.chance(20) {
                self.put("not");
            }
            self.sum(depth - 1);
            if self.random.chance(70) {
                let op = self.random.pick(&["<", "<=", ">", ">=", "==", "!="]);
                self.put(op);
                self.sum(depth - 1);
            }
            if self.random.chance(30) {
                let op = self.random.pick(&["and", "or"]);
                self.put(op);
                self.expr(depth - 1);
            }
            return;
        }
        self.sum(depth);
    }

    fn sum(&mut self, depth: usize) {
        if self.random.chance(10) {
            self.put("-");
        }
        self.post(depth);
        while depth > 0 && self.random.chance(35) {
            let op = self.random.pick(&["+", "-", "*", "/", "%", "^", "else"]);
            self.put(op);
            if self.random.chance(10) {
                self.put("-");
            }
            self.post(depth - 1);
        }
    }

    fn post(&mut self, depth: usize) {
        let depth = depth.saturating_sub(1);
        match self.random.below(if depth > 0 { 6 } else { 3 }) {
            0 => {
                let number = self.random.pick(&["0", "1", "2.5", "1e-5", "70GiB", "3E+4"]);
                return self.put(number);
            }
            1 if self.random.chance(10) => return self.put("\"text // no comment\""),
            5 => {
                self.put("(");
                self.list(3, |w| w.expr(depth));
                self.put(")");
            }
            _ => self.some_name(),
        }
        for _ in 0..self.random.below(depth + 1) {
            match self.random.below(3) {
                0 => {
                    self.put(".");
                    self.some_name();
                }
                1 => self.subscripts(depth),
                _ => {
                    self.touch("(");
                    if self.random.chance(90) {
                        self.list(3, |w| {
                            if w.random.chance(15) {
                                w.some_name();
                                w.put(":");
                            }
                            w.expr(depth);
                        });
                    }
                    self.put(")");
                }
            }
        }
    }
}

/// A tree as text, without places.
pub fn shape(tree: &File) -> String {
    let mut text = format!("{tree:?}");
    while let Some(start) = text.find("span: Span {").or_else(|| text.find("Span { file")) {
        let end = start
            + text[start..].find("} ").or_else(|| text[start..].find('}')).expect("a closed span");
        text.replace_range(start..=end, "");
    }
    text
}

/// The tree of a text without mistakes.
pub fn tree(text: &str) -> File {
    let mut sources = einmesh_diagnostics::SourceMap::new();
    let file = sources.add("random.ein", text);
    assert_eq!(file, FileId(0));
    let (tree, diagnostics) = einmesh_syntax::parse(file, text);
    let rendered: Vec<_> =
        diagnostics.iter().map(|d| einmesh_diagnostics::render(d, &sources, false)).collect();
    assert!(rendered.is_empty(), "{}\n--- text:\n{text}", rendered.join("\n"));
    tree
}

/// The comments of a text.
pub fn comments(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut quoted = false;
            let start = line.char_indices().find(|(i, c)| {
                quoted ^= *c == '"';
                !quoted && line[*i..].starts_with("//")
            });
            start.map(|(i, _)| line[i..].trim_end().to_string())
        })
        .collect()
}
