"""More of the language in the random queries: frames of windows, sets of groups, functions and casts of every type."""

from collections.abc import Callable

from .random_queries import RandomQueries, Relation

FUNCTIONS: dict[str, list[str]] = {
    "i": [
        "i: abs({x})", "i: sign({x})", "s: cast({x} as string)", "f: cast({x} as double)",
        "i: greatest(coalesce({x}, 0), {n})", "i: least(coalesce({x}, 1), {n}, 2)", "i: {x} % 4", "i: -{x}",
        "d: cast({x} as decimal(10, 2))", "b: {x} between {n} and 5", "b: {x} in ({n}, 4)",
        "b: {x} not in ({n}, null)", "s: repeat('ab', {x})", "b: cast({x} as boolean)",
        "s: case {x} when {n} then 'one' when 3 then 'three' end", "i: {x} & 3", "i: {x} | {n}",
        "i: try_cast({x} as tinyint)", "s: lpad(cast({x} as string), 3, '0')", "x: sqrt(abs({x}))",
        "f: power({x}, 2)", "t: timestamp '2024-02-29 23:59:58' + {x} * interval '1' day",
    ],
    "s": [
        "s: substring({x} || {text} from {n})", "s: substring({text} || {x}, {n}, 2)",
        "i: char_length({x} || {text})", "s: replace({x} || {text}, 'a', '')", "s: lower({x})",
        "s: trim({x} || {text})", "s: ltrim({text} || {x})", "i: position('a' in {x} || {text})",
        "s: reverse({x} || {text})", "s: left({x} || {text}, {n})", "s: right({text} || {x}, {n})",
        "s: lpad({x}, {n}, 'xy')", "s: rpad({x} || {text}, 5, '-')", "b: {x} like '%{n}'",
        "b: {x} || {text} like '_a%'", "s: concat_ws('-', {x}, {text}, null)",
        "s: concat(coalesce({x}, 'z'), {text})", "s: split_part({x} || ',b', ',', 2)", "i: try_cast({x} as int)",
        "i: ascii({x})", "s: translate({x}, 'ab', 'x')", "b: {x} similar to 'n[0-9]|a'",
        "s: regexp_replace({x}, '[an]', '*')", "b: starts_with({x}, 'n')", "b: {x} ilike 'A'",
        "s: overlay({x} placing 'ZZ' from 1 for 1)", "s: md5({x})",
    ],
    "f": [
        "f: floor({x})", "f: ceil({x})", "f: round({x} * 3, 1)", "i: cast(floor({x}) as int)", "f: {x} / 4",
        "f: sign({x})", "x: exp({x} / 10)", "d: cast({x} as decimal(12, 3))", "f: nullif({x}, 0.0)",
        "f: greatest(coalesce({x}, 0), {n})", "f: {x} - {x}", "b: isnan({x})", "x: atan2({x}, 2)", "f: power({x}, 2)",
        "x: ln(abs({x}) + 1)", "f: cast({x} as float)",
    ],
    "d": [
        "d: {x} + 1", "d: {x} * {x}", "d: {x} - 0.005", "d: {x} * 1.5", "d: abs({x})", "d: round({x}, 1)",
        "f: cast({x} as double)", "d: -{x}", "s: cast({x} as string)", "d: {x} % 2",
        "d: cast({x} as decimal(20, 5)) * cast({x} as decimal(18, 4))", "f: sign({x})",
        "d: greatest(coalesce({x}, 0), {n}, 1.25)", "i: cast(floor({x}) as int)", "b: {x} > {n}.004", "d: floor({x})",
        "d: ceil({x})", "d: coalesce({x}, 0)", "d: try_cast({x} as decimal(3, 2))",
    ],
    "t": [
        "i: extract({part} from {x})", "t: {x} + interval '{n}' hour", "t: date_trunc('{part}', {x})",
        "t: {x} - interval '1' month", "t: {x} + interval '1' year", "s: cast(cast({x} as date) as string)",
        "t: {x} - interval '90' minute", "t: cast(cast({x} as date) as timestamp)",
        "b: {x} < timestamp '1970-01-01 00:00:0{n}'", "t: timestamp '2000-02-29 00:00:00' - interval '{n}' year",
        "t: greatest({x}, {x} + interval '1' day)", "t: cast(date '2024-01-31' + interval '{n}' month as timestamp)",
        "t: cast('20{n}4-02-28 01:02:03' as timestamp)",
    ],
    "b": [
        "b: {x} and null", "b: {x} or null", "i: cast({x} as int)", "b: {x} is unknown", "s: cast({x} as string)",
        "i: case when {x} then {n} end", "b: {x} is not false", "b: not {x}", "b: coalesce({x}, true)",
        "b: {x} = true",
    ],
}  # fmt: skip
"""What can be made of a column {x} of each kind, behind the kind that comes of it."""
TEXTS = ("'ä€😀'", "''", "' a b '", "'%_'")
PARTS = ("year", "month", "day", "hour", "minute", "second", "quarter", "week", "doy")


