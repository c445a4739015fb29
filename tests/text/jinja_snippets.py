"""Random Jinja, from a grammar of what chat templates use, mostly well typed."""

import random

TEXTS = ["", "a", "abc", "Hello World", "  padded \n", "one,two,,three", "naïve Straße", "你好 world", "🙂x", "it's \"q\"", "<b>&amp;</b>",
         "a\nb\n\nc", "</think>x</think>y", "%s and %d", "{} {0}", "123", "-4.5", " 7 ", "1e3", "x" * 30, "ΑΣ ΣΑΣ", "tab\tend", "UPPER lower",
         "foo_bar-baz (qux)", "ǆungla", "ŉ", "\\n"]
CONTEXT = {
    "s": "Hello World", "e": "", "u": "naïve 你好 🙂", "ws": "  x y \n", "n": 3, "z": 0, "neg": -7, "f": 2.5, "big": 2 ** 70, "t": True, "no": False,
    "nil": None, "xs": [3, 1, 2], "words": ["b", "A", "c", "B", ""], "mixed": [1, "a", None, 2.5, True, [1], {"k": 1}], "empty": [],
    "d": {"b": 1, "a": "x", "C": [1, 2], "items": 5}, "rows": [{"k": "x", "v": 2, "n": {"m": 1}}, {"k": "Y", "v": 1}, {"k": "x", "v": 3, "n": {"m": 2}}],
    "deep": {"a": {"b": [{"c": "found"}, 0]}}, "nest": [[1, 2], [3], []], "pairs": [["a", 1], ["b", 2]],
    "messages": [{"role": "system", "content": "Be nice."}, {"role": "user", "content": "Hi\nthere"},
                 {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [1.0, "é"]}}}]},
                 {"role": "tool", "content": "42"}, {"role": "user", "content": "  Bye "}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "number"}}}}}],
    "add_generation_prompt": True,
}
NAMES = {"str": ["s", "e", "u", "ws", "messages[1].content", "messages[0]['role']", "deep.a.b[0].c"], "int": ["n", "z", "neg", "big"], "float": ["f"],
         "bool": ["t", "no", "add_generation_prompt"], "list": ["xs", "words", "mixed", "empty", "nest", "pairs", "messages", "rows"],
         "dict": ["d", "deep", "messages[0]", "rows[0]", "messages[2]"], "any": ["nil", "missing", "d.zz", "nil.x", "mixed[4]"]}

SEPARATORS = "separators=(',', ':')"


