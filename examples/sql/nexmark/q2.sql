-- Query 2, selection: the prices that are bid for every 123rd auction.

CREATE TABLE nexmark_q2 (
    auction BIGINT,
    price BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q2',
    'format' = 'json'
);

INSERT INTO nexmark_q2
SELECT auction, price
FROM bid
WHERE MOD(auction, 123) = 0;
