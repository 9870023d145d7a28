-- Query 3, local items: who offers something of category 10 in Oregon, Idaho or California?
-- A join of two streams without a window: its state is all matching people and auctions.

CREATE TABLE nexmark_q3 (
    name STRING,
    city STRING,
    state STRING,
    id BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q3',
    'format' = 'json'
);

INSERT INTO nexmark_q3
SELECT p.name, p.city, p.state, a.id
FROM auction AS a
JOIN person AS p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA');