class Generator:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.locals = []
        self.macros = []
        self.in_loop = 0

    def pick(self, *options):
        return self.rng.choice(options)

    def chance(self, probability):
        return self.rng.random() < probability

    # -- literals

    def string(self):
        text = self.rng.choice(TEXTS)
        quote = self.pick("'", '"')
        text = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
        if self.chance(0.5):
            text = text.replace("\n", "\\n")
        return quote + text + quote

    def integer(self):
        return self.pick("0", "1", "2", "3", "5", "7", "10", "100", "-1", "-2", "1_000", "0x1F", "9223372036854775807", "123456789012345678901")

    def small(self):
        return str(self.rng.randint(-4, 6))

    def number(self):
        return self.pick("0.0", "1.5", "2.0", "1e3", "0.1", "3.14159", "1e16", "1e-5", "-0.5", "123456.789")

    # -- expressions by type

    def expr(self, kind="any", depth=3):
        if self.chance(0.02):
            kind = self.pick("str", "int", "float", "bool", "list", "dict", "any")
        if self.locals and self.chance(0.15):
            return self.rng.choice(self.locals)
        if depth <= 0:
            return self.leaf(kind)
        if self.chance(0.08):
            return f"({self.expr(kind, depth - 1)} if {self.expr('bool', depth - 1)} else {self.expr(kind, depth - 1)})"
        if self.chance(0.04):
            return f"({self.expr(kind, depth - 1)} {self.pick('or', 'and')} {self.expr(kind, depth - 1)})"
        if self.chance(0.04):
            return f"{self.expr(self.pick(kind, 'any'), depth - 1)}|default({self.expr(kind, depth - 1)}{self.pick('', ', true', ', boolean=true')})"
        return getattr(self, "expr_" + kind)(depth - 1)

    def leaf(self, kind):
        if kind != "any" and self.chance(0.6):
            return self.rng.choice(NAMES[kind])
        if kind == "str":
            return self.string()
        if kind == "int":
            return self.integer()
        if kind == "float":
            return self.number()
        if kind == "bool":
            return self.pick("true", "false", "True", "False")
        if kind == "list":
            return "[" + ", ".join(self.leaf("any") for _ in range(self.rng.randint(0, 3))) + self.pick("]", ",]" if False else "]")
        if kind == "dict":
            return self.pick("{}", "{'a': 1}", "{'x': s, 'y': [n]}", "{1: 'one', true: 2}")
        return self.rng.choice(NAMES[self.pick("str", "int", "float", "bool", "list", "dict", "any", "any")])

    def expr_any(self, depth):
        return self.expr(self.pick("str", "int", "float", "bool", "list", "dict"), depth) if self.chance(0.8) else self.leaf("any")

    def sub(self, kind, depth):
        text = self.expr(kind, depth)
        return text if self.chance(0.5) and text.isidentifier() else f"({text})"

    def expr_str(self, depth):
        s = lambda: self.sub("str", depth)
        a = lambda: self.sub("any", depth)
        i = self.small
        options = [
            lambda: self.string(),
            lambda: f"{s()} + {s()}", lambda: f"{a()} ~ {a()}", lambda: f"{a()} ~ {a()} ~ {a()}", lambda: f"{s()} * {i()}",
            lambda: f"{s()}[{i()}]", lambda: f"{s()}[{i()}:{i()}]", lambda: f"{s()}[:{i()}]", lambda: f"{s()}[{i()}:]", lambda: f"{s()}[::{i()}]",
            lambda: f"{s()}.{self.pick('strip', 'lstrip', 'rstrip')}({self.pick('', self.string())})",
            lambda: f"{s()}.{self.pick('upper', 'lower', 'title', 'capitalize', 'swapcase')}()",
            lambda: f"{s()}.replace({self.string()}, {self.string()}{self.pick('', ', 1', ', -1')})",
            lambda: f"{s()}.{self.pick('center', 'ljust', 'rjust', 'zfill')}({self.rng.randint(0, 15)})",
            lambda: f"{s()}.{self.pick('removeprefix', 'removesuffix')}({self.string()})",
            lambda: f"{self.string()}.join({self.sub('list', depth)}|map('string'))",
            lambda: f"{s()}.split({self.pick('', self.string())})|{self.pick('first', 'last')}",
            lambda: f"{a()}|{self.pick('string', 'upper', 'lower', 'title', 'capitalize', 'trim', 'e', 'escape', 'safe', 'forceescape', 'striptags')}",
            lambda: f"{s()}|trim({self.string()})", lambda: f"{s()}|replace({self.string()}, {self.string()}{self.pick('', ', 1')})",
            lambda: f"{a()}|tojson", lambda: f"{a()}|tojson(indent={self.pick('0', '1', '2', '4', 'none')})",
            lambda: f"{a()}|tojson({self.pick('true', 'false', 'ensure_ascii=true', 'sort_keys=true', 'none', SEPARATORS, 'true, 2')})",
            lambda: f"{self.sub('list', depth)}|join({self.pick('', self.string())})",
            lambda: f"{self.sub('list', depth)}|join({self.string()}, attribute={self.pick(chr(39) + 'k' + chr(39), chr(39) + 'role' + chr(39), '0')})",
            lambda: f"{s()}|indent({self.pick('', '2', 'first=true', '4, true, true', chr(39) + '> ' + chr(39))})",
            lambda: f"{s()}|truncate({self.pick('5', '5, true', '9, false, ' + chr(39) + '!' + chr(39), '5, true, ' + chr(39) + chr(39) + ', 0', '20')})",
            lambda: f"{s()}|center({self.rng.randint(0, 20)})", lambda: f"{s()}|reverse",
            lambda: f"{self.string()} % ({a()}, {a()})", lambda: f"{self.pick(*FORMATS)} % ({a()},)", lambda: f"{self.pick(*FORMATS)}|format({a()})",
            lambda: f"{self.pick(*BRACES)}.format({a()}, {a()}, x={a()})",
            lambda: self.macro_call(depth) if self.macros else self.string(),
            lambda: f"{s()}.partition({self.string()})[{self.rng.randint(0, 2)}]",
            lambda: f"{s()}|urlencode",
        ]
        return self.rng.choice(options)()

    def expr_int(self, depth):
        n = lambda: self.sub("int", depth)
        options = [
            lambda: self.integer(), lambda: f"{n()} {self.pick('+', '-', '*', '//', '%')} {n()}", lambda: f"-{n()}", lambda: f"{n()} ** {self.rng.randint(0, 5)}",
            lambda: f"{self.sub(self.pick('str', 'list', 'dict'), depth)}|{self.pick('length', 'count')}",
            lambda: f"{self.sub('any', depth)}|int({self.pick('', '5', 'base=16', 'none')})", lambda: f"{self.sub('str', depth)}|wordcount",
            lambda: f"{self.sub('str', depth)}.{self.pick('find', 'rfind', 'count')}({self.string()}{self.pick('', ', 1', ', -3, 5')})",
            lambda: f"{n()}|abs", lambda: f"{self.sub('list', depth)}|{self.pick('sum', 'min', 'max', 'first', 'last')}",
            lambda: f"{self.sub('list', depth)}|{self.pick('min', 'max', 'sum')}(attribute='v')", lambda: f"{self.sub('list', depth)}.{self.pick('count', 'index')}({self.leaf('any')})",
            lambda: "loop." + self.pick("index", "index0", "revindex", "revindex0", "length", "depth", "depth0") if self.in_loop else self.integer(),
        ]
        return self.rng.choice(options)()

    def expr_float(self, depth):
        x = lambda: self.sub(self.pick("float", "int"), depth)
        options = [
            lambda: self.number(), lambda: f"{x()} {self.pick('+', '-', '*', '/', '//', '%')} {x()}", lambda: f"{x()} / {self.pick('2', '3', '7.0')}",
            lambda: f"{x()}|round({self.pick('', '1', '2', '0', '-1', '1, ' + chr(39) + 'floor' + chr(39), '0, ' + chr(39) + 'ceil' + chr(39))})",
            lambda: f"{self.sub('any', depth)}|float({self.pick('', '1.5')})", lambda: f"{x()} ** {self.pick('2', '-1', '3.0')}",
        ]
        return self.rng.choice(options)()

    def expr_bool(self, depth):
        a = lambda: self.sub("any", depth)
        kind = self.pick("int", "str", "float", "list", "any")
        options = [
            lambda: self.pick("true", "false"), lambda: f"{self.sub(kind, depth)} {self.pick('==', '!=', '<', '<=', '>', '>=')} {self.sub(kind, depth)}",
            lambda: f"not {a()}", lambda: f"{a()} {self.pick('in', 'not in')} {self.sub(self.pick('list', 'dict'), depth)}",
            lambda: f"{self.sub('str', depth)} in {self.sub('str', depth)}", lambda: f"{self.sub('int', depth)} < {self.sub('int', depth)} < {self.sub('int', depth)}",
            lambda: f"{a()} is {self.pick('', 'not ')}{self.pick('defined', 'undefined', 'none', 'string', 'number', 'integer', 'float', 'mapping', 'iterable', 'sequence', 'boolean', 'true', 'false', 'callable', 'escaped', 'lower', 'upper')}",
            lambda: f"{self.sub('int', depth)} is {self.pick('odd', 'even', 'divisibleby 3', 'divisibleby(2)', 'eq 3', 'ne(3)', 'gt 1', 'ge 2', 'lt 4', 'le(5)')}",
            lambda: f"{a()} is {self.pick('in', 'eq', 'sameas', 'equalto')}({self.pick('[1, 2]', 'xs', 'none', 'true', 'd')})",
            lambda: f"{self.sub('str', depth)}.{self.pick('startswith', 'endswith')}({self.string()})",
            lambda: f"{self.sub('str', depth)}.{self.pick('isdigit', 'isalpha', 'isalnum', 'isspace', 'islower', 'isupper', 'istitle', 'isnumeric', 'isdecimal', 'isascii', 'isidentifier', 'isprintable')}()",
            lambda: "loop." + self.pick("first", "last") if self.in_loop else "true", lambda: f"{self.string()} is {self.pick('filter', 'test')}",
        ]
        return self.rng.choice(options)()

    def expr_list(self, depth):
        l = lambda: self.sub("list", depth)
        options = [
            lambda: "[" + ", ".join(self.expr("any", depth) for _ in range(self.rng.randint(0, 4))) + "]",
            lambda: "(" + ", ".join(self.expr("any", depth) for _ in range(self.rng.randint(2, 3))) + ")",
            lambda: f"{l()} + {l()}", lambda: f"{l()} * {self.rng.randint(-1, 3)}", lambda: f"{l()}[{self.small()}:{self.small()}]", lambda: f"{l()}[::{self.pick('-1', '2', '-2')}]",
            lambda: f"{self.sub('str', depth)}.{self.pick('split', 'rsplit')}({self.pick('', self.string(), self.string() + ', 1', 'none, 1', 'maxsplit=1')})",
            lambda: f"{self.sub('str', depth)}.splitlines({self.pick('', 'true')})",
            lambda: f"{l()}|{self.pick('sort', 'sort(reverse=true)', 'sort(case_sensitive=true)', 'list', 'unique|list', 'reverse|list')}",
            lambda: f"rows|{self.pick('sort(attribute=' + chr(39) + 'v' + chr(39) + ')', 'sort(attribute=' + chr(39) + 'k,v' + chr(39) + ')', 'map(attribute=' + chr(39) + 'k' + chr(39) + ')|list', 'map(attribute=' + chr(39) + 'n.m' + chr(39) + ', default=0)|list', 'groupby(' + chr(39) + 'k' + chr(39) + ')', 'unique(attribute=' + chr(39) + 'k' + chr(39) + ')|list')}",
            lambda: f"{l()}|map('{self.pick('upper', 'length', 'string', 'int', 'first', 'abs', 'tojson', 'trim')}')|list",
            lambda: f"{l()}|{self.pick('select', 'reject')}({self.pick('', chr(39) + 'odd' + chr(39), chr(39) + 'string' + chr(39), chr(39) + 'defined' + chr(39), chr(39) + 'gt' + chr(39) + ', 1', chr(39) + 'in' + chr(39) + ', xs', chr(39) + '==' + chr(39) + ', 2')})|list",
            lambda: f"{self.pick('rows', 'messages', l())}|{self.pick('selectattr', 'rejectattr')}({self.pick(chr(39) + 'k' + chr(39), chr(39) + 'role' + chr(39), chr(39) + 'v' + chr(39))}{self.pick('', ', ' + chr(39) + 'equalto' + chr(39) + ', ' + chr(39) + 'user' + chr(39), ', ' + chr(39) + 'gt' + chr(39) + ', 1', ', ' + chr(39) + 'defined' + chr(39), ', ' + chr(39) + '==' + chr(39) + ', ' + chr(39) + 'x' + chr(39))})|list",
            lambda: f"{l()}|{self.pick('batch(2)', 'batch(2, 0)', 'slice(2)', 'slice(3, ' + chr(39) + 'x' + chr(39) + ')')}|list",
            lambda: f"{self.sub('dict', depth)}|{self.pick('dictsort', 'dictsort(true)', 'dictsort(by=' + chr(39) + 'value' + chr(39) + ')', 'dictsort(reverse=true)', 'items|list', 'list')}",
            lambda: f"{self.sub('dict', depth)}.{self.pick('keys', 'values', 'items')}(){self.pick('', '|list')}",
            lambda: f"range({self.pick('3', '1, 4', '5, 0, -2', 'n', 'xs|length')}){self.pick('', '|list', '[1:]')}", lambda: f"{self.sub('str', depth)}|list",
        ]
        return self.rng.choice(options)()

    def expr_dict(self, depth):
        options = [
            lambda: "{" + ", ".join(f"{self.pick(self.string(), self.integer(), self.expr('any', 0))}: {self.expr('any', depth)}" for _ in range(self.rng.randint(0, 3))) + "}",
            lambda: f"dict({self.sub('dict', depth)}, x={self.expr('any', depth)})", lambda: f"dict({self.pick('pairs', '[(1, 2)]', '')})",
            lambda: f"{self.sub('list', depth)}|{self.pick('first', 'last')}", lambda: f"{self.sub('dict', depth)}.get({self.string()}, {self.leaf('dict')})",
            lambda: f"namespace(a={self.expr('any', depth)})", lambda: f"{self.sub('dict', depth)}.copy()",
        ]
        return self.rng.choice(options)()

    # -- statements

    def text(self):
        return self.pick("", " ", "\n", "x", "\n  ", " - ", "text\n", "  \n", "\t", "{ }", "é", "%", "#", "\n\n", "a\n    ")

    def open(self):
        return self.pick("{%", "{%", "{%-", "{%-", "{%+")

    def close(self):
        return self.pick("%}", "%}", "-%}", "-%}", "+%}")

    def tag(self, inside):
        return f"{self.open()} {inside} {self.close()}"

    def output(self, depth):
        return f"{self.pick('{{', '{{-', '{{')} {self.expr('any', depth)} {self.pick('}}', '-}}', '}}')}"

    def body(self, depth, count=None):
        kept = len(self.locals)
        text = "".join(self.text() + self.statement(depth) for _ in range(count if count is not None else self.rng.randint(0, 3))) + self.text()
        del self.locals[kept:]
        return text

    def variable(self):
        return self.pick("a", "b", "c", "x", "item", "s", "n", "xs", "loop_messages")

    def statement(self, depth):
        if depth <= 0:
            return self.output(2)
        options = [
            lambda: self.output(3), lambda: self.output(4), lambda: self.stmt_if(depth - 1), lambda: self.stmt_for(depth - 1), lambda: self.stmt_set(depth - 1),
            lambda: self.stmt_set_block(depth - 1), lambda: self.stmt_namespace(depth - 1), lambda: self.stmt_macro(depth - 1), lambda: self.stmt_call(depth - 1),
            lambda: self.stmt_filter(depth - 1), lambda: self.stmt_with(depth - 1), lambda: self.tag("generation") + self.body(depth - 1) + self.tag("endgeneration"),
            lambda: f"{{#{self.pick('', '-')} note {self.text()} {self.pick('', '-')}#}}", lambda: "{% raw %}{{ x }}{% if %}\n" + self.open() + " endraw " + self.close(),
            lambda: self.tag(f"if {self.expr('bool', 2)}") + self.tag(self.pick("break", "continue")) + self.tag("endif") if self.in_loop else self.output(3),
            lambda: self.tag("if " + self.expr("bool", 1)) + "{{ raise_exception(" + self.string() + ") }}" + self.tag("endif") if self.chance(0.3) else self.output(2),
        ]
        return self.rng.choice(options)()

    def stmt_if(self, depth):
        text = self.tag(f"if {self.expr('bool', 3)}") + self.body(depth)
        while self.chance(0.3):
            text += self.tag(f"elif {self.expr('bool', 2)}") + self.body(depth)
        if self.chance(0.5):
            text += self.tag("else") + self.body(depth)
        return text + self.tag("endif")

    def stmt_for(self, depth):
        kept = len(self.locals)
        name = self.variable()
        recursive = self.chance(0.1)
        if self.chance(0.2):
            target, iterable = f"{name}, v", self.pick("d.items()", "d|items", "pairs", "rows[0]|dictsort", "rows|groupby('k')", self.expr("list", 2))
            self.locals += [name, "v"]
        else:
            target, iterable = name, self.expr(self.pick("list", "list", "list", "str", "dict"), 2)
            self.locals.append(name)
        condition = f" if {self.expr('bool', 2)}" if self.chance(0.25) else ""
        self.in_loop += 1
        text = self.tag(f"for {target} in {iterable}{condition}{' recursive' if recursive else ''}") + self.body(depth)
        if self.chance(0.3):
            text += "{{ " + self.pick("loop.index", "loop.last", "loop.previtem", "loop.nextitem", "loop.cycle('a', 'b')", f"loop.changed({name})", "loop.length", "loop.revindex",
                                      f"loop({name}) if {name} is sequence and {name} is not string" if recursive else "loop.first") + " }}"
        self.in_loop -= 1
        del self.locals[kept:]
        if self.chance(0.2):
            text += self.tag("else") + self.body(depth)
        return text + self.tag("endfor")

    def stmt_set(self, depth):
        name = self.variable()
        if self.chance(0.1):
            text = self.tag(f"set {name}, y = {self.pick('1, 2', 'pairs[0]', self.expr('list', 1))}")
        else:
            text = self.tag(f"set {name} = {self.expr('any', 3)}")
        self.locals.append(name)
        return text

    def stmt_set_block(self, depth):
        name = self.variable()
        text = self.tag(f"set {name}{self.pick('', ' | upper', ' | trim | length')}") + self.body(depth) + self.tag("endset")
        self.locals.append(name)
        return text

    def stmt_namespace(self, depth):
        name = self.pick("ns", "ns2")
        text = self.tag(f"set {name} = namespace({self.pick('', 'x=1', 'x=[], y=s', 'd', 'found=false')})")
        loop = self.tag("for q in xs") + self.tag(f"set {name}.{self.pick('x', 'y', '_z' if self.chance(0.1) else 'z')} = {self.expr('any', 2)}") + self.tag("endfor")
        return text + (loop if self.chance(0.6) else "") + "{{ " + name + self.pick(".x", ".y", ".z", "") + " }}"

    def macro_call(self, depth):
        name, parameters = self.rng.choice(self.macros)
        count = self.rng.randint(0, len(parameters) if self.chance(0.9) else 3)
        arguments = [self.expr("any", depth) for _ in range(count)]
        if count < len(parameters) and self.chance(0.5):
            arguments.append(f"{parameters[-1]}={self.expr('any', depth)}")
        return f"{name}({', '.join(arguments)})"

    def stmt_macro(self, depth):
        name = self.pick("m1", "m2", "m3")
        kept, loop, self.in_loop = self.locals[:], self.in_loop, 0
        signature = self.pick("", "p", "p, q=2", "p, q='z', r=p", "p=1", "p, q", "caller=none", "p, p=1" if self.chance(0.05) else "q=s")
        parameters = [part.split("=")[0].strip() for part in signature.split(",") if part.strip()]
        self.locals += parameters
        special = self.pick("", "", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller }}", "{{ caller(1) if caller }}", "{{ caller() }}" if self.chance(0.2) else "{{ p }}")
        body = self.body(depth) + special
        self.locals, self.in_loop = kept, loop
        text = self.tag(f"macro {name}({signature})") + body + self.tag("endmacro")
        self.macros = [macro for macro in self.macros if macro[0] != name] + [(name, parameters)]
        extra = self.pick("1, 2, 3, 4", "*xs") if "varargs" in special else self.pick("z=2", "**d") if "kwargs" in special else ""
        return text + "{{ " + (f"{name}({extra})" if extra and self.chance(0.7) else self.macro_call(1)) + " }}"

    def stmt_call(self, depth):
        if not self.macros:
            return self.stmt_macro(depth)
        name, parameters = self.rng.choice(self.macros)
        arguments = ", ".join(self.expr("any", 1) for _ in range(self.rng.randint(0, len(parameters))))
        return self.tag(f"call{self.pick('', '(k)', '(k=1)')} {name}({arguments})") + self.body(depth) + self.tag("endcall")

    def stmt_filter(self, depth):
        return self.tag(f"filter {self.pick('upper', 'trim', 'indent(2)', 'replace(' + chr(39) + 'a' + chr(39) + ', s)', 'length', 'e | lower')}") + self.body(depth) + self.tag("endfilter")

    def stmt_with(self, depth):
        name = self.variable()
        kept = len(self.locals)
        head = self.tag(f"with {name} = {self.expr('any', 2)}{self.pick('', ', w = 1', ', w = ' + name)}")
        self.locals.append(name)
        text = head + self.body(depth) + self.tag("endwith")
        del self.locals[kept:]
        return text

    def template(self):
        return self.body(3, self.rng.randint(1, 4))


