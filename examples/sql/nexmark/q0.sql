-- Query 0, pass through: every bid as it is. What reading and writing alone cost.

CREATE TABLE nexmark_q0 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    `dateTime` TIMESTAMP(3),
    extra STRING
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q0',
    'format' = 'json'
);

INSERT INTO nexmark_q0
SELECT auction, bidder, price, `dateTime`, extra
FROM bid;
