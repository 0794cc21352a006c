"""Rewrites of a query between the user's SQL and DataFusion's. One rule a file; each keeps the meaning and is tested
alone.

`desugar` runs before names are resolved: what it writes is ordinary SQL whose names are then resolved like the user's
own. `rewrite` runs after: its rules may rely on `tsdb.sql.qualify` having resolved names and noted the output
columns.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from tsdb.sql.functions import translate_functions
from tsdb.sql.rewrite.asof_join import expand_asof_joins
from tsdb.sql.rewrite.correlated_subquery import join_correlated_subqueries
from tsdb.sql.rewrite.current_time import mark_proctime, mark_watermark
from tsdb.sql.rewrite.dead_operand import spare_dead_operands
from tsdb.sql.rewrite.decimal_arithmetic import scale_decimals
from tsdb.sql.rewrite.filtered_count import filtered_as_cases
from tsdb.sql.rewrite.float_operands import merge_zeros, widen_decimals
from tsdb.sql.rewrite.integer_arithmetic import check_integers, double_averages
from tsdb.sql.rewrite.lateral import join_laterals
from tsdb.sql.rewrite.local_zone import in_zone, texts_in_zone
from tsdb.sql.rewrite.named_window import write_windows_out
from tsdb.sql.rewrite.null_safe_join import join_on_values
from tsdb.sql.rewrite.one_nan import unify_nans
from tsdb.sql.rewrite.ordering import order_nulls
from tsdb.sql.rewrite.outer_join_order import hide_constants
from tsdb.sql.rewrite.part_of_rows import take_parts
from tsdb.sql.rewrite.pivot import expand_pivots
from tsdb.sql.rewrite.plain_form import plain_forms
from tsdb.sql.rewrite.scalar_subquery import join_scalar_subqueries
from tsdb.sql.rewrite.set_operation import number_duplicates
from tsdb.sql.rewrite.signed_counts import sign_counts
from tsdb.sql.rewrite.subquery_value import subqueries_as_values
from tsdb.sql.rewrite.unique_key import hide_unique_keys
from tsdb.sql.rewrite.window_tvf import expand_window_functions

Rule = Callable[[exp.Expr], exp.Expr]

SUGAR: tuple[Rule, ...] = (write_windows_out, expand_pivots, expand_asof_joins, plain_forms, spare_dead_operands)
"""Rules before names are resolved, after window functions are written out, in order."""

RULES: tuple[Rule, ...] = (
    hide_unique_keys,
    join_on_values,
    widen_decimals,
    merge_zeros,
    unify_nans,
    check_integers,
    scale_decimals,
    number_duplicates,
    sign_counts,
    translate_functions,
    order_nulls,
)
"""Rules after names are resolved, in order, for both modes."""

SUBQUERY_RULES: tuple[Rule, ...] = (subqueries_as_values, join_laterals, join_correlated_subqueries)
"""Rules after names are resolved that come before all others, for both modes."""

BATCH_RULES: tuple[Rule, ...] = (hide_constants, filtered_as_cases)
"""Rules that only a batch query needs; they run after `RULES`."""

STREAMING_RULES: tuple[Rule, ...] = (join_scalar_subqueries,)
"""Rules that only a streaming query needs; they run after `SUBQUERY_RULES`, before `RULES`."""


def desugar(query: exp.Query, *, streaming: bool = False, average: str = "flink") -> exp.Query:
    """A copy of `query` with what is sugar written out, before names are resolved. average: option `sql.average`."""
    plain = expand_window_functions(take_parts(query.copy(), streaming=streaming), streaming=streaming)
    plain = double_averages(plain) if average == "double" else plain
    return _apply(plain, (*SUGAR, mark_proctime, mark_watermark) if streaming else SUGAR)


def rewrite(query: exp.Query, *, streaming: bool = False, zone: str = "UTC") -> exp.Query:
    """A copy of `query`, resolved before, after the rules of its mode. zone: option `table.local-time-zone`."""
    rules = (*SUBQUERY_RULES, *STREAMING_RULES, *RULES) if streaming else (*SUBQUERY_RULES, *RULES, *BATCH_RULES)
    written = _apply(in_zone(query.copy(), zone), rules)
    return _apply(texts_in_zone(written, zone), ())


def _apply(query: exp.Expr, rules: tuple[Rule, ...]) -> exp.Query:
    for rule in rules:
        query = rule(query)
    assert isinstance(query, exp.Query)
    return query
