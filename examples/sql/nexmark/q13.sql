-- Query 13, bounded side input: every bid with what a small table says about its auction.

CREATE TABLE side_input (
    `key` BIGINT,
    `value` STRING
) WITH (
    'connector' = 'riverrun',
    'topic' = 'side_input',
    'format' = 'csv',
    'scan.bounded.mode' = 'latest-offset'
);

CREATE TABLE nexmark_q13 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    `dateTime` TIMESTAMP(3),
    `value` STRING
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q13',
    'format' = 'json'
);

INSERT INTO nexmark_q13
SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.`value`
FROM (SELECT *, PROCTIME() AS p_time FROM bid) AS b
JOIN side_input FOR SYSTEM_TIME AS OF b.p_time AS s ON MOD(b.auction, 10000) = s.`key`;
