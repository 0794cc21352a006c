-- The main job on Kafka: a change log in a topic, to tables that have a log of their own, to a live answer.
-- `make demo-kafka` runs it on a broker of its own; TSDB_KAFKA is the broker's address.

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
    'connector' = 'kafka',
    'topic' = 'shop',
    'properties.bootstrap.servers' = '${env:TSDB_KAFKA}',
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
) WITH (
    'bucket' = '2',
    'changelog-producer' = 'input',
    'log.system' = 'kafka',
    'kafka.bootstrap.servers' = '${env:TSDB_KAFKA}'
);

-- An answer that stays up to date: when an order goes, its amount goes from the sum.
CREATE TABLE IF NOT EXISTS totals (
    paid   STRING,
    orders BIGINT,
    amount DECIMAL(38, 2),
    PRIMARY KEY (paid) NOT ENFORCED
) WITH (
    'changelog-producer' = 'input',
    'log.system' = 'kafka',
    'kafka.bootstrap.servers' = '${env:TSDB_KAFKA}'
);

SET 'execution.mode' = 'streaming';
SET 'execution.checkpointing.interval' = '100 ms';

INSERT INTO orders SELECT * FROM order_log;

INSERT INTO totals
SELECT CASE WHEN paid THEN 'paid' WHEN NOT paid THEN 'open' ELSE 'unknown' END, count(*), sum(amount)
FROM orders
GROUP BY 1;
