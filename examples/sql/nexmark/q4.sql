-- Query 4, average price of a category: of the winning bids so far, that is the highest ones while their auction was open.

CREATE TABLE nexmark_q4 (
    id BIGINT,
    final BIGINT,
    PRIMARY KEY (id) NOT ENFORCED
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q4',
    'format' = 'json'
);

INSERT INTO nexmark_q4
SELECT category, AVG(final)
FROM (
    SELECT MAX(b.price) AS final, a.category
    FROM auction AS a
    JOIN bid AS b ON a.id = b.auction
    WHERE b.`dateTime` BETWEEN a.`dateTime` AND a.expires
    GROUP BY a.id, a.category
)
GROUP BY category;
