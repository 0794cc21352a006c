"""The merge engines that fold, one row after the other: what the vectorised ones are compared with.

A record is (kind, row); kinds as in files: 0 +I, 1 -U, 2 +U, 3 -D.
"""

ADD = (0, 2)


def nullable(function):
    return lambda acc, value: (value if acc is None else acc) if acc is None or value is None else function(acc, value)


class First:
    def __init__(self, *, skips_null):
        self.skips_null = skips_null
        self.done = False

    def agg(self, acc, value):
        if self.done or (self.skips_null and value is None):
            return acc
        self.done = True
        return value


class Function:
    """agg; retract where there is one; reversed where it is not agg with its arguments exchanged."""

    def __init__(self, agg, retract=None, reverse=None):
        self.agg, self.retract = agg, retract
        self.reversed = reverse or (lambda acc, value: self.agg(value, acc))


def blank(text):
    return text is None or not text.strip()


def listagg(delimiter, distinct):
    def agg(acc, value):
        if blank(value):
            return acc
        if blank(acc):
            return value
        if not distinct:
            return acc + delimiter + value
        tokens = acc.split(delimiter)
        for token in value.split(delimiter):
            if token.strip() and token not in tokens:
                tokens.append(token)
                acc += delimiter + token
        return acc

    return agg


def collect(distinct):
    def agg(acc, value):
        if acc is None and value is None:
            return None
        out = list(acc or [])
        for element in value or []:
            if not distinct or element not in out:
                out.append(element)
        return out

    def retract(acc, value):
        if acc is None or value is None:
            return acc
        gone, out = list(value), []
        for element in acc:
            if element in gone:
                gone.remove(element)
            else:
                out.append(element)
        return out

    return Function(agg, retract, agg)


def merge_map(acc, value):
    return list((dict(acc) | dict(value)).items())


def merge_map_retract(acc, value):
    if acc is None or value is None:
        return acc
    return [(k, v) for k, v in acc if k not in dict(value)]


def nested_update(keys, limit=1 << 31):
    def key_of(row):
        return tuple(row[k] for k in keys)

    def agg(acc, value):
        if value is None:
            return acc
        if not keys:
            acc = acc or []
            return (acc + value[: max(0, limit - len(acc))]) if len(acc) < limit else acc
        out = {key_of(row): row for row in acc or []}
        for row in value:
            if key_of(row) in out or len(out) < limit:
                out[key_of(row)] = row
        return list(out.values())

    def retract(acc, value):
        if acc is None or value is None:
            return acc
        if not keys:
            return [row for row in acc if row not in value]
        gone = [key_of(row) for row in value]
        return [row for row in acc if key_of(row) not in gone]

    return Function(agg, retract)


def nested_partial_update(keys):
    def agg(acc, value):
        if value is None:
            return acc
        out = {}
        for row in [*(acc or []), *value]:
            old = out.setdefault(tuple(row[k] for k in keys), dict.fromkeys(row))
            old.update({k: v for k, v in row.items() if v is not None})
        return list(out.values())

    return Function(agg)


def keytime(acc, value):
    out = dict(acc)
    for k, new in value:
        old = out.get(k)
        if new is None:
            out.pop(k, None)
        elif new["t"] is not None and (old is None or old["t"] is None or new["t"] > old["t"]):
            out[k] = new
    return list(out.items())


def divided(acc, value):
    return abs(acc) // abs(value) * (-1 if (acc < 0) != (value < 0) else 1)


FUNCTIONS = {
    "sum": lambda: Function(
        nullable(lambda a, v: a + v),
        lambda a, v: (None if v is None else -v) if a is None else a if v is None else a - v,
    ),
    "product": lambda: Function(
        nullable(lambda a, v: a * v), lambda a, v: a if a is None or v is None else divided(a, v)
    ),
    "max": lambda: Function(nullable(max)),
    "min": lambda: Function(nullable(min)),
    "last_value": lambda: Function(lambda a, v: v, lambda a, v: None),
    "last_non_null_value": lambda: Function(
        lambda a, v: a if v is None else v, lambda a, v: None if v is not None else a
    ),
    "first_value": lambda: Function(First(skips_null=False).agg),
    "first_non_null_value": lambda: Function(First(skips_null=True).agg),
    "bool_and": lambda: Function(nullable(lambda a, v: a and v)),
    "bool_or": lambda: Function(nullable(lambda a, v: a or v)),
    "listagg": lambda: Function(listagg(",", False)),
    "listagg distinct": lambda: Function(listagg(";", True)),
    "collect": lambda: collect(False),
    "collect distinct": lambda: collect(True),
    "merge_map": lambda: Function(nullable(merge_map), merge_map_retract),
    "merge_map_with_keytime": lambda: Function(nullable(keytime)),
    "nested_update": lambda: nested_update(()),
    "nested_update key": lambda: nested_update(("x",)),
    "nested_update limit": lambda: nested_update((), 3),
    "nested_update key limit": lambda: nested_update(("x",), 2),
    "nested_partial_update": lambda: nested_partial_update(("x",)),
}


def aggregate(records, functions, remove_on_delete=False):
    """functions: column -> name. The merged (kind, row) of the records of one key."""
    if len(records) == 1:
        return records[0]
    state = {column: FUNCTIONS[name]() for column, name in functions.items()}
    row, deleted = dict.fromkeys(functions), False
    for kind, values in records:
        deleted = remove_on_delete and kind == 3
        if deleted:
            row = {column: values[column] for column in functions}
            continue
        for column, function in state.items():
            fold = function.agg if kind in ADD else function.retract
            row[column] = fold(row[column], values[column])
    return (3 if deleted else 0), {**records[0][1], **row}


def tuple_of(row, sequence):
    return tuple((False,) if row[name] is None else (True, row[name]) for name in sequence)


def partial_update(records, key, groups, remove_on_delete=False, removing=()):
    """groups: sequence columns -> {member: function or None}."""
    if len(records) == 1:
        return records[0]
    grouped = {name for sequence, members in groups.items() for name in (*sequence, *members)}
    state = {m: FUNCTIONS[f]() for members in groups.values() for m, f in members.items() if f}
    row = dict.fromkeys(records[0][1])
    filled = added = False
    for kind, values in records:
        deleted = False
        if kind not in ADD:
            if not filled:
                row, filled = dict(values), True
            if not groups:
                assert remove_on_delete
                if kind == 3:
                    row, deleted = dict(values), True
                continue
        else:
            added = filled = True
            row.update({n: v for n, v in values.items() if n not in grouped and v is not None})
        current = dict(row)
        for sequence, members in groups.items():
            if all(values[name] is None for name in sequence):
                continue
            wins = tuple_of(values, sequence) >= tuple_of(current, sequence)
            if wins and kind == 3 and any(name in removing for name in sequence):
                row, deleted = dict(values), True
                break
            for member, function in members.items():
                if function is None:
                    if wins:
                        row[member] = values[member] if kind in ADD else None
                elif kind not in ADD:
                    row[member] = state[member].retract(row[member], values[member])
                elif wins:
                    row[member] = state[member].agg(row[member], values[member])
                else:
                    row[member] = state[member].reversed(row[member], values[member])
            if wins:
                row.update({name: values[name] for name in sequence})
    return (3 if deleted or not added else 0), row
