-- Query 6, average selling price of a seller: for each winning bid, the average of it and the ten before it.
--
-- An OVER aggregate on rows that change: a higher bid takes the place of the one before, and with it every average that it is part of.
-- Winning bids of one seller at the same time are taken in the order of their auctions; the query's usual text leaves open which comes
-- first, and with it the result.

CREATE TABLE nexmark_q6 (
    seller BIGINT,
    avg_price BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q6',
    'format' = 'debezium-json'
);

INSERT INTO nexmark_q6
SELECT
    seller,
    AVG(price) OVER (PARTITION BY seller ORDER BY `dateTime`, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)
FROM (
    SELECT
        a.id, a.seller, b.price, b.`dateTime`,
        ROW_NUMBER() OVER (PARTITION BY a.id, a.seller ORDER BY b.price DESC, b.`dateTime` ASC) AS place
    FROM auction AS a
    JOIN bid AS b ON a.id = b.auction
    WHERE b.`dateTime` BETWEEN a.`dateTime` AND a.expires
)
WHERE place <= 1;