FORMATS = [f"'{x}'" for x in ("%s", "%r", "%d", "%5d|", "%-5d|", "%05d", "%+d", "%.2f", "%8.3f", "%e", "%g", "%x", "%#x", "%o", "%5s|", "%-8s|", "%.3s", "%c", "%%", "%i%%", "%(a)s", "a%sb%s")]
BRACES = [f"'{x}'" for x in ("{}", "{0}{1}", "{x}", "{:>8}", "{:<8}|", "{:^9}", "{:*^9}", "{:05}", "{:+}", "{:,}", "{:.2f}", "{:x}", "{:#b}", "{!r}", "{x!s:>6}", "{0[0]}", "{x.real}", "{:e}", "{:%}",
                             "{{}} {}", "{:d}", "{:s}", "{:_}", "{:.3}", "{:{x}}", "{", "{}{}{}")]
MUTATIONS = ["{{", "}}", "{%", "%}", "-", "(", ")", "[", "]", "|", "'", ".", ",", " if ", " is ", "~", "=", "{#", "#}", "\n", " else "]


def template(seed):
    generator = Generator(seed)
    text = generator.template()
    if generator.chance(0.03):  # broken on purpose
        at = generator.rng.randint(0, len(text))
        text = text[:at] + generator.rng.choice(MUTATIONS) + text[at + generator.rng.randint(0, 2):]
    return text
