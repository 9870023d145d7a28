-- Query 18, last bid: of each bidder for each auction. Of bids at the same time any may be the last.

CREATE TABLE nexmark_q18 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    channel STRING,
    url STRING,
    `dateTime` TIMESTAMP(3),
    extra STRING,
    PRIMARY KEY (auction, bidder) NOT ENFORCED
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q18',
    'format' = 'json'
);

INSERT INTO nexmark_q18
SELECT auction, bidder, price, channel, url, `dateTime`, extra
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY `dateTime` DESC) AS place
    FROM bid
)
WHERE place <= 1;
