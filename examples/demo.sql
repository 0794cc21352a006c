-- The main job: from the change log of a real database to a live answer.
-- `tsdb run examples/demo.sql WAREHOUSE` runs it and stays until it is stopped; it resumes where it was, also after a crash.

-- Changes of a PostgreSQL database, captured by Debezium. One log holds several tables; we want `orders`.
CREATE TABLE IF NOT EXISTS order_log (
    id       INT,
    customer STRING,
    amount   DECIMAL(10, 2),
    qty      SMALLINT,
    paid     BOOLEAN,
    created  TIMESTAMP_LTZ(6),
    PRIMARY KEY (id) NOT ENFORCED
) WITH (
    'connector' = 'filesystem',
    'path' = 'demo-warehouse/log',
    'format' = 'debezium-json',
    'debezium-json.table.include' = 'public\.orders'
);

-- The same table here, kept in step: inserts, updates, deletes and changed keys included.
CREATE TABLE IF NOT EXISTS orders (
    id       INT,
    customer STRING,
    amount   DECIMAL(10, 2),
    qty      SMALLINT,
    paid     BOOLEAN,
    created  TIMESTAMP_LTZ(6),
    PRIMARY KEY (id) NOT ENFORCED
) WITH ('bucket' = '2', 'changelog-producer' = 'input');

-- An answer that stays up to date: when an order goes, its amount goes from the sum.
CREATE TABLE IF NOT EXISTS totals (
    paid   STRING,
    orders BIGINT,
    amount DECIMAL(38, 2),
    PRIMARY KEY (paid) NOT ENFORCED
) WITH ('changelog-producer' = 'input');

SET 'execution.mode' = 'streaming';
SET 'execution.checkpointing.interval' = '100 ms';

INSERT INTO orders SELECT * FROM order_log;

INSERT INTO totals
SELECT CASE WHEN paid THEN 'paid' WHEN NOT paid THEN 'open' ELSE 'unknown' END, count(*), sum(amount)
FROM orders
GROUP BY 1;
