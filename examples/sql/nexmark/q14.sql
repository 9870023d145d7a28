-- Query 14, calculation: bids of a price range, with the time of day in words and how often a character is in a text.
--
-- Flink has no `count_char(text, character)`: there it is a function of the user's, to be registered beforehand.

CREATE TABLE nexmark_q14 (
    auction BIGINT,
    bidder BIGINT,
    price DECIMAL(23, 3),
    bidTimeType STRING,
    `dateTime` TIMESTAMP(3),
    extra STRING,
    c_counts BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q14',
    'format' = 'json'
);

INSERT INTO nexmark_q14
SELECT
    auction,
    bidder,
    0.908 * price AS price,
    CASE
        WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18 THEN 'dayTime'
        WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime'
        ELSE 'otherTime'
    END AS bidTimeType,
    `dateTime`,
    extra,
    count_char(extra, 'c') AS c_counts
FROM bid
WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