class WiderQueries(RandomQueries):
    """Random queries in which every other relation is of these kinds; the same seed gives the same ones."""

    def relation(self, depth: int) -> Relation:
        """One of these kinds, or one of the others."""
        if depth <= 0 or self.random.random() < 0.5:
            return super().relation(depth)
        makers: list[Callable[[int], Relation]] = [self.framed, self.framed, self.grouping_sets, self.computed]
        return self.random.choice(makers)(depth - 1)

    # --- windows

    def framed(self, depth: int) -> Relation:
        """Windows with a frame; two of them may share a name."""
        r = self.shown(self.relation(depth))
        pick = self.random.choice
        names = [n for n, _ in r.columns]
        part = f"partition by {pick(names)} " if self.random.random() < 0.7 else ""
        order = [n + pick(["", "", " desc", " nulls last", " desc nulls first"]) for n in names]
        self.random.shuffle(order)
        unit = pick(["rows", "rows", "groups", "range"])
        if unit == "range" and r.of("i"):  # by distance, so by one column
            order = [pick(r.of("i")) + pick(["", " desc"])]
        elif unit == "range":
            unit = "rows"
        by_one = self.random.random() < 0.3 and unit == "groups"
        window = f"{part}order by {', '.join(order[:1] if by_one else order)} {unit} {self.frame()}"
        numbers = r.of("i") or ["1"]
        made = [self.over(pick(numbers), pick(r.columns), unit == "rows", tuple(r.of("b"))) for _ in (1, 2)]
        if self.random.random() < 0.4:
            listed = [(f"{call} over w", kind) for call, kind in made]
            return self.select(r, [*r.columns, *listed], f" window w as ({window})")
        return self.select(r, [*r.columns, *((f"{call} over ({window})", kind) for call, kind in made)])

    def over(self, number: str, column: tuple[str, str], rows: bool, conditions: tuple[str, ...]) -> tuple[str, str]:
        """A call over a window; of rows that are not in one order only where the order does not matter."""
        pick, (name, kind) = self.random.choice, column
        calls = [(f"sum({number})", "i"), ("count(*)", "i"), (f"count({name})", "i"), (f"min({number})", "i")]
        calls += [(f"max({name})", kind)] if kind != "b" else []
        calls += [(f"sum({number}) filter (where {pick(conditions)})", "i")] if conditions else []
        if rows:
            calls += [(f"first_value({name})", kind), (f"last_value({name})", kind), (f"nth_value({name}, 2)", kind)]
        return calls[self.random.randrange(len(calls))]

    def frame(self) -> str:
        """A frame that begins before it ends."""
        starts = ["unbounded preceding", "2 preceding", "1 preceding", "current row", "1 following", "2 following"]
        ends = ["2 preceding", "1 preceding", "current row", "1 following", "3 following", "unbounded following"]
        at = self.random.randrange(len(starts))
        least = {0: 0, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4}[at]
        if at <= 3 and self.random.random() < 0.1:
            return starts[at]
        return f"between {starts[at]} and {self.random.choice(ends[least:])}"

    # --- groups

    def grouping_sets(self, depth: int) -> Relation:
        """GROUPING SETS, ROLLUP or CUBE, and which of them a row is of."""
        r = self.shown(self.relation(depth))
        keys = self.random.sample(r.columns, min(len(r.columns), self.random.choice([1, 2, 2, 3])))
        names = [n for n, _ in keys]
        how = self.random.choice(["rollup", "cube", "sets", "sets"])
        if how == "sets":
            sets = [self.random.sample(names, self.random.randint(0, len(names))) for _ in range(2)]
            sets.append(names)
            rest = f"grouping sets ({', '.join('(' + ', '.join(s) + ')' for s in sets)})"
        else:
            rest = f"{how} ({', '.join(names)})"
        made = [self.aggregate(r) for _ in range(2)]
        made += [(f"grouping({self.random.choice(names)})", "i")]
        having = self.random.choice(["", "", " having count(*) > 1"])
        return self.select(r, keys + made, f" group by {rest}{having}")

    # --- functions

    def computed(self, depth: int) -> Relation:
        """Functions and casts of what there is."""
        r = self.relation(depth)
        shown = [c for c in r.columns if c[1] != "x"] or [("1", "i")]
        kept = self.random.sample(shown, min(len(shown), 2))
        return self.select(r, kept + [self.call(self.random.choice(shown)) for _ in range(3)])

    def call(self, column: tuple[str, str]) -> tuple[str, str]:
        """A function of a column."""
        pick, (name, kind) = self.random.choice, column
        choices = FUNCTIONS[kind]
        made, template = choices[self.random.randrange(len(choices))].split(": ", 1)
        return template.format(x=name, n=pick("01237"), text=pick(TEXTS), part=pick(PARTS)), made
