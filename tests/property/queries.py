"""Queries over the tables of `streams.py`, one idea each; none leaves a free choice between ties."""

QUERIES: dict[str, str] = {
    # linear
    "all columns": "select * from o",
    "filter": "select id, v from o where v > 0 and g is not null",
    "count of what a filter keeps": "select count(*) from o where v > 0",
    "expressions": "select id + 1 as i, upper(g) u, case when v > 1 then d else 0 end x, cast(h as string) s, ts from"
    " o",
    "constant columns": "select 1 as one, g from o",
    "false": "select id from o where false",
    "nested alias": "select y.a from (select x.id + 1 as a from (select id from o where h = 1) x) y where y.a > 2",
    "union all": "select id, g from o union all select k, name from c",
    "union all of one": "select id from o union all select id from o",
    "values": "select * from (values (1, 'x'), (2, null)) t(a, b)",
    "union with constants": "select id from o union all select 5 union all values (7), (7)",
    "constant recursion": "with recursive r as (select 1 as n union all select n + 1 from r where n < 4)"
    " select o.id, r.n from o join r on o.id = r.n",
    "table function": "select o.id, s.value from o join generate_series(1, 3) s on o.id = s.value",
    "unnest": "select id, unnest(l) as x from e",
    # distinct
    "distinct": "select distinct g, h from o",
    "union": "select g from o union select g from e",
    "intersect": "select id from o intersect select k from c",
    "except": "select id, g from o except select id, g from e",
    # aggregates, linear
    "count": "select g, count(*) c, count(v) cv from o group by g",
    "sum": "select g, sum(id) si, sum(h) sh, sum(v) sv, sum(d) sd from o group by g",
    "avg": "select h, avg(id) a, avg(v) b, avg(d) c from o group by h",
    "several keys": "select g, h, b, count(*), sum(id) from o group by g, h, b",
    "float key": "select v, count(*) from o group by v",
    "decimal and time keys": "select d, ts, count(*), sum(h) from o group by d, ts",
    "list key": "select l, count(*) from e group by l",
    "expression key": "select h % 2 as m, upper(g) u, sum(id + 1) from o group by h % 2, upper(g)",
    "sum of expression": "select g, sum(case when v > 0 then id else -id end) s from o group by g",
    "global": "select count(*) c, sum(id) s, avg(v) a from o",
    "global of nothing": "select count(*) c, sum(id) s, max(d) from o where id > 1000",
    "having": "select g, count(*) c from o group by g having count(*) > 3",
    "aggregate of aggregate": "select c, count(*) from (select g, h, count(*) c from o group by g, h) x group by c",
    "sum of avg": "select sum(a) from (select h, avg(v) a from o group by h) x",
    "float sum": "select g, sum(v / 3) s, avg(v * 0.1) a from o group by g",
    # aggregates, not linear
    "min and max": "select g, min(id) a, max(id) b, min(ts) c, max(v) d from o group by g",
    "min and max of strings": "select h, min(g) a, max(g) b, max(d) c from o group by h",
    "extremes of all strings": "select min(g) a, max(g) b, max(upper(g)) filter (where b) c from o",
    "extremes of made strings": "select h, b, max(concat(g, cast(id as string))) m, min(g) n, count(distinct g) c"
    " from o group by h, b",
    "distinct twice": "select g, count(distinct id) a, count(distinct id) filter (where b) c, count(distinct h) d"
    " from o group by g",
    "min with count": "select h, min(v) a, count(*) c, sum(id) s from o group by h",
    "max of booleans": "select h, bool_and(b), bool_or(b) from o group by h",
    "count distinct": "select g, count(distinct id) c, sum(distinct h) s from o group by g",
    "filter clause": "select g, count(*) filter (where v > 0) c, sum(id) filter (where h = 1) s from o group by g",
    "distinct with filter": "select g, count(distinct id) filter (where v > 0) c, count(*) n from o group by g",
    "global distinct": "select count(distinct g) c, sum(distinct id) s, min(d) m from o",
    "filter of a sum": "select h, sum(v) filter (where b) s, avg(d) filter (where b) a, max(id) filter (where b) m"
    " from o group by h",
    "array_agg": "select g, array_agg(id order by id nulls first) l from o group by g",
    "string_agg": "select h, string_agg(g, ',' order by g) s from o group by h",
    "first_value": "select g, first_value(id order by id, v, d) f from o group by g",
    "median": "select g, median(id) m from o group by g",
    "stddev": "select h, stddev(id) s, var_pop(h) v from o group by h",
    "rollup": "select g, h, count(*) c, grouping(g) from o group by rollup(g, h)",
    "grouping sets": "select g, h, sum(id) s from o group by grouping sets ((g, h), (g), ())",
    "distinct on": "select distinct on (g) g, id from o order by g, id, v",
    # joins
    "inner join": "select o.id, o.g, c.name from o join c on o.id = c.k",
    "join with condition": "select o.id, o.v, c.w from o join c on o.id = c.k and o.v > c.w",
    "join on expressions": "select o.id, c.w from o join c on o.id + 1 = c.k * 2",
    "join on two keys": "select o.id, e.l from o join e on o.id = e.id and o.g = e.g",
    "join of types": "select o.id, c.w from o join c on o.h = c.k",
    "self join": "select x.id, y.v from o x join o y on x.id = y.h",
    "three tables": "select o.id, c.name, e.l from o join c on o.id = c.k join e on c.w = e.id",
    "cross join": "select o.id, c.k from o cross join c where o.h = 1",
    "cross join of counts": "select a.n, b.n from (select count(*) n from o) a cross join (select count(*) n from c) b",
    "inequality join": "select o.id, c.k from o join c on o.id < c.k",
    "count of a cross join": "select count(*) from o, c",
    "left join": "select o.id, o.v, c.name from o left join c on o.id = c.k",
    "left join with condition": "select o.id, o.v, c.name, c.w from o left join c on o.id = c.k and o.v > c.w",
    "right join": "select o.id, c.k, c.w from o right join c on o.id = c.k",
    "full join": "select o.id, o.g, c.k, c.w from o full join c on o.id = c.k",
    "full join with condition": "select o.id, o.v, c.k, c.w from o full join c on o.id = c.k and c.w > 3",
    "left join without keys": "select o.id, c.k from o left join c on o.id < c.k",
    "exists": "select id, g from o where exists (select 1 from c where c.k = o.id)",
    "not exists": "select id, g from o where not exists (select 1 from c where c.k = o.id and c.w > o.h)",
    "in": "select id, v from o where id in (select k from c where w > 2)",
    "not in": "select id, v from o where id not in (select k from c)",
    "not in without nulls": "select id, v from o where id not in (select k from c where k is not null)",
    "mark join": "select id, v from o where h = 1 or id in (select k from c)",
    "mark join with not": "select id, v from o where h = 1 or not exists (select 1 from c where c.k = o.id)",
    "correlated subquery": "select o.id, (select max(w) from c where c.k = o.id) m from o",
    "scalar subquery": "select id, v from o where v > (select avg(w) from c)",
    "scalar subquery in select": "select id, id - (select max(k) from c) as x from o",
    "join of aggregates": "select a.g, a.c, b.c from (select g, count(*) c from o group by g) a"
    " join (select g, count(*) c from e group by g) b on a.g = b.g",
    "aggregate of a join": "select c.name, sum(o.id) s, count(*) n from o join c on o.id = c.k group by c.name",
    "max over a join": "select o.g, max(c.w) m from o join c on c.k between o.h and o.id group by o.g",
    # order
    "order by": "select id, g from o order by id",
    "top": "select id from o order by id desc limit 3",
    "top with offset": "select v from o order by v nulls first limit 4 offset 2",
    "top of expressions": "select id * 2 as x from o order by id + 0 limit 5",
    "top in a subquery": "select x.id, count(*) from (select id from o order by id limit 5) x group by x.id",
    "limit of a constant": "select 1 as one from o limit 3",
    "offset": "select id from o order by id offset 3",
    # windows
    "row_number": "select g, id, row_number() over (partition by g order by id, v, d, ts, h, b) rn from o",
    "rank": "select g, id, rank() over (partition by g order by id) r, dense_rank() over (partition by g order by id) d"
    " from o",
    "running sum": "select g, id, sum(id) over (partition by g order by id) s from o",
    "moving average": "select h, id, avg(id) over (partition by h order by id range between 1 preceding and current"
    " row) a"
    " from o",
    "lag": "select g, id, lag(id) over (partition by g order by id, h) l, count(*) over (partition by h) c from o",
    "window without partition": "select id, count(*) over () c, rank() over (order by id) r from o",
    "window by expression": "select id, sum(h) over (partition by upper(g)) s from o",
    "top per group": "select g, id from (select g, id, row_number() over (partition by g order by id desc) rn from o)"
    " where rn <= 2",
    "first rows with their number": "select * from (select *, row_number() over (partition by h order by g desc, v desc"
    " nulls last, d nulls first, ts, id desc, b) rn from o) where rn <= 3",
    "second row": "select id, rn from (select *, row_number() over (partition by g, b order by id % 3, upper(g), id, v,"
    " d, ts, h) rn from o) where rn = 2",
    "first rows of all": "select * from (select *, row_number() over (order by d desc, ts desc nulls last, id, v, g, h,"
    " b) rn from o) where rn < 4 and id > 0",
    "first rows of a union": "select id, g from (select id, g, row_number() over (partition by id order by g) rn from"
    " (select id, g from o union all select id, g from e)) where rn <= 2",
    "first rows of a join": "select id, w from (select o.id, c.w, row_number() over (partition by o.id order by c.w"
    " desc) rn from o join c on o.id = c.k) where rn <= 1",
    "first rows, computed": "select i, x from (select id + 1 as i, upper(g) x, row_number() over (partition by b"
    " order by h desc nulls last, id, g, v, d, ts) as n from o) where n <= 2 and i > 1",
    "first rows of counts": "select g, n, rn from (select g, n, row_number() over (order by n desc, g) rn from (select"
    " g, count(*) n from o group by g)) where rn <= 2",
    "latest per group": "select * from (select g, id, rank() over (partition by g order by id desc nulls last) r from"
    " o)"
    " where r = 1",
    "cte": "with x as (select g, sum(id) s from o group by g) select a.g, b.s from x a join x b on a.g = b.g",
}
